"""Flows → what changes in the tables, by sorting and summing whole columns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.records.address import ADDRESS, join, unique_addresses
from ipwatchd.records.flow import DIRECTIONS, SERVICES, Direction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ipwatchd.history.columns import Columns
    from ipwatchd.records.address import IPAddress

__all__ = ["HOUR", "Summary", "keys", "pack", "summarise", "unpack"]

Row = tuple[object, ...]

HOUR: Final = 3600
MINUTE: Final = 60
_NS: Final = 1_000_000_000
# Sources made up by an attacker become rows: the ones with the fewest bytes of a flush are shed.
MAX_GROUPS: Final = 200_000
# A scan of 65,535 ports is one row a target (port 0) once it tried more than this in one flush.
MAX_UNANSWERED_PORTS: Final = 16
_DENSE: Final = 8
# SQLite's integers are signed; a counter that high was forged or is broken.
_MOST: Final = (1 << 62) - 1


class Summary(NamedTuple):
    """Rows to add to the tables, in the column order of history.writing's statements.

    `distinct` are the addresses seen (dtype ADDRESS), `seen` the last time of each (epoch seconds),
    `shed` how many groups were let go.
    """

    distinct: NDArray[np.void]
    seen: NDArray[np.float64]
    zones: list[str]
    addresses: list[Row]
    rollups: list[Row]
    incoming: list[Row]
    minutes: list[Row]
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


def keys(addresses: NDArray[np.void]) -> list[bytes]:
    """Return addresses (dtype ADDRESS) as the 16 bytes that are their keys."""
    big = np.empty(len(addresses), [("hi", ">u8"), ("lo", ">u8")])
    big["hi"], big["lo"] = addresses["hi"], addresses["lo"]
    found: list[bytes] = big.view("V16").tolist()
    return found


def summarise(flows: Columns, zones: Sequence[str], limit: int = MAX_GROUPS) -> Summary:
    """Return what a batch of flows (records.flow) adds, zones by name."""
    distinct, ends = _ends(flows)
    names = keys(distinct)
    addresses, seen, zone_names, shed_addresses = _addresses(distinct, ends, names, zones, limit)
    rollups, shed_groups = _rollups(ends, names, zones, limit)
    return Summary(
        distinct=distinct, seen=seen, zones=zone_names, addresses=addresses, rollups=rollups,
        incoming=_incoming(flows, ends.place, names), minutes=_minutes(flows),
        shed=shed_addresses + shed_groups,
    )  # fmt: skip


def factorise(
    hi: NDArray[np.uint64], lo: NDArray[np.uint64]
) -> tuple[NDArray[np.void], NDArray[np.intp]]:
    """Return the distinct addresses in order (dtype ADDRESS) and each row's place among them."""
    if hi.any():
        return unique_addresses(hi, lo)
    low, place = np.unique(lo, return_inverse=True)  # IPv4 alone: one key to sort
    distinct = np.zeros(len(low), ADDRESS)
    distinct["lo"] = low
    return distinct, place


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


def totals(place: NDArray[np.intp], groups: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of each group, exactly; much faster than sorting the rows first."""
    found = np.zeros(groups, np.int64)
    np.add.at(found, place, values)
    return found


def least(place: NDArray[np.intp], groups: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the smallest value of each group."""
    found = np.full(groups, np.iinfo(np.int64).max)
    np.minimum.at(found, place, values)
    return found


def greatest(place: NDArray[np.intp], groups: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the largest value of each group."""
    found = np.full(groups, np.iinfo(np.int64).min)
    np.maximum.at(found, place, values)
    return found


def _ranks(column: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    """Return a column of small numbers as ranks of those that occur, and how many these are."""
    used = np.flatnonzero(np.bincount(column))
    rank = np.zeros(int(used[-1]) + 1, np.int64)
    rank[used] = np.arange(len(used))
    return rank[column], len(used)


def _distinct_codes(code: NDArray[np.int64]) -> tuple[int, NDArray[np.intp]]:
    """Return how many distinct codes there are and each row's place among them, in order."""
    if int(code.max()) < _DENSE * len(code):  # few possible codes: counting beats sorting
        seen = np.bincount(code) > 0
        return int(seen.sum()), (np.cumsum(seen) - 1)[code]
    distinct, place = np.unique(code, return_inverse=True)
    return len(distinct), place


def _groups(code: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order that sorts a column and where each group of equals begins in it."""
    order = np.argsort(code)
    ordered = code[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return order, first


def _most(weight: NDArray[np.int64], limit: int) -> tuple[NDArray[np.intp], int]:
    """Return which groups to keep where there are too many, the heaviest, and how many go."""
    if len(weight) <= limit:
        return np.arange(len(weight)), 0
    return np.sort(np.argpartition(weight, -limit)[-limit:]), len(weight) - limit


def _named(indices: NDArray[np.integer], names: Sequence[str]) -> list[str]:
    """Return names by index; an index that no name belongs to is ""."""
    words = {index: names[index] if index < len(names) else "" for index in set(indices.tolist())}
    return [words[index] for index in indices.tolist()]


def _addresses(
    distinct: NDArray[np.void], ends: _Ends, names: list[bytes], zones: Sequence[str], limit: int
) -> tuple[list[Row], NDArray[np.float64], list[str], int]:
    if not len(distinct):
        return [], np.zeros(0), [], 0
    many = len(distinct)
    octets = totals(ends.place, many, ends.bytes_in + ends.bytes_out)
    packets = totals(ends.place, many, ends.packets_in + ends.packets_out)
    start = least(ends.place, many, ends.start) / _NS
    seen = greatest(ends.place, many, ends.end) / _NS
    flows = np.bincount(ends.place, minlength=many)
    zone = np.zeros(many, np.uint16)
    zone[ends.place] = ends.zone
    zone_names = _named(zone, zones)
    kept, shed = _most(octets, limit)
    rows = zip(
        [names[place] for place in kept.tolist()], [zone_names[place] for place in kept.tolist()],
        start[kept].tolist(), seen[kept].tolist(), flows[kept].tolist(), packets[kept].tolist(),
        octets[kept].tolist(), strict=True,
    )  # fmt: skip
    return list(rows), seen, zone_names, shed


def _rollups(
    ends: _Ends, names: list[bytes], zones: Sequence[str], limit: int
) -> tuple[list[Row], int]:
    if not len(ends.place):
        return [], 0
    hour = ends.start // (HOUR * _NS)
    # The hour above all: rows come out in the table's own order, neighbours share a page.
    code = (hour - int(hour.min())) * len(names) + ends.place
    for column in (ends.direction, ends.service, ends.peer_zone):
        rank, many = _ranks(column)
        code = code * many + rank
    groups, group = _distinct_codes(code)
    total = {
        name: totals(group, groups, getattr(ends, name))
        for name in ("packets_in", "packets_out", "bytes_in", "bytes_out")
    }
    kept, shed = _most(total["bytes_in"] + total["bytes_out"], limit)
    row = np.empty(groups, np.intp)
    row[group] = np.arange(len(group))
    row = row[kept]
    flows = np.bincount(group, minlength=groups)[kept]
    rows = zip(
        (hour[row] * HOUR).tolist(), [names[place] for place in ends.place[row].tolist()],
        _named(ends.direction[row], DIRECTIONS), _named(ends.peer_zone[row], zones),
        _named(ends.service[row], SERVICES), flows.tolist(),
        *(column[kept].tolist() for column in total.values()), strict=True,
    )  # fmt: skip
    return list(rows), shed


_INCOMING: Final = (
    "start", "end", "resp_packets", "orig_bytes", "resp_bytes", "proto", "resp_port", "service",
)  # fmt: skip


def _incoming(flows: Columns, place: NDArray[np.intp], names: list[bytes]) -> list[Row]:
    """Return who reached which service: source, target, protocol, port and the sums."""
    rows = np.flatnonzero(flows["direction"] == Direction.INCOMING)
    if not len(rows):
        return []
    source, target = place[rows], place[rows + len(flows)]
    batch = {name: flows[name][rows] for name in _INCOMING}
    _, pair = np.unique(source * len(names) + target, return_inverse=True)
    answered = batch["resp_packets"] > 0
    service = pair << 24 | batch["proto"].astype(np.int64) << 16
    code = service | batch["resp_port"]
    code = np.where(_scanned(code, pair, answered), service, code)
    order, first = _groups(code)
    octets = np.minimum(batch["orig_bytes"] + batch["resp_bytes"], _MOST).astype(np.int64)
    one = order[first]
    return list(
        zip(
            [names[index] for index in source[one].tolist()],
            [names[index] for index in target[one].tolist()],
            batch["proto"][one].tolist(),
            (code[one] & 0xFFFF).tolist(),
            _named(np.maximum.reduceat(batch["service"][order], first), SERVICES),
            (np.minimum.reduceat(batch["start"][order], first) / _NS).tolist(),
            (np.maximum.reduceat(batch["end"][order], first) / _NS).tolist(),
            np.diff(np.append(first, len(order))).tolist(),
            np.add.reduceat(answered[order].astype(np.int64), first).tolist(),
            np.add.reduceat(octets[order], first).tolist(),
            strict=True,
        )
    )


def _scanned(
    code: NDArray[np.int64], pair: NDArray[np.int64], answered: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which unanswered flows belong to a source that tried many ports of the same target."""
    tried = np.unique(code[~answered]) >> 24
    ports = np.bincount(tried, minlength=int(pair.max()) + 1)
    many: NDArray[np.bool_] = ~answered & (ports[pair] > MAX_UNANSWERED_PORTS)
    return many


def _minutes(flows: Columns) -> list[Row]:
    """Return each minute's totals, a flow counted in the minute of its end."""
    return list(_minute_rows(flows)) if len(flows) else []


def _minute_rows(flows: Columns) -> Iterator[Row]:
    minute = flows["end"] // (MINUTE * _NS)
    many, place = _distinct_codes(minute - int(minute.min()))
    minutes = np.empty(many, np.int64)
    minutes[place] = minute
    columns = [np.bincount(place, minlength=many)]
    for what in ("packets", "bytes"):
        both = flows[f"orig_{what}"] + flows[f"resp_{what}"]
        columns.append(totals(place, many, np.minimum(both, _MOST).astype(np.int64)))
    yield from zip(
        (minutes * MINUTE).tolist(), *(column.tolist() for column in columns), strict=True
    )
