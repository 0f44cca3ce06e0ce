"""Connections that read history.db beside the writer, so that one long question holds up no other.

Whoever stops waiting for an answer stops the question (sqlite3_interrupt) and nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiosqlite

from ipwatchd.sqlite import uri

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

__all__ = ["Readers", "to_its_end"]

T = TypeVar("T")
MOST: Final = 4
"""Questions at a time; more wait: each may read the disk as fast as it can."""
_AGAIN: Final = 0.05


class Readers:
    """A few connections, opened when they are needed; the file was checked when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._free: list[aiosqlite.Connection] = []
        self._turn = asyncio.Semaphore(MOST)

    async def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a SELECT."""
        async with self._turn:
            while not self._free:  # another may take what was opened
                await to_its_end(self._open(), lambda: None)
            db = self._free.pop()
            try:
                return await to_its_end(_all(db, sql, parameters), db._conn.interrupt)  # noqa: SLF001 - its own interrupt() must be awaited
            finally:
                self._free.append(db)

    async def _open(self) -> None:
        db = await aiosqlite.connect(uri(self._path, read_only=True), uri=True)
        db.row_factory = sqlite3.Row
        # Closed: while a statement is open, an interrupt stays in force for the next question too.
        await (await db.execute("PRAGMA busy_timeout = 5000")).close()
        self._free.append(db)

    async def close(self) -> None:
        """Close them; no question may be under way."""
        while self._free:
            await self._free.pop().close()


async def to_its_end(work: Coroutine[Any, Any, T], stop: Callable[[], object]) -> T:
    """Wait for work that a thread does; when nobody waits for it any more, stop it and see it end.

    It is told again and again: what has not begun yet can't be stopped.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            stop()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task], timeout=_AGAIN)
        if not task.cancelled():
            task.exception()  # seen: nobody waits for it
        raise


async def _all(db: aiosqlite.Connection, sql: str, parameters: Sequence[object]) -> list[Any]:
    async with db.execute(sql, tuple(parameters)) as cursor:
        return list(await cursor.fetchall())
