"""The statements of one flush: rows and counts, added to what the tables hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ipwatchd.history.groups import keys
from ipwatchd.history.sessions import service_names
from ipwatchd.records.flow import DIRECTIONS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import aiosqlite
    from numpy.typing import NDArray

    from ipwatchd.history.archive import Segment
    from ipwatchd.history.dimensions import Dimensions
    from ipwatchd.history.facts import Facts, Key
    from ipwatchd.history.rollup import Summary
    from ipwatchd.records.place import Place

__all__ = [
    "Sighting",
    "write_changes",
    "write_events",
    "write_flows",
    "write_mark",
    "write_places",
    "write_segments",
    "write_sessions",
]  # fmt: skip

Row = tuple[Any, ...]

_NS: Final = 1_000_000_000

# A new zone of an address (a reload) replaces the old; sums grow, the span of time widens.
_ADDRESS: Final = """
UPDATE address SET zone = ?, first_seen = min(first_seen, ?), last_seen = max(last_seen, ?),
    flows = flows + ?, packets = packets + ?, bytes = bytes + ? WHERE id = ?
"""
_ROLLUP: Final = """
INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    flows = flows + excluded.flows, packets_in = packets_in + excluded.packets_in,
    packets_out = packets_out + excluded.packets_out, bytes_in = bytes_in + excluded.bytes_in,
    bytes_out = bytes_out + excluded.bytes_out
"""
_ROLLUP_DAY: Final = _ROLLUP.replace("INTO rollup", "INTO rollup_day").replace(
    "?", "? / 86400 * 86400", 1
)
_MINUTE: Final = """
INSERT INTO minute VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET flows = flows + excluded.flows,
    packets = packets + excluded.packets, bytes = bytes + excluded.bytes
"""
_INCOMING: Final = """
INSERT INTO incoming (source, target, proto, port, service, first_seen, last_seen, count, answered,
    bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    service = iif(excluded.service = '', service, excluded.service),
    first_seen = min(first_seen, excluded.first_seen),
    last_seen = max(last_seen, excluded.last_seen), count = count + excluded.count,
    answered = answered + excluded.answered, bytes = bytes + excluded.bytes
"""
_DENIED: Final = """
INSERT INTO incoming VALUES (?1, ?2, ?3, ?4, '', ?6, ?7, 0, 0, 0, ?5) ON CONFLICT DO UPDATE SET
    denied = denied + excluded.denied, first_seen = min(first_seen, excluded.first_seen),
    last_seen = max(last_seen, excluded.last_seen)
"""
_SESSION: Final = "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
# A session that goes on: the columns that indexes are made of stay as they are.
_LONGER: Final = """
UPDATE session SET start = ?, "end" = ?, flows = ?, packets = ?, bytes = ?, mask = ? WHERE id = ?
"""
_ENDED: Final = _LONGER.replace("WHERE", ", open = 0 WHERE")
_SPOKEN: Final = "INSERT OR IGNORE INTO spoken VALUES (?, ?)"
_PLACE: Final = "UPDATE address SET country = ?, asn = ? WHERE address = ?"
_GEO: Final = """
INSERT INTO geo VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    operator = excluded.operator, time_zone = excluded.time_zone, built = excluded.built,
    first_seen = min(first_seen, excluded.first_seen),
    last_seen = max(last_seen, excluded.last_seen)
"""
_EVENT: Final = """
INSERT INTO event (ts, kind, orig, resp, resp_port, proto, name, user, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_NAME: Final = """
INSERT INTO name VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    count = count + excluded.count, first_seen = min(first_seen, excluded.first_seen),
    last_seen = max(last_seen, excluded.last_seen)
"""
_AGENT: Final = _NAME.replace("INTO name", "INTO agent")
_API: Final = _NAME.replace("INTO name VALUES (", "INTO api VALUES (?, ?, ")
_DEVICE: Final = """
INSERT INTO device VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    count = count + excluded.count, first_seen = min(first_seen, excluded.first_seen),
    last_seen = max(last_seen, excluded.last_seen),
    hostname = iif(excluded.hostname = '', hostname, excluded.hostname)
"""
_BLOCKED: Final = """
INSERT INTO blocked VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count
"""


class Sighting(NamedTuple):
    """An address that was looked up: its key, whereabouts, and when it was seen."""

    address: bytes
    place: Place
    seen: float


async def write_flows(
    db: aiosqlite.Connection, summary: Summary, dimensions: Dimensions, zones: Sequence[str],
    folded: float,
) -> None:  # fmt: skip
    """Add what flows changed. Days before `folded` are in the table of days as well."""
    if not summary.flows:
        return
    number = await _numbers(db, summary, dimensions)
    await db.executemany(_ADDRESS, _addresses(summary.addresses, number, zones))
    await _write_rollups(db, summary.rollups, number, dimensions, zones, folded)
    await db.executemany(_MINUTE, summary.minutes.tolist())
    await db.executemany(_INCOMING, _reached(summary.incoming, number))


async def _numbers(
    db: aiosqlite.Connection, summary: Summary, dimensions: Dimensions
) -> NDArray[np.int64]:
    """Return the number of each address of a summary that a row is about, 0 of the others."""
    number = np.zeros(len(summary.distinct), np.int64)
    facts = summary.addresses
    first, last = float(facts["first"].min()) / _NS, float(facts["last"].max()) / _NS
    with_facts = np.zeros(len(number), np.bool_)
    with_facts[facts["address"]] = True
    others = np.zeros(len(number), np.bool_)
    for rows, name in (
        (summary.rollups, "address"), (summary.incoming, "source"), (summary.incoming, "target"),
    ):  # fmt: skip
        others[rows[name]] = True
    # The facts of an address narrow a span of time that is inside out down to its own.
    for some, begun, ended in ((with_facts, last, first), (others & ~with_facts, first, last)):
        number[some] = await dimensions.addresses(db, keys(summary.distinct[some]), begun, ended)
    return number


def _addresses(
    rows: NDArray[np.void], number: NDArray[np.int64], zones: Sequence[str]
) -> Iterable[Row]:
    return zip(
        _named(rows["zone"], zones), (rows["first"] / _NS).tolist(), (rows["last"] / _NS).tolist(),
        rows["flows"].tolist(), rows["packets"].tolist(), rows["bytes"].tolist(),
        number[rows["address"]].tolist(), strict=True,
    )  # fmt: skip


async def _write_rollups(
    db: aiosqlite.Connection, rows: NDArray[np.void], number: NDArray[np.int64],
    dimensions: Dimensions, zones: Sequence[str], folded: float,
) -> None:  # fmt: skip
    code = rows["direction"].astype(np.int64) << 32 | rows["zone"].astype(np.int64) << 16
    kinds, kind = np.unique(code | rows["service"], return_inverse=True)
    words = [
        (
            DIRECTIONS[min(one >> 32, len(DIRECTIONS) - 1)], _name(one >> 16 & 0xFFFF, zones),
            _name(one & 0xFFFF, SERVICES),
        )
        for one in kinds.tolist()
    ]  # fmt: skip
    known = await dimensions.traffic(db, words)
    traffic = np.array([known[word] for word in words], np.int64)[kind]
    address = number[rows["address"]]
    # In the table's own order: neighbours share a page.
    order = np.lexsort((traffic, address, rows["hour"]))
    columns = [column[order].tolist() for column in (
        rows["hour"], address, traffic, rows["flows"], rows["packets_in"], rows["packets_out"],
        rows["bytes_in"], rows["bytes_out"],
    )]  # fmt: skip
    made = list(zip(*columns, strict=True))
    await db.executemany(_ROLLUP, made)
    await db.executemany(_ROLLUP_DAY, [row for row in made if row[0] < folded])


def _reached(rows: NDArray[np.void], number: NDArray[np.int64]) -> list[Row]:
    source, target = number[rows["source"]], number[rows["target"]]
    order = np.lexsort((target, source))
    some = rows[order]
    return list(zip(
        source[order].tolist(), target[order].tolist(), some["proto"].tolist(),
        some["port"].tolist(), _named(some["service"], SERVICES), (some["first"] / _NS).tolist(),
        (some["last"] / _NS).tolist(), some["count"].tolist(), some["answered"].tolist(),
        some["bytes"].tolist(), strict=True,
    ))  # fmt: skip


def _name(index: int, names: Sequence[str]) -> str:
    return names[index] if index < len(names) else ""


def _named(indices: NDArray[np.integer], names: Sequence[str]) -> list[str]:
    """Return names by index; an index that no name belongs to is ""."""
    words = {index: _name(index, names) for index in set(indices.tolist())}
    return [words[index] for index in indices.tolist()]


async def write_sessions(
    db: aiosqlite.Connection, dimensions: Dimensions, *, opened: NDArray[np.void],
    closed: NDArray[np.void], following: int,
) -> None:  # fmt: skip
    """Write sessions as they stand; both have their ids, those from `following` on are new."""
    every = np.concatenate([opened, closed])
    if not len(every):
        return
    await db.executemany(
        _SPOKEN, [(mask, service_names(mask)) for mask in np.unique(every["services"]).tolist()]
    )
    new = every["id"] >= following
    still = np.arange(len(every)) < len(opened)
    fresh = every[new]
    names = keys(fresh)
    span = float(every["start"].min()) / 1000, float(every["end"].max()) / 1000
    numbers = await dimensions.addresses(db, names, *span)
    await db.executemany(_SESSION, zip(
        fresh["id"].tolist(), numbers, *_measures(fresh), still[new].astype(np.int64).tolist(),
        strict=True,
    ))  # fmt: skip
    for statement, rows in ((_LONGER, every[~new & still]), (_ENDED, every[~new & ~still])):
        await db.executemany(statement, zip(*_measures(rows), rows["id"].tolist(), strict=True))


def _measures(rows: NDArray[np.void]) -> list[list[object]]:
    return [
        (rows["start"] / 1000).tolist(), (rows["end"] / 1000).tolist(), rows["flows"].tolist(),
        rows["packets"].tolist(), rows["bytes"].tolist(), rows["services"].tolist(),
    ]  # fmt: skip


async def write_places(db: aiosqlite.Connection, sightings: Iterable[Sighting]) -> None:
    """Record where addresses are; those that are nowhere (private) leave no row."""
    placed = [one for one in sightings if one.place.country or one.place.asn]
    await db.executemany(
        _PLACE, [(one.place.country, one.place.asn, one.address) for one in placed]
    )
    await db.executemany(_GEO, [
        (
            one.address, one.place.country, one.place.city, one.place.asn, one.place.operator,
            one.place.time_zone, one.place.built, one.seen, one.seen,
        )
        for one in placed
    ])  # fmt: skip


async def write_events(db: aiosqlite.Connection, facts: Facts, dimensions: Dimensions) -> None:
    """Add what events said."""
    await db.executemany(_EVENT, facts.events)
    await db.executemany(_NAME, _counted(facts.names))
    await db.executemany(_AGENT, _counted(facts.agents))
    await db.executemany(_API, _counted(facts.api))
    await db.executemany(_DEVICE, [
        (*key, facts.hostnames.get(key, ""), *counts) for key, counts in facts.devices.items()
    ])  # fmt: skip
    await db.executemany(_BLOCKED, [(*key, row[0]) for key, row in facts.blocked.items()])
    await _write_denied(db, facts.denied, dimensions)


async def _write_denied(
    db: aiosqlite.Connection, denied: Mapping[Key, list[float]], dimensions: Dimensions
) -> None:
    if not denied:
        return
    first = min(counts[1] for counts in denied.values())
    last = max(counts[2] for counts in denied.values())
    ends = [bytes(end) for key in denied for end in key[:2] if isinstance(end, bytes)]
    known = await dimensions.addresses(db, ends, first, last)
    await db.executemany(
        "UPDATE address SET last_seen = max(last_seen, ?) WHERE id = ?",
        [(last, number) for number in sorted(set(known))],
    )
    numbers = iter(known)
    await db.executemany(_DENIED, [
        (next(numbers), next(numbers), *key[2:], *counts) for key, counts in denied.items()
    ])  # fmt: skip


def _counted(table: Mapping[Key, list[float]]) -> list[Row]:
    return [(*key, *counts) for key, counts in table.items()]


async def write_segments(db: aiosqlite.Connection, segments: Iterable[Segment]) -> None:
    """Register sealed segments."""
    await db.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?, ?, ?, ?)", list(segments))


async def write_mark(db: aiosqlite.Connection, name: str, value: int) -> None:
    """Note how far something got, in the transaction that got there."""
    await db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


async def write_changes(db: aiosqlite.Connection, changes: Sequence[Row]) -> None:
    """Record list changes."""
    await db.executemany(
        "INSERT INTO list_change (ts, list, network, first, last, action, author, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        changes,
    )
