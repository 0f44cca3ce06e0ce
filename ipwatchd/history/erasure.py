"""Erasure: one subject taken out of history.db and the archive, then searched for in every file.

An address or network goes with every row about it, events that mention it too. An agent goes by
name: who was at an address is forgotten, the address's own traffic stays, nameless.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.history.traces import Search, ends_under, search
from ipwatchd.history.writing import write_segments
from ipwatchd.sqlite import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import aiosqlite

    from ipwatchd.history.archive import Archive
    from ipwatchd.history.pseudonym import Pseudonyms
    from ipwatchd.history.readers import Readers
    from ipwatchd.history.subject import Subject

__all__ = ["Erased", "erase", "mentions"]

_CHUNK: Final = 500
_PAGE: Final = 10_000
_ABOUT: Final = "address BETWEEN ?1 AND ?2"
_NUMBERS: Final = f"SELECT id FROM address WHERE {_ABOUT}"  # noqa: S608 - the line above
_ADDRESS: Final = {
    **dict.fromkeys(("geo", "api", "name", "agent", "device"), _ABOUT),
    **dict.fromkeys(("rollup", "rollup_day", "session"), f"address IN ({_NUMBERS})"),
    "incoming": f"source IN ({_NUMBERS}) OR target IN ({_NUMBERS})",
    "address": _ABOUT,  # after those that hold its number
    "blocked": "orig BETWEEN ?1 AND ?2 OR resp BETWEEN ?1 AND ?2",
    "event": "orig BETWEEN ?1 AND ?2 OR resp BETWEEN ?1 AND ?2",
    "list_change": "first >= ?1 AND last <= ?2 AND length(first) = 16",
}  # fmt: skip
_AGENT: Final = {
    "agent": "lower(agent) = lower(?1)", "api": "lower(key) = lower(?1)",
    "event": "lower(user) = lower(?1)", "list_change": "lower(network) = 'agent:' || lower(?1)",
}  # fmt: skip


class Erased(NamedTuple):
    """What an erasure did: rows and flows that went, by table, and the search after it."""

    removed: dict[str, int]
    left: Search


async def erase(
    db: aiosqlite.Connection, readers: Readers, archive: Archive, state_dir: Path, who: Subject, *,
    keyed: Mapping[str, Pseudonyms | None], forget: Callable[[Subject], None],
) -> Erased:  # fmt: skip
    """Take a subject out of all that is written; nothing else may write meanwhile.

    `keyed` are the archive's days under keys, `forget` drops what memory holds of an address.
    Raises OSError or sqlite3.Error where the disk refuses: erase again.
    """
    told = await mentions(readers, who)
    removed = await _erase_rows(db, who, told)
    if who.key:
        forget(who)  # first: should the disk refuse, its numbers are known no more
        removed |= await _erase_flows(db, archive, who, keyed)
    await _scrub(db)
    left = await asyncio.to_thread(search, state_dir, who, keyed)
    if any(name.startswith("history.db") for name in left.found):
        await _vacuum(db)
        left = await asyncio.to_thread(search, state_dir, who, keyed)
    return Erased(removed, left)


async def _erase_flows(
    db: aiosqlite.Connection, archive: Archive, who: Subject,
    keyed: Mapping[str, Pseudonyms | None],
) -> dict[str, int]:  # fmt: skip
    async with db.execute("SELECT name FROM segment") as rows:
        names = [str(row[0]) async for row in rows]
    gone = segments = 0
    for name in names:
        day = name.partition("/")[0].removeprefix("date=")
        if day in keyed and keyed[day] is None:  # nobody can tell who is in it
            continue
        ends = ends_under(who, keyed.get(day))
        try:
            segment, count = await asyncio.to_thread(archive.without, name, *ends)
        except ValueError:  # damaged: the search names it
            continue
        if not count:
            continue
        gone, segments = gone + count, segments + 1
        async with transaction(db):
            await db.execute("DELETE FROM segment WHERE name = ?", (name,))
            await write_segments(db, [segment] if segment else [])
    return {"flows": gone, "segments_rewritten": segments} if gone else {}


async def _erase_rows(
    db: aiosqlite.Connection, who: Subject, told: Sequence[int]
) -> dict[str, int]:
    """Delete every row about the subject, and the events `told`, in one transaction.

    Return how many, by table.
    """
    await db.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten with zeros
    values = (who.key, who.last) if who.key else (who.text,)
    removed: dict[str, int] = {}
    async with transaction(db):
        for table, condition in (_ADDRESS if who.key else _AGENT).items():
            cursor = await db.execute(
                f"DELETE FROM {table} WHERE {condition}",  # noqa: S608 - the names above
                values,
            )
            removed[table] = cursor.rowcount
        for at in range(0, len(told), _CHUNK):
            marks = ", ".join("?" * len(told[at : at + _CHUNK]))
            cursor = await db.execute(
                f"DELETE FROM event WHERE id IN ({marks})",  # noqa: S608 - question marks
                told[at : at + _CHUNK],
            )
            removed["event"] += cursor.rowcount
    return {table: count for table, count in removed.items() if count}


async def mentions(readers: Readers, who: Subject) -> list[int]:
    """Return the ids of events that name the subject anywhere (an address in a DNS answer)."""
    sql = (
        "SELECT id, body FROM event WHERE id > ? AND instr(lower(body), ?) > 0 ORDER BY id LIMIT ?"
    )
    found: list[int] = []
    last = -1
    while rows := await readers.rows(sql, (last, who.clue(), _PAGE)):
        found += [int(row["id"]) for row in rows if who.hits(bytes(row["body"]))]
        last = int(rows[-1]["id"])
    return found


async def _scrub(db: aiosqlite.Connection) -> None:
    """Move all of the write-ahead log into the file and cut it to nothing."""
    async with db.execute("PRAGMA wal_checkpoint(TRUNCATE)") as rows:
        row = await rows.fetchone()
    if row is None or row[0]:
        raise OSError("another reader holds history.db's log open: end it and erase again")


async def _vacuum(db: aiosqlite.Connection) -> None:
    """Write the file anew: what an older deletion left in free space goes as well."""
    await db.execute("VACUUM")
    await _scrub(db)
