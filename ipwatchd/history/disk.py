"""A disk that fills: old segments make room, then archive, events and roll-ups stop, in steps."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from ipwatchd.history.retention import make_room

if TYPE_CHECKING:
    from pathlib import Path

    import aiosqlite

    from ipwatchd.history.archive import Archive

__all__ = ["FULL", "NO_ARCHIVE", "NO_EVENTS", "NO_ROLLUPS", "Disk"]

FULL, NO_ARCHIVE, NO_EVENTS, NO_ROLLUPS = range(4)
_STEPS: Final = (
    "",
    "the flow archive has stopped",
    "the flow archive and events have stopped",
    "the flow archive, events and roll-ups have stopped",
)


class Disk:
    """The room that is left under a state folder, and the step that history is on by it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._floor = 0
        self.level = FULL

    async def look(self, db: aiosqlite.Connection, archive: Archive, floor: int) -> dict[str, int]:
        """Step down as the disk fills: at `floor` bytes, half of it, a quarter of it.

        Before the first step the log is copied into the file and the oldest segments go; return
        how many, by name.
        """
        removed: dict[str, int] = {}
        free, near = self._free(), floor * 5 // 4
        if free < near:
            await (await db.execute("PRAGMA wal_checkpoint(TRUNCATE)")).close()
            free = self._free()
        if free < near:
            removed["segments_for_space"] = await make_room(db, archive, floor * 3 // 2 - free)
            free = self._free()
        self._floor = floor
        self.level = sum(free < floor // part for part in (1, 2, 4))
        return removed

    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free

    def degraded(self) -> str:
        """Return what has stopped, a sentence; "" where nothing has."""
        if self.level == FULL:
            return ""
        return (
            f"{_STEPS[self.level]}: less than {self._floor >> (self.level - 1)} bytes are free "
            f"under {self._folder}; free some or lower [history] archive_bytes"
        )
