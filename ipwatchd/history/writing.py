"""The statements of one flush: rows and counts, added to what the tables hold."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.history.rollup import keys
from ipwatchd.history.sessions import service_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import aiosqlite
    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.history.archive import Segment
    from ipwatchd.history.facts import Facts, Key
    from ipwatchd.history.rollup import Summary
    from ipwatchd.records.place import Place

__all__ = ["Sighting", "write_changes", "write_events", "write_flows", "write_places",
           "write_segments", "write_sessions", "write_unsealed"]  # fmt: skip

Row = tuple[object, ...]

# A new zone of an address (a reload) replaces the old; sums grow, the span of time widens.
_ADDRESS: Final = """
INSERT INTO address (address, zone, first_seen, last_seen, flows, packets, bytes)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    zone = excluded.zone, first_seen = min(first_seen, excluded.first_seen),
    last_seen = max(last_seen, excluded.last_seen), flows = flows + excluded.flows,
    packets = packets + excluded.packets, bytes = bytes + excluded.bytes
"""
_ROLLUP: Final = """
INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    flows = flows + excluded.flows, packets_in = packets_in + excluded.packets_in,
    packets_out = packets_out + excluded.packets_out, bytes_in = bytes_in + excluded.bytes_in,
    bytes_out = bytes_out + excluded.bytes_out
"""
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
_SESSION: Final = """
INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    start = excluded.start, "end" = excluded."end", flows = excluded.flows,
    packets = excluded.packets, bytes = excluded.bytes, services = excluded.services,
    mask = excluded.mask, open = excluded.open
"""
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


async def write_flows(db: aiosqlite.Connection, summary: Summary) -> None:
    """Add what flows changed."""
    await db.executemany(_ADDRESS, summary.addresses)
    await db.executemany(_ROLLUP, summary.rollups)
    await db.executemany(_MINUTE, summary.minutes)
    await db.executemany(_INCOMING, summary.incoming)


async def write_sessions(db: aiosqlite.Connection, *, opened: NDArray[np.void],
                         closed: NDArray[np.void]) -> None:  # fmt: skip
    """Write sessions as they stand; both have their ids."""
    await db.executemany(_SESSION, [*_sessions(opened, 1), *_sessions(closed, 0)])


def _sessions(rows: NDArray[np.void], still_open: int) -> Iterable[Row]:
    masks = rows["services"].tolist()
    return zip(
        rows["id"].tolist(), keys(rows), (rows["start"] / 1000).tolist(),
        (rows["end"] / 1000).tolist(), rows["flows"].tolist(), rows["packets"].tolist(),
        rows["bytes"].tolist(), map(service_names, masks), masks, repeat(still_open, len(rows)),
        strict=True,
    )  # fmt: skip


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


async def write_events(db: aiosqlite.Connection, facts: Facts) -> None:
    """Add what events said."""
    await db.executemany(_EVENT, facts.events)
    await db.executemany(_NAME, _counted(facts.names))
    await db.executemany(_AGENT, _counted(facts.agents))
    await db.executemany(_API, _counted(facts.api))
    await db.executemany(_DEVICE, [
        (*key, facts.hostnames.get(key, ""), *counts) for key, counts in facts.devices.items()
    ])  # fmt: skip
    await db.executemany(_BLOCKED, [(*key, row[0]) for key, row in facts.blocked.items()])
    await db.executemany(_DENIED, _counted(facts.denied))


def _counted(table: Mapping[Key, list[float]]) -> list[Row]:
    return [(*key, *counts) for key, counts in table.items()]


async def write_segments(db: aiosqlite.Connection, segments: Iterable[Segment]) -> None:
    """Register sealed segments."""
    await db.executemany("INSERT OR REPLACE INTO segment VALUES (?, ?, ?, ?, ?)", list(segments))


async def write_unsealed(db: aiosqlite.Connection, rows: int) -> None:
    """Note how many flows are in the tables and in no segment yet: a crash loses these."""
    await db.execute("INSERT OR REPLACE INTO meta VALUES ('unsealed', ?)", (rows,))


async def write_changes(db: aiosqlite.Connection, changes: Sequence[Row]) -> None:
    """Record list changes."""
    await db.executemany(
        "INSERT INTO list_change (ts, list, network, first, last, action, author, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        changes,
    )
