"""Entries and changes as rows of lists.db: what SQL there is stands here."""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from ipwatchd.lists.admit import TEXT, spans
from ipwatchd.lists.compile import nanoseconds, network_ranges
from ipwatchd.lists.schema import COLUMNS
from ipwatchd.records.entry import ListEntry
from ipwatchd.records.policy import RANGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import aiosqlite
    from numpy.typing import NDArray

__all__ = [
    "Edit", "changes", "clean", "delete", "forget", "load", "ranges", "record", "responses",
    "write",
]  # fmt: skip

_UPSERT: Final = """
INSERT INTO entries (id, list, network, scope, source, reason, author, created, expires, ticket,
                     first, last)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    reason = excluded.reason, author = excluded.author, expires = excluded.expires,
    ticket = excluded.ticket
"""
_RECORD: Final = """
INSERT INTO changes (time, action, entry, list, network, scope, source, author, reason, ticket,
                     expires)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_CHANGES: Final = """
SELECT * FROM changes WHERE (?1 = 0 OR seq < ?1) AND (?2 = '' OR network = ?2)
ORDER BY seq DESC LIMIT ?3
"""
_RESPONSES: Final = """
SELECT count(*) FROM changes
WHERE network = ? AND time >= ? AND list = 'deny' AND action = 'add' AND source LIKE 'response:%'
"""
_FORGET: Final = """
DELETE FROM changes WHERE time < ?
AND NOT EXISTS (SELECT 1 FROM entries WHERE entries.id = changes.entry)
"""


class Edit(msgspec.Struct, kw_only=True, frozen=True):
    """One change: `author` made it for `reason`; `action` is add, renew, remove or expire."""

    seq: int
    time: float
    action: str
    entry: int
    list: str
    network: str
    scope: str
    source: str
    author: str
    reason: str
    ticket: str
    expires: float


def clean(text: str) -> str:
    """Return a text as one bounded line of printable characters (log lines become reasons)."""
    if not text:
        return ""
    line = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * TEXT])
    return " ".join(line.split())[:TEXT]


def ranges(entries: Sequence[ListEntry]) -> NDArray[np.void]:
    """Return entries as ranges, row for row."""
    result = network_ranges(entry.network for entry in entries)
    result["expires"] = [nanoseconds(entry.expires) for entry in entries]
    return result


async def load(db: aiosqlite.Connection) -> tuple[list[ListEntry], NDArray[np.void]]:
    """Return all entries and their ranges, row for row."""
    entries: list[ListEntry] = []
    ends = bytearray()
    columns = ", ".join(COLUMNS)
    async with db.execute(
        f"SELECT {columns}, first, last FROM entries ORDER BY id"  # noqa: S608 (our own columns)
    ) as cursor:
        while chunk := await cursor.fetchmany(10_000):
            for row in chunk:
                entries.append(_entry(tuple(row)))
                ends += row["first"] + row["last"]
    numbers = np.frombuffer(bytes(ends), ">u8").reshape(-1, 4)
    result = np.zeros(len(entries), RANGE)
    for place, name in enumerate(("first_hi", "first_lo", "last_hi", "last_lo")):
        result[name] = numbers[:, place]
    result["expires"] = [nanoseconds(entry.expires) for entry in entries]
    return entries, result


async def write(db: aiosqlite.Connection, entries: Sequence[ListEntry]) -> list[ListEntry]:
    """Write entries, renew those that have an id, and return all with their ids."""
    number = count(await _next_number(db))
    numbered = [one if one.id else msgspec.structs.replace(one, id=next(number)) for one in entries]
    # A feed of a hundred thousand must not hold up the event loop while its rows are made.
    await db.executemany(_UPSERT, await asyncio.to_thread(_values, numbered))
    return numbered


async def delete(db: aiosqlite.Connection, ids: Iterable[int]) -> None:
    """Delete entries by id."""
    await db.executemany("DELETE FROM entries WHERE id = ?", [(one,) for one in ids])


async def record(
    db: aiosqlite.Connection, action: str, entries: Iterable[ListEntry], *, time: float,
    author: str = "", reason: str = "",
) -> None:  # fmt: skip
    """Write down a change of entries; author and reason are the entry's own where not given."""
    await db.executemany(
        _RECORD,
        (
            (time, action, one.id, one.list, one.network, one.scope, one.source,
             author or one.author, reason or one.reason, one.ticket, one.expires)
            for one in entries
        ),
    )  # fmt: skip


async def changes(db: aiosqlite.Connection, limit: int, before: int, network: str) -> list[Edit]:
    """Return changes, newest first."""
    async with db.execute(_CHANGES, (before, network, limit)) as cursor:
        return [Edit(**dict(row)) for row in await cursor.fetchall()]


async def responses(db: aiosqlite.Connection, network: str, since: float) -> int:
    """Return how often a response has put a network on the deny list since then."""
    async with db.execute(_RESPONSES, (network, since)) as cursor:
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def forget(db: aiosqlite.Connection, before: float) -> int:
    """Delete old changes of entries that are gone."""
    async with db.execute(_FORGET, (before,)) as cursor:
        return cursor.rowcount


async def _next_number(db: aiosqlite.Connection) -> int:
    """Return an id that no entry ever had (the history speaks of entries by id)."""
    async with db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'") as cursor:
        row = await cursor.fetchone()
    return int(row[0]) + 1 if row else 1


def _values(entries: Sequence[ListEntry]) -> list[tuple[object, ...]]:
    return [
        (
            one.id, one.list, one.network, one.scope, one.source, one.reason, one.author,
            one.created, one.expires, one.ticket, *ends,
        )
        for one, ends in zip(entries, spans(one.network for one in entries), strict=True)
    ]  # fmt: skip


def _entry(row: tuple[object, ...]) -> ListEntry:
    """Return an entry; texts that many rows share are kept once."""
    values = dict(zip(COLUMNS, row, strict=False))
    for name in ("list", "scope", "source", "reason", "author", "ticket"):
        values[name] = sys.intern(str(values[name]))
    return msgspec.convert(values, ListEntry)
