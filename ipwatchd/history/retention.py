"""What is old goes: by age for each kind of record, by bytes for the archive, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.sqlite import transaction

if TYPE_CHECKING:
    import asyncio

    import aiosqlite

    from ipwatchd.config import HistorySettings
    from ipwatchd.history.archive import Archive

__all__ = ["folded", "make_room", "retain"]

_DAY: Final = 86_400.0
# Flows that end now began earlier: a day is folded once most of its long ones are known.
_SETTLED: Final = 900.0
_LEAP: Final = 1.5 * _DAY
# Rows a transaction: a reader or a flush waits for no more than these.
_CHUNK: Final = 20_000
# table, its key, its time, and what else must hold
_EVENTS: Final = (("event", "id", "ts", "1"),)
# A change that says what is on a list now stays, however old.
_SUPERSEDED: Final = (
    "(action <> 'add' OR EXISTS (SELECT 1 FROM list_change later WHERE later.list = "
    "list_change.list AND later.network = list_change.network AND later.id > list_change.id))"
)
# An address whose number another row still holds.
_UNUSED: Final = (
    "NOT EXISTS (SELECT 1 FROM session s WHERE s.address = address.id) AND "
    "NOT EXISTS (SELECT 1 FROM incoming i WHERE i.source = address.id)"
)
_ROLLUPS: Final = (
    ("rollup_day", "day, address, traffic", "day", "1"),
    ("minute", "minute", "minute", "1"),
    ("session", "id", '"end"', "open = 0"),
    ("incoming", "source, target, proto, port", "last_seen", "1"),
    ("geo", "address, country, city, asn", "last_seen", "1"),
    ("api", "address, name, method, status, key", "last_seen", "1"),
    ("name", "address, name, source", "last_seen", "1"),
    ("agent", "agent, address, source", "last_seen", "1"),
    ("device", "address, mac", "last_seen", "1"),
    ("blocked", "hour, orig, resp, action", "hour", "1"),
    ("address", "id", "last_seen", _UNUSED),
    ("list_change", "id", "ts", _SUPERSEDED),
)


async def retain(
    db: aiosqlite.Connection, archive: Archive, settings: HistorySettings, now: float,
    lock: asyncio.Lock,
) -> dict[str, int]:  # fmt: skip
    """Delete what is too old or too much at `now`; return how much, by name.

    `lock` is held for a slice at a time: a flush waits for no more than one. A clock that leapt
    ahead deletes nothing by age until it has stood for a day: `doubted` is 1.
    """
    async with lock:
        if await _is_doubtful(db, now):
            gone = await _segments(db, archive, settings, float("-inf"))
            return {"segments": gone, "doubted": 1}
    await _fold(db, now, lock)
    event_limit = now - settings.event_days * _DAY
    rollup_limit = now - settings.rollup_days * _DAY
    rows = await _drop_hours(db, now - min(settings.hour_days, settings.rollup_days) * _DAY, lock)
    for tables, limit in ((_EVENTS, event_limit), (_ROLLUPS, rollup_limit)):
        for table, key, time, also in tables:
            statement = (
                f"DELETE FROM {table} WHERE ({key}) IN "  # noqa: S608 - the names above
                f"(SELECT {key} FROM {table} WHERE {time} < ? AND {also} LIMIT ?)"
            )
            rows += await _delete(db, statement, limit, lock)
    over = await _over_budget(db, settings.database_bytes, now, lock)
    async with lock:
        segments = await _segments(db, archive, settings, now - settings.flow_days * _DAY)
    found = {"rows": rows, "segments": segments}
    return {**found, "rows_over_budget": over} if over else found


async def make_room(db: aiosqlite.Connection, archive: Archive, need: int) -> int:
    """Delete the oldest segments until `need` bytes came free; return how many went.

    None where all of them would not do: an archive given up would save nothing.
    """
    async with db.execute("SELECT name, bytes FROM segment ORDER BY last, name") as rows:
        found = [(str(name), int(size)) async for name, size in rows]
    if sum(size for _, size in found) < need:
        return 0
    removed = []
    for name, size in found:
        if need <= 0:
            break
        archive.remove(name)
        need -= size
        removed.append((name,))
    async with transaction(db):
        await db.executemany("DELETE FROM segment WHERE name = ?", removed)
    return len(removed)


# What fills history.db, by its time; what is known of an address (places, names, agents) stays.
_BULKY: Final = (
    ("rollup", "hour, address, traffic", "hour"), ("event", "id", "ts"),
    ("session", "id", '"end"'), ("incoming", "source, target, proto, port", "last_seen"),
    ("rollup_day", "day, address, traffic", "day"),
)  # fmt: skip


async def _over_budget(
    db: aiosqlite.Connection, budget: int, now: float, lock: asyncio.Lock
) -> int:
    """Delete the oldest days of the bulky tables until the database is within its bytes."""
    rows = 0
    while await _used(db) > budget:
        oldest = await _oldest(db)
        if oldest is None or oldest + _DAY > now - _DAY:  # yesterday and today stay
            break
        limit = oldest // _DAY * _DAY + _DAY
        for table, key, time in _BULKY:
            statement = (
                f"DELETE FROM {table} WHERE ({key}) IN "  # noqa: S608 - the names above
                f"(SELECT {key} FROM {table} WHERE {time} < ? LIMIT ?)"
            )
            rows += await _delete(db, statement, limit, lock)
    return rows


async def _used(db: aiosqlite.Connection) -> int:
    found = []
    for name in ("page_count", "freelist_count", "page_size"):
        async with db.execute(f"PRAGMA {name}") as rows:
            found += [int(row[0]) async for row in rows]
    pages, free, size = found
    return (pages - free) * size


async def _oldest(db: aiosqlite.Connection) -> float | None:
    union = " UNION ALL ".join(f"SELECT min({time}) FROM {table}" for table, _, time in _BULKY)  # noqa: S608 - the names above
    async with db.execute(union) as rows:
        found = [float(row[0]) async for row in rows if row[0] is not None]
    return min(found, default=None)


async def folded(db: aiosqlite.Connection) -> float:
    """Return the time before which the table of days is up to date."""
    async with db.execute("SELECT value FROM meta WHERE key = 'folded'") as rows:
        row = await rows.fetchone()
    return float(row[0]) if row else 0.0


async def _fold(db: aiosqlite.Connection, now: float, lock: asyncio.Lock) -> None:
    """Sum up the hours of each day that is over; what comes later goes to both tables."""
    until = (now - _SETTLED) // _DAY * _DAY
    since = await folded(db)
    async with db.execute(
        "SELECT DISTINCT hour / 86400 * 86400 FROM rollup WHERE hour >= ? AND hour < ? ORDER BY 1",
        (since, until),
    ) as rows:
        days = [int(row[0]) async for row in rows]
    for day in days:
        async with lock, transaction(db):
            await db.execute(_FOLD, (day, day, day + 86_400))
            await _mark(db, "folded", day + 86_400)


_FOLD: Final = """
INSERT OR REPLACE INTO rollup_day SELECT ?, address, traffic, sum(flows), sum(packets_in),
    sum(packets_out), sum(bytes_in), sum(bytes_out) FROM rollup WHERE hour >= ? AND hour < ?
    GROUP BY address, traffic
"""


async def _drop_hours(db: aiosqlite.Connection, before: float, lock: asyncio.Lock) -> int:
    """Delete the hours of folded days that are old; the days' sums stay."""
    limit = min(before // _DAY * _DAY, await folded(db))
    async with lock, transaction(db):
        await db.execute(
            "INSERT INTO meta VALUES ('hours_from', ?) ON CONFLICT DO UPDATE SET "
            "value = max(value, excluded.value)",
            (int(limit),),
        )
    return await _delete(
        db,
        "DELETE FROM rollup WHERE (hour, address, traffic) IN (SELECT hour, address, traffic "
        "FROM rollup WHERE hour < ? LIMIT ?)",
        limit,
        lock,
    )


async def _is_doubtful(db: aiosqlite.Connection, now: float) -> bool:
    """Tell whether `now` is more than a day after the last retention, and remember it.

    A wrong clock (a dead battery, a forged time server) must not delete a month of history: only
    after a day at the new time is it believed.
    """
    async with db.execute(
        "SELECT key, value FROM meta WHERE key IN ('retained', 'doubted')"
    ) as rows:
        known = {str(row[0]): float(row[1]) async for row in rows}
    last, doubted = known.get("retained", now), known.get("doubted", 0.0)
    leapt = now - last > _LEAP
    stood = doubted and _DAY <= now - doubted <= _DAY + _LEAP
    if leapt and not stood:
        if not doubted or not 0 <= now - doubted <= _LEAP:
            await _remember(db, "doubted", now)
        return True
    await _remember(db, "doubted", 0.0)
    await _remember(db, "retained", now)
    return False


async def _remember(db: aiosqlite.Connection, key: str, value: float) -> None:
    async with transaction(db):
        await _mark(db, key, value)


async def _mark(db: aiosqlite.Connection, key: str, value: float) -> None:
    await db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, int(value)))


async def _delete(
    db: aiosqlite.Connection, statement: str, limit: float, lock: asyncio.Lock
) -> int:
    total = 0
    while True:
        async with lock, transaction(db):
            cursor = await db.execute(statement, (limit, _CHUNK))
        total += max(cursor.rowcount, 0)
        if cursor.rowcount < _CHUNK:
            return total


async def _segments(
    db: aiosqlite.Connection, archive: Archive, settings: HistorySettings, limit: float
) -> int:
    async with db.execute("SELECT name, bytes, last FROM segment ORDER BY last, name") as rows:
        found = [(str(name), int(size), float(last)) async for name, size, last in rows]
    total = sum(size for _, size, _ in found)
    removed = []
    for name, size, last in found:
        if last >= limit and total <= settings.archive_bytes:
            break
        archive.remove(name)
        total -= size
        removed.append((name,))
    async with transaction(db):
        await db.executemany("DELETE FROM segment WHERE name = ?", removed)
    return len(removed)
