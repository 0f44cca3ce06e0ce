"""One SQLite file, opened the one way: WAL, one writer, numbered migrations, checked at start.

Shared by the rooms that keep state (history, lists, incidents, uplink, central). Each has its own
file, so that a history that fills the disk or goes bad can't take incidents or lists with it.

Each file says which schema it has (PRAGMA user_version) and, in the table `compatible`, the oldest
schema whose programs may still use it: a newer file that has only grown columns or tables opens in
an older program, another one is refused by the name of the release that wrote it.

A file up to CHECKED_WHOLE bytes is checked whole (quick_check) at every start. Of a larger one that
was closed in order the first page of every table and index is read; after a kill it is checked
whole as well, unless its owner says that it will do so beside its work (`faults`).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import aiosqlite

from ipwatchd import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

__all__ = ["CHECKED_WHOLE", "CorruptStoreError", "connect", "faults", "transaction", "uri"]

# Some 0.1 s from a cold disk.
CHECKED_WHOLE: Final = 64 << 20
_COMPATIBLE: Final = """
CREATE TABLE IF NOT EXISTS compatible (
    one INTEGER PRIMARY KEY CHECK (one = 1), schema INTEGER NOT NULL, oldest INTEGER NOT NULL,
    release TEXT NOT NULL
);
"""


class CorruptStoreError(OSError):
    """A store that can't be used as it is; the message says which file, why, and the mend."""


async def connect(
    path: Path, migrations: Sequence[str], *, durable: bool = True, read_only: bool = False,
    compatible: int = 0, checks_later: bool = False,
) -> aiosqlite.Connection:  # fmt: skip
    """Open a store, bring its schema up to date and return the connection (row access by name).

    `migrations` are SQL scripts; the schema version (PRAGMA user_version) is how many have run.
    `compatible` is the oldest schema whose programs may use the file as these migrations leave it
    (0: this one alone). `durable` syncs at every commit, else at checkpoints only (loses the last
    seconds at a power cut, never consistency). `checks_later` says that the caller asks `faults`.
    Raises CorruptStoreError for a damaged file, a newer schema, or an older one with `read_only`;
    OSError where the file can't be opened.
    """
    whole = _size(path) <= CHECKED_WHOLE or (_was_killed(path) and not checks_later)
    db = await aiosqlite.connect(uri(path, read_only=read_only), uri=True)
    try:
        db.row_factory = sqlite3.Row
        await _prepare(db, path, durable=durable, read_only=read_only, whole=whole)
        await _migrate(db, path, migrations, compatible or len(migrations), read_only=read_only)
    except sqlite3.OperationalError as error:
        await db.close()
        raise OSError(f"can't open {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        await db.close()
        raise CorruptStoreError(_corrupt(path, str(error))) from error
    except BaseException:
        await db.close()
        raise
    return db


def uri(path: Path, *, read_only: bool) -> str:
    """Return the name by which SQLite opens a store.

    A reader of a file in WAL mode writes too (its place, to FILE-shm). Where it may not, on a
    medium or in a folder that is only read, a file without a log is one that nobody has open.
    """
    if not read_only:
        return f"file:{quote(str(path))}?mode=rwc"
    log = path.with_name(f"{path.name}-wal")
    still = not log.exists() and not os.access(path.parent, os.W_OK)
    return f"file:{quote(str(path))}?mode=ro{'&immutable=1' if still else ''}"


async def faults(path: Path) -> str:
    """Check a whole file, however large, and return what is wrong in a sentence, "" where nothing is.

    Reads beside a writer; whoever cancels it stops it.
    """  # noqa: E501 - one line says it
    async with aiosqlite.connect(uri(path, read_only=True), uri=True) as db:
        try:
            async with db.execute("PRAGMA quick_check(1)") as rows:
                row = await rows.fetchone()
        except sqlite3.DatabaseError as error:
            return _corrupt(path, str(error))
        except BaseException:
            await db.interrupt()
            raise
    return "" if row and row[0] == "ok" else _corrupt(path, str(row[0]) if row else "no answer")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _was_killed(path: Path) -> bool:
    """Tell whether a log was left behind: the last one to close a file removes it."""
    return _size(path.with_name(f"{path.name}-wal")) > 0


async def _prepare(
    db: aiosqlite.Connection, path: Path, *, durable: bool, read_only: bool, whole: bool
) -> None:
    await _check(db, path, whole=whole)
    if not read_only:
        await db.execute("PRAGMA journal_mode = WAL")
        await db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        await db.execute("PRAGMA foreign_keys = ON")
    await db.execute("PRAGMA busy_timeout = 5000")


async def _check(db: aiosqlite.Connection, path: Path, *, whole: bool) -> None:
    if not whole:
        await _glance(db)
        return
    async with db.execute("PRAGMA quick_check(1)") as rows:
        row = await rows.fetchone()
    if row is None or row[0] != "ok":
        raise CorruptStoreError(_corrupt(path, str(row[0]) if row else "no answer"))


async def _glance(db: aiosqlite.Connection) -> None:
    """Read the first row of every table and index: what is no database any more shows here."""
    async with db.execute("SELECT type, name, tbl_name FROM sqlite_schema") as rows:
        parts = [(str(row[0]), str(row[1]), str(row[2])) async for row in rows]
    for kind, name, table in parts:
        if kind == "table":
            sql = f'SELECT 1 FROM "{table}" NOT INDEXED LIMIT 1'  # noqa: S608 - the file's own
        elif kind == "index" and not name.startswith("sqlite_"):
            sql = f'SELECT 1 FROM "{table}" INDEXED BY "{name}" LIMIT 1'  # noqa: S608 - the file's own
        else:
            continue
        try:
            await (await db.execute(sql)).close()
        except sqlite3.OperationalError:  # a partial index answers no such question
            continue


def _corrupt(path: Path, why: str) -> str:
    return (
        f"{path} is damaged ({why}): move it aside (a new one is made at the next start) or put "
        "back a backup"
    )


async def _migrate(
    db: aiosqlite.Connection, path: Path, migrations: Sequence[str], compatible: int, *,
    read_only: bool,
) -> None:  # fmt: skip
    async with db.execute("PRAGMA user_version") as rows:
        row = await rows.fetchone()
    version = int(row[0]) if row else 0
    if version > len(migrations):
        await _refuse_newer(db, path, version, len(migrations))
        return
    if read_only:
        _refuse_older(path, version, len(migrations))
        return
    for number, script in enumerate(migrations[version:], version + 1):
        # One transaction: a crash leaves the schema at the version before or after, never between.
        await db.executescript(f"BEGIN;\n{script};\nPRAGMA user_version = {number};\nCOMMIT;")
    if version < len(migrations):
        await db.executescript(_COMPATIBLE)
        await db.execute(
            "INSERT OR REPLACE INTO compatible VALUES (1, ?, ?, ?)",
            (len(migrations), compatible, __version__),
        )
        await db.commit()


def _refuse_older(path: Path, version: int, known: int) -> None:
    """Raise where a file that may only be read lacks what our queries ask for."""
    if version < known:
        raise CorruptStoreError(
            f"{path} has schema {version}, older than this program's {known}, and may only be read "
            "now: restart the daemon that holds the folder, so that it is of this release too; "
            "where none runs, ask as its owner or root, which brings the file up to date"
        )


async def _refuse_newer(db: aiosqlite.Connection, path: Path, version: int, known: int) -> None:
    """Raise unless a program with the newer schema said that ours may use it."""
    try:
        async with db.execute(
            "SELECT oldest, release FROM compatible WHERE schema = ?", (version,)
        ) as rows:
            row = await rows.fetchone()
    except sqlite3.OperationalError:  # no such table
        row = None
    if row and int(row[0]) <= known:
        return
    release = f"ipwatchd {row[1]}" if row else "the release of ipwatchd that wrote it"
    raise CorruptStoreError(
        f"{path} has schema {version}, this program knows {known}: install {release}, or a newer "
        "one"
    )


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
