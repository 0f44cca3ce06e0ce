"""The merges of one store: what is due, a group at a time, beside the flushes."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

from ipwatchd.history.archive import Segment
from ipwatchd.history.compaction import compact, due

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiosqlite

    from ipwatchd.history.archive import Archive
    from ipwatchd.history.readers import Readers

__all__ = ["Merges"]


class Merges:
    """Begins them and ends them. `lock` is that of the flushes, `busy` tells of open streams."""

    def __init__(
        self, archive: Archive, readers: Readers, lock: asyncio.Lock, busy: Callable[[], bool]
    ) -> None:
        self._archive = archive
        self._readers = readers
        self._lock = lock
        self._busy = busy
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.trouble = ""
        """Why the last ones stopped, a sentence."""

    def begin(self, db: aiosqlite.Connection, now: float) -> asyncio.Task[None]:
        """Merge what is due, unless some are under way; return the task, for who waits for it."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._merge(db, now))
        return self._task

    async def _merge(self, db: aiosqlite.Connection, now: float) -> None:
        try:
            await self._merge_all(db, now)
        except (OSError, ValueError, sqlite3.Error) as error:
            self.trouble = f"history can't merge segments: {error}"
        else:
            self.trouble = ""

    async def _merge_all(self, db: aiosqlite.Connection, now: float) -> None:
        rows = await self._readers.rows("SELECT name, rows, bytes, first, last FROM segment")
        for group in due([Segment(*row) for row in rows], now):
            if self._busy() or self._closing:  # there is another hour
                return
            await compact(db, self._archive, group, self._lock, self._busy)

    async def end(self) -> None:
        """Give up the merge that runs, and begin no other."""
        self._closing = True
        if self._task:
            async with self._lock:
                await asyncio.to_thread(self._archive.give_up_merge)
            await asyncio.wait([self._task])
