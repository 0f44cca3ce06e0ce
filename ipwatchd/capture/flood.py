"""A flood of openings from many sources becomes one record a second for its target.

The rate is taken where connections are opened: what is above it is marked, and a marked connection
that came to nothing (its originator never went on after its SYN) is added to its target's sums when
it leaves. The record's originator is the unspecified address, its packets are the openings. A scan
from one source is no flood and stays a record each, and so are the first of every second.
"""

from __future__ import annotations

from typing import Any, Final

from ipwatchd.capture.jit import compiled, i64, u64
from ipwatchd.capture.network import TCP
from ipwatchd.capture.table import FLOODED, ORIG_B, PAYLOAD, SEEN_A, SEEN_B, Table, export
from ipwatchd.capture.tcp import ACK, FIN, RST

__all__ = ["fruitless", "let_go", "opening", "settle"]

_SINGLY: Final = 1024
"""Openings of an address a second that stay records of their own."""
_SECOND: Final = 1_000_000_000
_MOST: Final = 1 << 31
_MAPPED: Final = u64(0xFFFF_0000_0000)
_ZERO: Final = u64(0)
_SHIFT: Final = u64(32)


@compiled
def fruitless(row: Any) -> bool:
    """Tell whether a flood was on at the opening, and its originator has not gone on since."""
    if row["bits"] & (FLOODED | PAYLOAD) != FLOODED:
        return False
    side = 1 if row["bits"] & ORIG_B else 0
    silent: bool = row["flags"][side] & (ACK | FIN | RST) == 0
    return silent


@compiled
def _flood_of(table: Table, hi: int, lo: int) -> int:
    """Return which count is this target's; keyed, so that nobody outside can aim at one."""
    total = table.secrets[7] * (hi ^ (hi >> _SHIFT)) + table.secrets[3] * (lo ^ (lo >> _SHIFT))
    return i64((total >> _SHIFT) % u64(len(table.floods)))


@compiled
def _target(row: Any) -> tuple[int, int]:
    if row["bits"] & ORIG_B:
        return u64(row["a_hi"]), u64(row["a_lo"])
    return u64(row["b_hi"]), u64(row["b_lo"])


@compiled
def _write(table: Table, flood: Any) -> None:
    """Write a target's sums as a record and set them back; there must be room in `out`."""
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
    out["proto"] = TCP
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
def opening(table: Table, place: int) -> None:
    """Count a new connection that began with a SYN; mark it where its target is flooded."""
    row = table.rows[place]
    hi, lo = _target(row)
    flood = table.floods[_flood_of(table, hi, lo)]
    second = i64(row["start"]) // _SECOND
    if flood["second"] != second:
        flood["second"] = second
        flood["opened"] = 0
    if flood["target_lo"] != lo or flood["target_hi"] != hi:
        # What comes now and then does not displace a target that is flooded.
        if flood["opened"] > 0:
            flood["opened"] -= 1
            return
        if flood["packets"][0]:
            _write(table, flood)
        flood["target_hi"] = hi
        flood["target_lo"] = lo
    source = u64(row["b_lo"] ^ row["b_hi"]) if row["bits"] & ORIG_B else row["a_lo"] ^ row["a_hi"]
    if flood["source"] != source:
        flood["source"] = source
        flood["opened"] += 1
        if flood["opened"] > _SINGLY:
            row["bits"] = row["bits"] | FLOODED


@compiled
def _add(table: Table, row: Any) -> bool:
    """Add a fruitless connection to its target's sums; False where another target is there."""
    hi, lo = _target(row)
    flood = table.floods[_flood_of(table, hi, lo)]
    if flood["target_lo"] != lo or flood["target_hi"] != hi or flood["packets"][0] >= _MOST:
        return False
    orig = 1 if row["bits"] & ORIG_B else 0
    if i64(flood["bytes"][0]) + row["bytes"][orig] > _MOST:
        return False
    if i64(flood["bytes"][1]) + row["bytes"][1 - orig] > _MOST:
        return False
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
    table.state[0]["flows_collapsed"] += 1
    return True


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
