"""One way to open a store: damage is named, a newer schema opens where it says it may."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ipwatchd import sqlite
from ipwatchd.sqlite import CorruptStoreError, connect, faults, transaction

ONE = "CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT); CREATE INDEX a_y ON a (y) WHERE y <> '';"
TWO = "ALTER TABLE a ADD COLUMN z TEXT NOT NULL DEFAULT '';"
ROOT = Path(__file__).resolve().parents[1]

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from ipwatchd.sqlite import connect

async def main():
    db = await connect(Path(sys.argv[1]), ["CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT)"])
    await db.execute("INSERT INTO a VALUES (1, 'kept')")
    await db.commit()
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def fill(path: Path, rows: int = 2_000) -> None:
    """Write a store of some hundred pages."""
    db = await connect(path, [ONE])
    async with transaction(db):
        await db.executemany("INSERT INTO a VALUES (?, ?)", ((n, "x" * 400) for n in range(rows)))
    await db.close()


async def test_a_newer_schema_that_may_be_used_opens(tmp_path: Path) -> None:
    """A program of schema 1 reads and writes a file of schema 2 that only grew a column."""
    path = tmp_path / "a.db"
    newer = await connect(path, [ONE, TWO], compatible=1)
    await newer.close()
    older = await connect(path, [ONE])
    await older.execute("INSERT INTO a (x, y) VALUES (1, 'one')")
    await older.commit()
    await older.close()
    newer = await connect(path, [ONE, TWO], compatible=1)
    rows = await (await newer.execute("SELECT x, y, z FROM a")).fetchall()
    assert [tuple(row) for row in rows] == [(1, "one", "")]
    await newer.close()


async def test_a_newer_schema_that_may_not_be_used_is_refused(tmp_path: Path) -> None:
    """The message names the file, both schemas and the release to install."""
    path = tmp_path / "a.db"
    await (await connect(path, [ONE, TWO])).close()
    for read_only in (False, True):
        with pytest.raises(
            CorruptStoreError, match=r"a\.db has schema 2.*knows 1: install ipwatchd 0"
        ):
            await connect(path, [ONE], read_only=read_only)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9")  # as if by a release that left no word
    with pytest.raises(CorruptStoreError, match=r"schema 9.*install the release"):
        await connect(path, [ONE, TWO])


async def test_an_older_schema_that_may_only_be_read_is_refused(tmp_path: Path) -> None:
    """The message says who mends it; a writer brings the file up to date, then it is read."""
    path = tmp_path / "a.db"
    await (await connect(path, [ONE])).close()
    with pytest.raises(
        CorruptStoreError, match=r"a\.db has schema 1, older than this program's 2.*restart the"
    ):
        await connect(path, [ONE, TWO], read_only=True)
    await (await connect(path, [ONE, TWO])).close()
    await (await connect(path, [ONE, TWO], read_only=True)).close()


async def test_damage_in_the_middle_is_found_at_start(tmp_path: Path) -> None:
    """A page overwritten by hand: the start names the file."""
    path = tmp_path / "a.db"
    await fill(path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 8192 * 4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(CorruptStoreError, match=r"a\.db is damaged"):
        await connect(path, [ONE])


async def test_a_large_file_is_glanced_at_and_checked_beside_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed in order: a damaged first page shows at once, one in the middle in `faults`."""
    monkeypatch.setattr(sqlite, "CHECKED_WHOLE", 4096)
    path = tmp_path / "a.db"
    await fill(path)
    assert await faults(path) == ""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 8192 * 4096)
        file.write(b"\xff" * 4096)
    await (await connect(path, [ONE])).close()
    assert "a.db is damaged" in await faults(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    with pytest.raises(CorruptStoreError, match=r"a\.db is damaged"):
        await connect(path, [ONE])


async def test_after_a_kill_a_large_file_is_checked_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log that the killed process left tells; what it had committed is there."""
    path = tmp_path / "a.db"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert sqlite._was_killed(path)
    monkeypatch.setattr(sqlite, "CHECKED_WHOLE", 0)
    asked: list[str] = []
    original = sqlite._check

    async def check(db: object, path: Path, *, whole: bool) -> None:
        asked.append("whole" if whole else "glance")
        await original(db, path, whole=whole)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite, "_check", check)
    db = await connect(path, [ONE.partition(";")[0]])
    assert [tuple(row) for row in await (await db.execute("SELECT * FROM a")).fetchall()] == [
        (1, "kept")
    ]
    await db.close()
    await (await connect(path, [ONE.partition(";")[0]])).close()
    assert asked == ["whole", "glance"]
