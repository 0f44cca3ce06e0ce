"""Erasure: the statements that take one subject out of history.db, and the scrubbing after them.

An address or network goes with every row about it, events that mention it too. An agent goes by
name: who was at an address is forgotten, the address's own traffic stays, nameless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.sqlite import transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    import aiosqlite

    from ipwatchd.history.readers import Readers
    from ipwatchd.history.subject import Subject

__all__ = ["erase_rows", "mentions", "scrub", "vacuum"]

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


async def erase_rows(db: aiosqlite.Connection, who: Subject, told: Sequence[int]) -> dict[str, int]:
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


async def scrub(db: aiosqlite.Connection) -> None:
    """Move all of the write-ahead log into the file and cut it to nothing."""
    async with db.execute("PRAGMA wal_checkpoint(TRUNCATE)") as rows:
        row = await rows.fetchone()
    if row is None or row[0]:
        raise OSError("another reader holds history.db's log open: end it and erase again")


async def vacuum(db: aiosqlite.Connection) -> None:
    """Write the file anew: what an older deletion left in free space goes as well."""
    await db.execute("VACUUM")
    await scrub(db)
