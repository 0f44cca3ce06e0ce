"""A flood of openings from many sources becomes one record a second for its target.

An opening is a first SYN or a first datagram. The rate is taken where it comes: what is above it is
marked, and a marked connection that came to nothing (its originator never went on after its SYN; it
sent a datagram or two that nobody answered) is added to its target's sums when it leaves. The
record's originator is the unspecified address, its packets are the openings. A scan from one source
is no flood and stays a record each, and so are the first of every second.

A flood over more targets than are counted is summed for all of them: both ends of its record are
the unspecified address. Only sources that are not met again count for it.
"""

from __future__ import annotations

from typing import Any, Final

from ipwatchd.capture.jit import compiled, i64, u64
from ipwatchd.capture.network import TCP
from ipwatchd.capture.table import (
    FLOODED,
    ORIG_B,
    PAYLOAD,
    SEEN_A,
    SEEN_B,
    SPREAD,
    WHOLES,
    Table,
    export,
)
from ipwatchd.capture.tcp import ACK, FIN, RST

__all__ = ["fruitless", "let_go", "opening", "settle"]

_SINGLY: Final = 1024
"""Openings of an address a second that stay records of their own."""
_SINGLY_IN_ALL: Final = 8192
"""Openings of all addresses a second, by sources not met before, that do."""
_DATAGRAMS: Final = 2
_SECOND: Final = 1_000_000_000
_MOST: Final = 1 << 31
_MAPPED: Final = u64(0xFFFF_0000_0000)
_ZERO: Final = u64(0)
_ONE: Final = u64(1)
_SHIFT: Final = u64(32)
_WEIGHT: Final = u64(0xFF)
_HEAVIEST: Final = u64(64)


@compiled
def fruitless(row: Any) -> bool:
    """Tell whether a flood was on at the opening, and its originator has not gone on since."""
    if row["bits"] & (FLOODED | PAYLOAD) != FLOODED:
        return False
    side = 1 if row["bits"] & ORIG_B else 0
    if row["proto"] == TCP:
        silent: bool = row["flags"][side] & (ACK | FIN | RST) == 0
        return silent
    unanswered: bool = row["bits"] & (SEEN_A if side == 1 else SEEN_B) == 0
    return unanswered and row["packets"][side] <= _DATAGRAMS


@compiled
def _mixed(table: Table, hi: int, lo: int) -> int:
    """Hash an address; keyed, so that nobody outside can aim at one count."""
    keys = table.secrets
    digest: int = keys[7] * (hi ^ (hi >> _SHIFT)) + keys[3] * (lo ^ (lo >> _SHIFT))
    return digest


@compiled
def _flood_of(table: Table, hi: int, lo: int, proto: int) -> int:
    """Return which count is this target's."""
    total = _mixed(table, hi, lo) + table.secrets[6] * u64(proto)
    return i64((total >> _SHIFT) % u64(len(table.floods) - WHOLES))


@compiled
def _whole(table: Table, lo: int, hi: int, proto: int) -> int:
    """Return which count is that of all targets."""
    mapped = hi == _ZERO and lo >> _SHIFT == _MAPPED >> _SHIFT
    kind = (0 if mapped else 1) + (0 if proto == TCP else 2)
    return len(table.floods) - WHOLES + kind


@compiled
def _met(table: Table, hi: int, lo: int) -> bool:
    """Tell whether this source opened something lately: the majority of its place (Boyer, Moore).

    The lower 8 bits of a place are how much more often its source came than others did.
    """
    digest = _mixed(table, hi, lo)
    place = (digest >> _SHIFT) % u64(len(table.sources))
    entry = table.sources[place]
    weight = entry & _WEIGHT
    if (entry ^ digest) <= _WEIGHT and weight > _ZERO:
        if weight < _HEAVIEST:
            table.sources[place] = entry + _ONE
        return True
    if weight > _ZERO:
        table.sources[place] = entry - _ONE
    else:
        table.sources[place] = (digest ^ (digest & _WEIGHT)) | _ONE
    return False


@compiled
def _target(row: Any) -> tuple[int, int]:
    if row["bits"] & ORIG_B:
        return u64(row["a_hi"]), u64(row["a_lo"])
    return u64(row["b_hi"]), u64(row["b_lo"])


@compiled
def _source(row: Any) -> tuple[int, int]:
    if row["bits"] & ORIG_B:
        return u64(row["b_hi"]), u64(row["b_lo"])
    return u64(row["a_hi"]), u64(row["a_lo"])


@compiled
def _next_second(flood: Any, second: int) -> None:
    if flood["second"] != second:
        flood["second"] = second
        flood["opened"] = 0


@compiled
def _write(table: Table, flood: Any) -> None:
    """Write a target's sums as a record and set them back; there must be room in `out`.

    A count of all targets has the unspecified address for one.
    """
    state = table.state[0]
    out = table.out[i64(state["out"])]
    state["out"] += 1
    lo = u64(flood["target_lo"])
    mapped = flood["target_hi"] == _ZERO and lo >> _SHIFT == _MAPPED >> _SHIFT
    out["a_hi"] = _ZERO
    out["a_lo"] = _MAPPED if mapped else _ZERO
    out["b_hi"] = flood["target_hi"]
    out["b_lo"] = lo
    out["a_port"] = 0
    out["b_port"] = flood["port"]
    out["start"] = flood["start"]
    out["last"] = flood["last"]
    out["proto"] = flood["proto"]
    out["bits"] = SEEN_A | (SEEN_B if flood["packets"][1] else 0)
    out["vlan"] = flood["vlan"]
    out["iface"] = flood["iface"]
    out["icmp_type"] = 0
    out["icmp_code"] = 0
    out["service"] = 0
    for side in range(2):
        out["packets"][side] = flood["packets"][side]
        out["bytes"][side] = flood["bytes"][side]
        out["flags"][side] = flood["flags"][side]
        out["tcp"][side] = flood["tcp"][side]
        flood["packets"][side] = 0
        flood["bytes"][side] = 0
        flood["flags"][side] = 0
        flood["tcp"][side] = 0


@compiled
def _count_all(table: Table, row: Any) -> bool:
    """Count an opening whatever its target; True where there are more than are told singly."""
    hi, lo = _target(row)
    flood = table.floods[_whole(table, lo, hi, i64(row["proto"]))]
    _next_second(flood, i64(row["start"]) // _SECOND)
    source_hi, source_lo = _source(row)
    if _met(table, source_hi, source_lo):
        return False
    flood["opened"] += 1
    many: bool = flood["opened"] > _SINGLY_IN_ALL
    return many


@compiled
def _count_target(table: Table, row: Any) -> bool:
    """Count an opening of its target; True where there are more than are told singly."""
    hi, lo = _target(row)
    flood = table.floods[_flood_of(table, hi, lo, i64(row["proto"]))]
    _next_second(flood, i64(row["start"]) // _SECOND)
    if flood["target_lo"] != lo or flood["target_hi"] != hi or flood["proto"] != row["proto"]:
        # What comes now and then does not displace a target that is flooded.
        if flood["opened"] > 0:
            flood["opened"] -= 1
            return False
        if flood["packets"][0]:
            _write(table, flood)
        flood["target_hi"] = hi
        flood["target_lo"] = lo
        flood["proto"] = row["proto"]
    source_hi, source_lo = _source(row)
    if flood["source"] == source_lo ^ source_hi:
        return False
    flood["source"] = source_lo ^ source_hi
    flood["opened"] += 1
    many: bool = flood["opened"] > _SINGLY
    return many


@compiled
def opening(table: Table, place: int) -> None:
    """Count a new connection by its first packet; mark it where a flood is on."""
    row = table.rows[place]
    in_all = _count_all(table, row)
    if _count_target(table, row):
        row["bits"] = row["bits"] | FLOODED
    elif in_all:
        row["bits"] = row["bits"] | FLOODED | SPREAD


@compiled
def _add(table: Table, row: Any) -> bool:
    """Add a fruitless connection to its target's sums, else to those of all targets.

    False where the sums are full.
    """
    hi, lo = _target(row)
    flood = table.floods[_flood_of(table, hi, lo, i64(row["proto"]))]
    other = flood["target_lo"] != lo or flood["target_hi"] != hi or flood["proto"] != row["proto"]
    if other or row["bits"] & SPREAD:
        flood = table.floods[_whole(table, lo, hi, i64(row["proto"]))]
        flood["proto"] = row["proto"]
        flood["target_hi"] = _ZERO
        flood["target_lo"] = lo & _MAPPED if hi == _ZERO else _ZERO
    if flood["packets"][0] >= _MOST:
        return False
    orig = 1 if row["bits"] & ORIG_B else 0
    if i64(flood["bytes"][0]) + row["bytes"][orig] > _MOST:
        return False
    if i64(flood["bytes"][1]) + row["bytes"][1 - orig] > _MOST:
        return False
    _sum(flood, row, orig)
    table.state[0]["flows_collapsed"] += 1
    return True


@compiled
def _sum(flood: Any, row: Any, orig: int) -> None:
    port = row["a_port"] if orig else row["b_port"]
    if flood["packets"][0] == 0:
        flood["start"] = row["start"]
        flood["last"] = row["last"]
        flood["port"] = port
        flood["vlan"] = row["vlan"]
        flood["iface"] = row["iface"]
    elif flood["port"] != port:
        flood["port"] = 0
    flood["start"] = min(i64(flood["start"]), i64(row["start"]))
    flood["last"] = max(i64(flood["last"]), i64(row["last"]))
    for side in range(2):
        mine = side if orig == 0 else 1 - side
        flood["packets"][side] += row["packets"][mine]
        flood["bytes"][side] += row["bytes"][mine]
        flood["flags"][side] |= row["flags"][mine]
        flood["tcp"][side] = max(flood["tcp"][side], row["tcp"][mine])


@compiled
def let_go(table: Table, place: int) -> None:
    """Export a row that leaves; what a flood opened in vain is only counted."""
    if fruitless(table.rows[place]) and _add(table, table.rows[place]):
        return
    export(table, place, 0)


@compiled
def settle(table: Table) -> bool:
    """Write a record for each target with sums; False where `out` is full before the last."""
    for at in range(len(table.floods)):
        if table.floods[at]["packets"][0]:
            if table.state[0]["out"] >= len(table.out):
                return False
            _write(table, table.floods[at])
    return True
