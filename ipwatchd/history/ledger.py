"""How many flows history has taken: a number that a killed process leaves behind.

It is written into a mapped file at each batch, which costs no call of the kernel's. The tables and
the archive note in their own transactions how far they got: the difference, at the next start, is
what the kill took with it.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Ledger"]

_NUMBER: Final = struct.Struct("<q")
_PAGE: Final = 4096


class Ledger:
    """The number of flows taken since the folder was made; without a disk it counts in memory."""

    def __init__(self, path: Path) -> None:
        self._taken = 0
        self._map: mmap.mmap | None = None
        try:
            self._map = _mapped(path)
            (self._taken,) = _NUMBER.unpack_from(self._map)
        except (OSError, ValueError):  # a full disk: history must open all the same
            self._map = None

    @property
    def taken(self) -> int:
        """Return how many flows were taken."""
        return self._taken

    def take(self, flows: int) -> None:
        """Count flows that are in memory now."""
        self._taken += flows
        if self._map:
            _NUMBER.pack_into(self._map, 0, self._taken)

    def close(self) -> None:
        """Let go of the file."""
        if self._map:
            self._map.close()
            self._map = None


def _mapped(path: Path) -> mmap.mmap:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        # Its block is there before it is mapped: a full disk must not become a SIGBUS.
        os.posix_fallocate(handle, 0, _PAGE)
        return mmap.mmap(handle, _PAGE)
    finally:
        os.close(handle)
