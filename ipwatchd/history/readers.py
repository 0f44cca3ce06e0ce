"""Connections that read history.db beside the writer, so that one long question holds up no other.

Whoever stops waiting for an answer stops the question (sqlite3_interrupt) and nobody else's.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import aiosqlite

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Readers"]

MOST: Final = 4
"""Questions at a time; more wait: each may read the disk as fast as it can."""


class Readers:
    """A few connections, opened when they are needed; the file was checked when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._free: list[aiosqlite.Connection] = []
        self._turn = asyncio.Semaphore(MOST)

    async def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a SELECT."""
        async with self._turn:
            db = self._free.pop() if self._free else await self._open()
            try:
                return await self._fetch(db, sql, parameters)
            finally:
                self._free.append(db)

    async def _fetch(
        self, db: aiosqlite.Connection, sql: str, parameters: Sequence[object]
    ) -> list[Any]:
        work = asyncio.ensure_future(_all(db, sql, parameters))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await db.interrupt()
            await asyncio.wait([work])
            work.cancelled() or work.exception()  # seen: nobody waits for it
            raise

    async def _open(self) -> aiosqlite.Connection:
        db = await aiosqlite.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True)
        db.row_factory = sqlite3.Row
        await db.execute("PRAGMA busy_timeout = 5000")
        return db

    async def close(self) -> None:
        """Close them; no question may be under way."""
        while self._free:
            await self._free.pop().close()


async def _all(db: aiosqlite.Connection, sql: str, parameters: Sequence[object]) -> list[Any]:
    async with db.execute(sql, tuple(parameters)) as cursor:
        return list(await cursor.fetchall())
