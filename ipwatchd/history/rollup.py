"""Flows → what changes in the tables, by sorting and summing whole columns. Pure.

A batch becomes a `Summary`; summaries are combined in memory before they are written, so that an
address that is busy for ten seconds is one row of one write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.history.groups import codes, factorise, fold, greatest, heaviest, least, ranks, totals
from ipwatchd.records.address import join
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.history.columns import Columns
    from ipwatchd.records.address import IPAddress

__all__ = ["DAY", "HOUR", "Summary", "combine", "pack", "summarise", "unpack"]

HOUR: Final = 3600
DAY: Final = 86_400
MINUTE: Final = 60
_NS: Final = 1_000_000_000
# Sources made up by an attacker become rows: the ones with the fewest bytes of a write are shed.
MAX_GROUPS: Final = 200_000
# A scan of 65,535 ports is one row a target (port 0) once it tried more than this in one flush.
MAX_UNANSWERED_PORTS: Final = 16
# SQLite's integers are signed; a counter that high was forged or is broken.
_MOST: Final = (1 << 62) - 1


_SUMS: Final = [
    ("packets_in", "<i8"),
    ("packets_out", "<i8"),
    ("bytes_in", "<i8"),
    ("bytes_out", "<i8"),
]

ADDRESSES: Final = np.dtype([
    ("address", "<u4"), ("zone", "<u2"), ("first", "<i8"), ("last", "<i8"), ("flows", "<i8"),
    ("packets", "<i8"), ("bytes", "<i8"),
])  # fmt: skip
ROLLUPS: Final = np.dtype([
    ("hour", "<i8"), ("address", "<u4"), ("direction", "u1"), ("zone", "<u2"), ("service", "u1"),
    ("flows", "<i8"), *_SUMS,
])  # fmt: skip
INCOMING: Final = np.dtype([
    ("source", "<u4"), ("target", "<u4"), ("proto", "u1"), ("port", "<u2"), ("service", "u1"),
    ("first", "<i8"), ("last", "<i8"), ("count", "<i8"), ("answered", "<i8"), ("bytes", "<i8"),
])  # fmt: skip
MINUTES: Final = np.dtype(
    [("minute", "<i8"), ("flows", "<i8"), ("packets", "<i8"), ("bytes", "<i8")]
)


class Summary(NamedTuple):
    """What flows add to the tables: rows of the dtypes above.

    `address`, `source` and `target` are places in `distinct` (dtype ADDRESS, in order), zones,
    directions and services are indices, `hour` and `minute` epoch seconds, `first` and `last`
    nanoseconds. `flows` is how many there were, `shed` how many groups were let go.
    """

    distinct: NDArray[np.void]
    addresses: NDArray[np.void]
    rollups: NDArray[np.void]
    incoming: NDArray[np.void]
    minutes: NDArray[np.void]
    flows: int
    shed: int


class _Ends(NamedTuple):
    """Each flow twice, once for either end; rows of the second half belong to the responder."""

    place: NDArray[np.intp]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    zone: NDArray[np.uint16]
    peer_zone: NDArray[np.uint16]
    direction: NDArray[np.uint8]
    service: NDArray[np.uint8]
    packets_in: NDArray[np.int64]
    packets_out: NDArray[np.int64]
    bytes_in: NDArray[np.int64]
    bytes_out: NDArray[np.int64]


def pack(hi: int, lo: int) -> bytes:
    """Return an address as the 16 bytes that are its key."""
    return hi.to_bytes(8) + lo.to_bytes(8)


def unpack(key: bytes) -> IPAddress:
    """Return the address of a key."""
    return join(int.from_bytes(key[:8]), int.from_bytes(key[8:]))


def summarise(flows: Columns, limit: int = MAX_GROUPS) -> Summary:
    """Return what a batch of flows (records.flow) adds."""
    distinct, ends = _ends(flows)
    addresses, shed_addresses = _addresses(len(distinct), ends, limit)
    rollups, shed_groups = _rollups(len(distinct), ends, limit)
    return Summary(
        distinct=distinct, addresses=addresses, rollups=rollups,
        incoming=_incoming(flows, ends.place, len(distinct)), minutes=_minutes(flows),
        flows=len(flows), shed=shed_addresses + shed_groups,
    )  # fmt: skip


def combine(summaries: Sequence[Summary], limit: int = MAX_GROUPS) -> Summary:
    """Return what several summaries, the oldest first, add together."""
    if len(summaries) == 1:
        return summaries[0]
    every = np.concatenate([one.distinct for one in summaries])
    distinct, place = factorise(every["hi"], every["lo"])
    offset = np.cumsum([0, *(len(one.distinct) for one in summaries)])[:-1]
    joined: dict[str, NDArray[np.void]] = {}
    for name, ends in _JOINED.items():
        parts = [getattr(one, name).copy() for one in summaries]
        for part, start in zip(parts, offset.tolist(), strict=True):
            for end in ends:
                part[end] = place[part[end] + np.uint32(start)]
        # The newest first: of a field that is not reduced (a zone) the first row's stays.
        joined[name] = fold(np.concatenate(parts[::-1]), *_FOLDED[name])
    shed = sum(one.shed for one in summaries)
    for name in ("addresses", "rollups", "incoming"):
        joined[name], gone = _heaviest(joined[name], limit)
        shed += gone
    return Summary(
        distinct=distinct, **joined, flows=sum(one.flows for one in summaries), shed=shed
    )


_JOINED: Final = {
    "addresses": ("address",), "rollups": ("address",), "incoming": ("source", "target"),
    "minutes": (),
}  # fmt: skip
_WIDENED: Final = {"first": "min", "last": "max"}
_FOLDED: Final[dict[str, tuple[tuple[str, ...], dict[str, str]]]] = {
    "addresses": (
        ("address",),
        {**_WIDENED, **dict.fromkeys(("flows", "packets", "bytes"), "add")},
    ),
    "rollups": (
        ("hour", "address", "direction", "zone", "service"),
        dict.fromkeys(("flows", *(name for name, _ in _SUMS)), "add"),
    ),
    "incoming": (
        ("source", "target", "proto", "port"),
        {**_WIDENED, "service": "max", **dict.fromkeys(("count", "answered", "bytes"), "add")},
    ),
    "minutes": (("minute",), dict.fromkeys(("flows", "packets", "bytes"), "add")),
}  # fmt: skip


def _ends(flows: Columns) -> tuple[NDArray[np.void], _Ends]:
    both = np.concatenate
    distinct, place = factorise(
        both([flows["orig_hi"], flows["resp_hi"]]), both([flows["orig_lo"], flows["resp_lo"]])
    )
    packets_out, bytes_out, packets_in, bytes_in = (
        np.minimum(flows[name], _MOST).astype(np.int64)
        for name in ("orig_packets", "orig_bytes", "resp_packets", "resp_bytes")
    )
    return distinct, _Ends(
        place=place,
        start=np.tile(flows["start"], 2),
        end=np.tile(flows["end"], 2),
        zone=both([flows["orig_zone"], flows["resp_zone"]]),
        peer_zone=both([flows["resp_zone"], flows["orig_zone"]]),
        direction=np.tile(flows["direction"], 2),
        service=np.tile(flows["service"], 2),
        packets_in=both([packets_in, packets_out]),
        packets_out=both([packets_out, packets_in]),
        bytes_in=both([bytes_in, bytes_out]),
        bytes_out=both([bytes_out, bytes_in]),
    )


def _heaviest(rows: NDArray[np.void], limit: int) -> tuple[NDArray[np.void], int]:
    """Return the rows to keep where there are too many, and how many go."""
    names = rows.dtype.names or ()
    weight = rows["bytes"] if "bytes" in names else rows["bytes_in"] + rows["bytes_out"]
    kept, gone = heaviest(weight, limit)
    return rows[kept], gone


def _addresses(many: int, ends: _Ends, limit: int) -> tuple[NDArray[np.void], int]:
    rows = np.zeros(many, ADDRESSES)
    rows["address"] = np.arange(many)
    rows["zone"][ends.place] = ends.zone
    rows["first"] = least(ends.place, many, ends.start)
    rows["last"] = greatest(ends.place, many, ends.end)
    rows["flows"] = np.bincount(ends.place, minlength=many)
    rows["packets"] = totals(ends.place, many, ends.packets_in + ends.packets_out)
    rows["bytes"] = totals(ends.place, many, ends.bytes_in + ends.bytes_out)
    return _heaviest(rows, limit)


def _rollups(many: int, ends: _Ends, limit: int) -> tuple[NDArray[np.void], int]:
    if not len(ends.place):
        return np.zeros(0, ROLLUPS), 0
    hour = ends.start // (HOUR * _NS)
    # The hour above all: rows come out in the table's own order, neighbours share a page.
    code = (hour - int(hour.min())) * many + ends.place
    for column in (ends.direction, ends.service, ends.peer_zone):
        rank, some = ranks(column)
        code = code * some + rank
    groups, group = codes(code)
    row = np.empty(groups, np.intp)
    row[group] = np.arange(len(group))
    rows = np.zeros(groups, ROLLUPS)
    rows["hour"], rows["address"] = hour[row] * HOUR, ends.place[row]
    rows["direction"], rows["zone"] = ends.direction[row], ends.peer_zone[row]
    rows["service"] = ends.service[row]
    rows["flows"] = np.bincount(group, minlength=groups)
    for name, _ in _SUMS:
        rows[name] = totals(group, groups, getattr(ends, name))
    return _heaviest(rows, limit)


_REACHED: Final = (
    "start", "end", "resp_packets", "orig_bytes", "resp_bytes", "proto", "resp_port", "service",
)  # fmt: skip


def _incoming(flows: Columns, place: NDArray[np.intp], many: int) -> NDArray[np.void]:
    """Return who reached which service: source, target, protocol, port and the sums."""
    rows = np.flatnonzero(flows["direction"] == Direction.INCOMING)
    if not len(rows):
        return np.zeros(0, INCOMING)
    source, target = place[rows], place[rows + len(flows)]
    batch = {name: flows[name][rows] for name in _REACHED}
    _, pair = np.unique(source * many + target, return_inverse=True)
    answered = batch["resp_packets"] > 0
    service = pair << 24 | batch["proto"].astype(np.int64) << 16
    code = service | batch["resp_port"]
    code = np.where(_scanned(code, pair, answered), service, code)
    order = np.argsort(code)
    ordered = code[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    octets = np.minimum(batch["orig_bytes"] + batch["resp_bytes"], _MOST).astype(np.int64)
    one = order[first]
    found = np.zeros(len(first), INCOMING)
    found["source"], found["target"] = source[one], target[one]
    found["proto"], found["port"] = batch["proto"][one], code[one] & 0xFFFF
    found["service"] = np.maximum.reduceat(batch["service"][order], first)
    found["first"] = np.minimum.reduceat(batch["start"][order], first)
    found["last"] = np.maximum.reduceat(batch["end"][order], first)
    found["count"] = np.diff(np.append(first, len(order)))
    found["answered"] = np.add.reduceat(answered[order].astype(np.int64), first)
    found["bytes"] = np.add.reduceat(octets[order], first)
    return found


def _scanned(
    code: NDArray[np.int64], pair: NDArray[np.int64], answered: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which unanswered flows belong to a source that tried many ports of the same target."""
    tried = np.unique(code[~answered]) >> 24
    ports = np.bincount(tried, minlength=int(pair.max()) + 1)
    many: NDArray[np.bool_] = ~answered & (ports[pair] > MAX_UNANSWERED_PORTS)
    return many


def _minutes(flows: Columns) -> NDArray[np.void]:
    """Return each minute's totals, a flow counted in the minute of its end."""
    if not len(flows):
        return np.zeros(0, MINUTES)
    minute = flows["end"] // (MINUTE * _NS)
    many, place = codes(minute - int(minute.min()))
    rows = np.zeros(many, MINUTES)
    rows["minute"][place] = minute * MINUTE
    rows["flows"] = np.bincount(place, minlength=many)
    for what in ("packets", "bytes"):
        both = flows[f"orig_{what}"] + flows[f"resp_{what}"]
        rows[what] = totals(place, many, np.minimum(both, _MOST).astype(np.int64))
    return rows
