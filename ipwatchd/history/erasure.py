"""Erasure: the statements that take one subject out of history.db, and the scrubbing after them.

An address goes with every row about it, events that mention it too. An agent goes by name: who
was at an address is forgotten, the address's own traffic stays, nameless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.sqlite import transaction

if TYPE_CHECKING:
    import aiosqlite

    from ipwatchd.history.subject import Subject

__all__ = ["erase_rows", "mentions", "scrub", "vacuum"]

_CHUNK: Final = 500
_ADDRESS: Final = {
    "address": "address = ?1", "rollup": "address = ?1", "session": "address = ?1",
    "geo": "address = ?1", "api": "address = ?1", "name": "address = ?1", "agent": "address = ?1",
    "device": "address = ?1", "incoming": "source = ?1 OR target = ?1",
    "blocked": "orig = ?1 OR resp = ?1", "event": "orig = ?1 OR resp = ?1",
    "list_change": "first = ?1 AND last = ?1",
}  # fmt: skip
_AGENT: Final = {
    "agent": "lower(agent) = lower(?1)", "api": "lower(key) = lower(?1)",
    "event": "lower(user) = lower(?1)",
}  # fmt: skip


async def erase_rows(db: aiosqlite.Connection, who: Subject) -> dict[str, int]:
    """Delete every row about the subject in one transaction; return how many, by table."""
    await db.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten with zeros
    told = await mentions(db, who)
    value = who.key or who.text
    removed: dict[str, int] = {}
    async with transaction(db):
        for table, condition in (_ADDRESS if who.key else _AGENT).items():
            cursor = await db.execute(
                f"DELETE FROM {table} WHERE {condition}",  # noqa: S608 - the names above
                (value,),
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


async def mentions(db: aiosqlite.Connection, who: Subject) -> list[int]:
    """Return the ids of events that name the subject anywhere (an address in a DNS answer)."""
    sql = "SELECT id, body FROM event WHERE instr(lower(body), lower(?)) > 0"
    pattern = who.pattern()
    async with db.execute(sql, (who.text,)) as rows:
        return [int(row["id"]) async for row in rows if pattern.search(row["body"])]


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
