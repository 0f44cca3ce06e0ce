"""The audit log: who looked at personal data, who changed what; append-only and hash-chained.

Kept in audit.db of the state folder. Changing or removing a row breaks every hash after it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ipwatchd.sqlite import connect, transaction

if TYPE_CHECKING:
    from pathlib import Path

    import aiosqlite

__all__ = ["Audit", "AuditLine"]

_MIGRATIONS: Final = (
    """
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        time REAL NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT
    """,
)
_GENESIS: Final = "0" * 64


class AuditLine(NamedTuple):
    """One line: `actor` is a Unix user, `subject` what was looked at or changed."""

    seq: int
    time: float
    actor: str
    action: str
    subject: str
    detail: str


def _link(previous: str, line: AuditLine) -> str:
    return hashlib.sha256(previous.encode() + msgspec.json.encode(line)).hexdigest()


class Audit:
    """The log of one state folder."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self._db = db

    @classmethod
    async def open(cls, state_dir: Path, *, read_only: bool = False) -> Audit:
        """Open or make audit.db; CorruptStoreError or OSError where that fails."""
        path = state_dir / "audit.db"
        return cls(await connect(path, _MIGRATIONS, read_only=read_only))

    async def write(
        self, actor: str, action: str, subject: str, *, now: float, detail: str = ""
    ) -> None:
        """Append one line, durably."""
        async with transaction(self._db):
            seq, previous = await self._last()
            line = AuditLine(seq + 1, now, actor, action, subject, detail)
            await self._db.execute(
                "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", (*line, _link(previous, line))
            )

    async def _last(self) -> tuple[int, str]:
        async with self._db.execute(
            "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"
        ) as rows:
            row = await rows.fetchone()
        return (int(row["seq"]), str(row["hash"])) if row else (0, _GENESIS)

    async def lines(self, limit: int) -> list[AuditLine]:
        """Return the newest lines first."""
        sql = (
            "SELECT seq, time, actor, action, subject, detail FROM audit ORDER BY seq DESC LIMIT ?"
        )
        async with self._db.execute(sql, (limit,)) as rows:
            return [AuditLine(*row) async for row in rows]

    async def verify(self) -> int:
        """Return the number of the first line that does not fit the chain, or 0."""
        previous, expected = _GENESIS, 1
        async with self._db.execute("SELECT * FROM audit ORDER BY seq") as rows:
            async for row in rows:
                line = AuditLine(*tuple(row)[:6])
                if line.seq != expected or _link(previous, line) != row["hash"]:
                    return expected
                previous, expected = row["hash"], expected + 1
        return 0

    async def close(self) -> None:
        """Close the file."""
        await self._db.close()
