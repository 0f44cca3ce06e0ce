"""How much of the log the centre has committed, in a small file that is replaced as a whole.

Losing it costs a resend, which the centre ignores: so a damaged file is no error.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FILE", "load", "save"]

FILE: Final = "uplink.json"


class _Cursor(msgspec.Struct, frozen=True):
    committed: Annotated[int, Meta(ge=0, le=1 << 62)]


def load(state_dir: Path) -> int:
    """Return the newest event that the centre is known to hold; 0 where nothing is known."""
    try:
        return msgspec.json.decode((state_dir / FILE).read_bytes(), type=_Cursor).committed
    except (OSError, msgspec.MsgspecError):
        return 0


def save(state_dir: Path, committed: int) -> None:
    """Keep it through a crash or a power cut; OSError where the disk refuses."""
    path = state_dir / FILE
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(_Cursor(committed)))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
