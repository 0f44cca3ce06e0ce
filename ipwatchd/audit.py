"""The audit log: who looked at personal data, who changed what; append-only and hash-chained.

Kept in audit.db of the state folder. Changing or removing a row breaks every hash after it. That
the newest rows are gone no chain can tell by itself: audit.head, rewritten with each line, and any
head that somebody noted elsewhere (`audit verify --head`) do.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ipwatchd.sqlite import connect, transaction

if TYPE_CHECKING:
    from pathlib import Path

    import aiosqlite

__all__ = ["Audit", "AuditLine", "Chain"]

HEAD: Final = "audit.head"
# The same look by the same person is one line in so long: a screen that is left open asks each
# second, and what it would write would hide the other lines.
SAME_LOOK: Final = 600.0
# People and questions at once; beyond it a look may be written once more, never less.
_MOST_LOOKS: Final = 4096

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


class Chain(NamedTuple):
    """What following the chain found: `broken` the first line that does not fit, 0 where all do.

    `missing` lines at the end are gone by what `head`, seq:hash, of another place says.
    """

    lines: int
    broken: int
    missing: int
    head: str


def _link(previous: str, line: AuditLine) -> str:
    return hashlib.sha256(previous.encode() + msgspec.json.encode(line)).hexdigest()


class Audit:
    """The log of one state folder."""

    def __init__(self, db: aiosqlite.Connection, head: Path) -> None:
        self._db = db
        self._head = head
        self._lock = asyncio.Lock()
        self._looks: dict[tuple[str, str, str], float] = {}

    @classmethod
    async def open(cls, state_dir: Path, *, read_only: bool = False) -> Audit:
        """Open or make audit.db; CorruptStoreError or OSError where that fails."""
        path = state_dir / "audit.db"
        return cls(await connect(path, _MIGRATIONS, read_only=read_only), state_dir / HEAD)

    async def write(
        self, actor: str, action: str, subject: str, *, now: float, detail: str = ""
    ) -> None:
        """Append one line, durably; people who ask at the same time wait for each other."""
        async with self._lock:
            async with transaction(self._db):
                seq, previous = await self._last()
                line = AuditLine(seq + 1, now, actor, action, subject, detail)
                link = _link(previous, line)
                sql = "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)"
                await self._db.execute(sql, (*line, link))
            part = self._head.with_name(f"{HEAD}.new")
            part.write_text(f"{line.seq}:{link}\n", encoding="ascii")
            os.replace(part, self._head)  # noqa: PTH105 - may lag after a power cut, never run ahead

    async def look(
        self, actor: str, action: str, subject: str, *, now: float, detail: str = ""
    ) -> None:
        """Append a line, once in SAME_LOOK seconds for the same question of the same person."""
        key = (actor, action, subject)
        if 0 <= now - self._looks.get(key, -SAME_LOOK) < SAME_LOOK:
            return
        await self.write(actor, action, subject, now=now, detail=detail)
        if len(self._looks) >= _MOST_LOOKS:
            self._looks.clear()
        self._looks[key] = now

    async def _last(self) -> tuple[int, str]:
        async with self._db.execute(
            "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"
        ) as rows:
            row = await rows.fetchone()
        return (int(row["seq"]), str(row["hash"])) if row else (0, _GENESIS)

    async def lines(self, limit: int, about: str = "") -> list[AuditLine]:
        """Return the newest lines first; `about` is what their subject holds."""
        sql = (
            "SELECT seq, time, actor, action, subject, detail FROM audit "
            "WHERE instr(lower(subject), lower(?)) > 0 OR ? = '' ORDER BY seq DESC LIMIT ?"
        )
        async with self._db.execute(sql, (about, about, limit)) as rows:
            return [AuditLine(*row) async for row in rows]

    async def verify(self, noted: str = "") -> Chain:
        """Follow the chain, and hold its end against audit.head and a head `noted` elsewhere.

        Raises ValueError where `noted` is no head.
        """
        heads = [*([_head(noted)] if noted else []), *self._kept_head()]
        previous, expected = _GENESIS, 1
        async with self._db.execute("SELECT * FROM audit ORDER BY seq") as rows:
            async for row in rows:
                line = AuditLine(*tuple(row)[:6])
                link = _link(previous, line)
                other = any(seq == expected and digest != link for seq, digest in heads)
                if line.seq != expected or link != row["hash"] or other:
                    return Chain(expected - 1, expected, 0, f"{expected - 1}:{previous}")
                previous, expected = link, expected + 1
        missing = max([seq - expected + 1 for seq, _ in heads], default=0)
        return Chain(expected - 1, 0, max(missing, 0), f"{expected - 1}:{previous}")

    def _kept_head(self) -> list[tuple[int, str]]:
        try:
            text = self._head.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return []
        try:
            return [_head(text)] if text else []
        except ValueError:
            raise ValueError(
                f"{self._head} was changed by another hand, the log's end can't be held against "
                "it: keep a copy, remove it, and verify with a --head that was noted elsewhere"
            ) from None

    async def close(self) -> None:
        """Close the file."""
        await self._db.close()


def _head(text: str) -> tuple[int, str]:
    seq, _, digest = text.partition(":")
    if not seq.isdecimal() or len(digest) != len(_GENESIS):
        raise ValueError(f"{text!r} is no head of an audit log: NUMBER:HASH, as verify prints it")
    return int(seq), digest.lower()
