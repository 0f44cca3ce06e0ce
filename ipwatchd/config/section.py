"""What a table of a settings file is, and the kinds of numbers that stand in it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ["Count", "Port", "Seconds", "Section", "Share"]

Seconds = Annotated[float, Meta(gt=0, le=366 * 86400)]
Count = Annotated[int, Meta(ge=1, le=1 << 40)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Share = Annotated[float, Meta(gt=0, le=1)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is an error."""
