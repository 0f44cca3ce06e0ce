"""What a group of commands is added through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ipwatchd.control.client import Client

__all__ = ["LONG", "Commands"]

LONG: Final = 3600.0
"""Seconds that an answer may take which reads every kept file, as `patience` of a command."""


class Commands(Protocol):
    """Adds commands (ipwatchctl)."""

    def add(
        self, name: str, help_text: str, example: str,
        action: Callable[[Client, argparse.Namespace], int] | None = None,
    ) -> argparse.ArgumentParser:  # fmt: skip
        """Add one."""
        ...
