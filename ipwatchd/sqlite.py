"""One SQLite file, opened the one way: WAL, one writer, numbered migrations, checked at start.

Shared by the rooms that keep state (history, lists, incidents, uplink, central). Each has its own
file, so that a history that fills the disk or goes bad can't take incidents or lists with it.
"""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiosqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

__all__ = ["CorruptStoreError", "connect", "transaction"]


class CorruptStoreError(OSError):
    """A store that can't be used as it is; the message says which file, why, and the mend."""


async def connect(
    path: Path, migrations: Sequence[str], *, durable: bool = True, read_only: bool = False
) -> aiosqlite.Connection:
    """Open a store, bring its schema up to date and return the connection (row access by name).

    `migrations` are SQL scripts; the schema version (PRAGMA user_version) is how many have run.
    `durable` syncs at every commit, else at checkpoints only (loses the last seconds at a power
    cut, never consistency). Raises CorruptStoreError for a damaged file or a newer schema, OSError
    where the file can't be opened.
    """
    mode = "ro" if read_only else "rwc"
    connection = aiosqlite.connect(f"file:{quote(str(path))}?mode={mode}", uri=True)
    db = await connection
    try:
        db.row_factory = sqlite3.Row
        await _prepare(db, path, migrations, durable=durable, read_only=read_only)
    except BaseException:
        await db.close()
        raise
    return db


async def _prepare(
    db: aiosqlite.Connection, path: Path, migrations: Sequence[str], *, durable: bool,
    read_only: bool,
) -> None:  # fmt: skip
    try:
        await _check(db, path)
        if not read_only:
            await db.execute("PRAGMA journal_mode = WAL")
            await db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            await db.execute("PRAGMA foreign_keys = ON")
        await db.execute("PRAGMA busy_timeout = 5000")
        await _migrate(db, path, migrations, read_only=read_only)
    except sqlite3.OperationalError as error:
        raise OSError(f"can't open {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise CorruptStoreError(_corrupt(path, str(error))) from error


async def _check(db: aiosqlite.Connection, path: Path) -> None:
    async with db.execute("PRAGMA quick_check(1)") as rows:
        row = await rows.fetchone()
    if row is None or row[0] != "ok":
        raise CorruptStoreError(_corrupt(path, str(row[0]) if row else "no answer"))


def _corrupt(path: Path, why: str) -> str:
    return (
        f"{path} is damaged ({why}): move it aside (a new one is made at the next start) or put "
        "back a backup"
    )


async def _migrate(
    db: aiosqlite.Connection, path: Path, migrations: Sequence[str], *, read_only: bool
) -> None:
    async with db.execute("PRAGMA user_version") as rows:
        row = await rows.fetchone()
    version = int(row[0]) if row else 0
    if version > len(migrations):
        raise CorruptStoreError(
            f"{path} has schema {version}, this program knows {len(migrations)}: install the "
            "release of ipwatchd that wrote it, or a newer one"
        )
    if read_only:
        return
    for number, script in enumerate(migrations[version:], version + 1):
        # One transaction: a crash leaves the schema at the version before or after, never between.
        await db.executescript(f"BEGIN;\n{script};\nPRAGMA user_version = {number};\nCOMMIT;")


@asynccontextmanager
async def transaction(db: aiosqlite.Connection) -> AsyncIterator[aiosqlite.Connection]:
    """Commit what the block does, or roll all of it back."""
    try:
        # Inside: a task cancelled here has begun all the same, in the connection's thread.
        await db.execute("BEGIN IMMEDIATE")
        yield db
        await db.commit()  # inside: what a full disk refused must not stay open
    except BaseException:
        await db.rollback()
        raise
