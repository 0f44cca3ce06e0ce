"""What one direction of a stream may hold."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_BYTES"]

MAX_BYTES: Final = 8192
"""Unread bytes held of a direction. Stops messages without end from filling memory."""
