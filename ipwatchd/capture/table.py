"""The flow table: dense rows [0, live) and an open-addressing index over them.

`slots` holds row + 1 in its lower bits and bits of the hash above them, 0 is empty, at most half
full; removal shifts back, so there are no tombstones. Slots of 32 bits are for flows: they keep
what of the hash there is room for; slots of 64 bits keep all of it. `due` is the earliest time at
which a row may have to leave: the sweep reads these 4 bytes a row (`coarse`) and looks at the row
itself only when its time has come.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ipwatchd.capture.jit import compiled, i64, inlined, u64
from ipwatchd.capture.ports import KNOWN_PORTS, TAP_BY_PORT
from ipwatchd.capture.tap import TAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.config import CaptureSettings

__all__ = [
    "FLOOD", "FLOODED", "HELD", "HELD_OCTETS", "HELD_PLACES", "ORIG_B", "PARTIAL", "PAYLOAD",
    "RESUMED", "ROW", "SEEN_A", "SEEN_B", "SPREAD", "STATE", "WHOLES", "Table", "coarse", "export",
    "find", "flow_hash", "insert", "make_table", "remove",
]  # fmt: skip

ROW: Final = np.dtype(
    [
        ("a_hi", "<u8"),
        ("a_lo", "<u8"),
        ("b_hi", "<u8"),
        ("b_lo", "<u8"),
        ("last", "<i8"),
        ("bytes", "<u4", (2,)),
        ("packets", "<u4", (2,)),
        ("start", "<i8"),
        ("hash", "<u4"),
        ("a_port", "<u2"),
        ("b_port", "<u2"),
        ("proto", "u1"),
        ("bits", "u1"),
        ("flags", "u1", (2,)),
        ("tcp", "u1", (2,)),
        ("icmp_type", "u1"),
        ("icmp_code", "u1"),
        ("service", "u1"),
        ("tap", "u1"),
        ("left", "u1", (2,)),
        ("vlan", "<u2"),
        ("iface", "<u2"),
    ]
)
"""A live flow, 88 bytes. Side 0 is a, side 1 is b: (address, port) of a ≤ that of b. `tcp` are
endpoint states (tcp.py), `tap` and `left` what the tap still wants (content.py). What does not fit
`bytes` is told by a partial record before (loop.py)."""

SEEN_A: Final = 1
SEEN_B: Final = 2
ORIG_B: Final = 4
"""The originator is side b."""
PAYLOAD: Final = 8
"""A TCP payload byte was seen."""
PARTIAL: Final = 16
"""Of an exported row: the flow goes on."""
RESUMED: Final = 32
"""A record of this flow was written and nothing was counted since."""
FLOODED: Final = 64
"""A flood of openings was on when this flow was opened (flood.py)."""
SPREAD: Final = 128
"""Of a flooded one: over many targets, and this one's own count was low."""

FLOOD: Final = np.dtype(
    [
        ("target_hi", "<u8"),
        ("target_lo", "<u8"),
        ("source", "<u8"),
        ("second", "<i8"),
        ("start", "<i8"),
        ("last", "<i8"),
        ("bytes", "<u4", (2,)),
        ("packets", "<u4", (2,)),
        ("opened", "<u4"),
        ("port", "<u2"),
        ("vlan", "<u2"),
        ("iface", "<u2"),
        ("flags", "u1", (2,)),
        ("tcp", "u1", (2,)),
        ("proto", "u1"),
    ]
)
"""One address that connections are opened to: how many in this second, and the sums of those that
came to nothing since the last record; side 0 is the originators'."""

HELD: Final = np.dtype(
    [
        ("hash", "<u4"),
        ("seq", "<u4"),
        ("length", "<u4"),
        ("a_port", "<u2"),
        ("b_port", "<u2"),
        ("side", "u1"),
    ]
)
"""A segment that may have overtaken the one before it (hold.py); `length` 0 is an empty place."""

STATE: Final = np.dtype(
    [
        (name, "<i8")
        for name in (
            "live", "out", "taps", "tap_bytes", "clock", "swept", "sweep_at", "since_sweep",
            "rescan", "random", "packets", "bytes", "first_packet", "malformed", "not_ip",
            "flows", "flows_evicted", "flows_shed", "packets_shed", "events_shed",
            "flows_collapsed",
        )
    ]
)  # fmt: skip
"""The loop's own numbers: cursors first, then counters that only grow."""

HELD_PLACES: Final = 256
HELD_OCTETS: Final = 2048
"""Segments that are held, and how long they may be: what finds its place taken takes it over."""
_WORDS: Final = 11
WHOLES: Final = 4
"""Behind the targets' counts: one for each of TCP and UDP over IPv4 and IPv6, for all targets."""
_FLOODS: Final = 1024
"""Targets whose openings are counted at a time: a flood over more than these is summed for all."""
_SOURCES: Final = 1 << 16
"""Sources that are told from those of a flood over many targets: a scan with more than about one
try a second for each 65,536 of the flood's keeps its records."""
_COARSE: Final = 30
_LATEST: Final = 0xFFFF_FFFF
_WIDE: Final = 8
_LOW: Final = u64(0xFFFF_FFFF)
_SHIFT: Final = u64(32)
_EMPTY: Final = u64(0)
_ONE: Final = u64(1)


class Table(NamedTuple):
    """The arrays of one packet loop. `state` has one row of dtype STATE.

    `out` receives ended rows and `tap_index`, `tap_data` tapped payloads until the caller drains
    them; `limits` are timeouts in ns (expiry.py); `secrets` key the hash, so that nobody outside
    can choose addresses that collide.
    """

    rows: NDArray[np.void]
    due: NDArray[np.integer]
    slots: NDArray[np.unsignedinteger]
    out: NDArray[np.void]
    state: NDArray[np.void]
    secrets: NDArray[np.uint64]
    limits: NDArray[np.int64]
    tap_index: NDArray[np.void]
    tap_data: NDArray[np.uint8]
    tap_by_port: NDArray[np.uint8]
    known_ports: NDArray[np.uint8]
    floods: NDArray[np.void] = np.zeros(0, FLOOD)
    sources: NDArray[np.uint64] = np.zeros(0, np.uint64)
    held: NDArray[np.void] = np.zeros(0, HELD)
    held_data: NDArray[np.uint8] = np.zeros(0, np.uint8)


def make_table(
    settings: CaptureSettings, *, out_rows: int, taps: int, tap_bytes: int, limits: tuple[int, ...]
) -> Table:
    """Allocate a table for `settings.flows` flows; untouched pages cost no memory."""
    slots = 1 << (2 * settings.flows - 1).bit_length()
    state = np.zeros(1, STATE)
    state["sweep_at"] = -1
    state["random"] = secrets.randbits(62) | 1
    keys = [secrets.randbits(64) for _ in range(_WORDS)]
    return Table(
        rows=np.zeros(settings.flows, ROW),
        due=np.zeros(settings.flows, np.uint32),
        slots=np.zeros(slots, np.uint32),
        out=np.zeros(out_rows, ROW),
        state=state,
        secrets=np.array(keys, np.uint64),
        limits=np.array(limits, np.int64),
        tap_index=np.zeros(taps, TAP),
        tap_data=np.zeros(tap_bytes, np.uint8),
        tap_by_port=TAP_BY_PORT,
        known_ports=KNOWN_PORTS,
        floods=np.zeros(_FLOODS + WHOLES, FLOOD),
        sources=np.zeros(_SOURCES, np.uint64),
        held=np.zeros(HELD_PLACES if taps else 0, HELD),
        held_data=np.zeros(HELD_PLACES * HELD_OCTETS if taps else 0, np.uint8),
    )


@inlined
def coarse(ns: int) -> int:
    """Return a time in steps of 1.07 s, which 32 bits hold for every time stamp there can be."""
    return min(max(ns, 0) >> _COARSE, _LATEST)


@inlined
def _low(table: Table) -> int:
    """Return which bits of a slot are the row's."""
    return _LOW if table.slots.itemsize == _WIDE else u64(len(table.slots) - 1)


@inlined
def _tag(table: Table, digest: int) -> int:
    """Return the bits of a slot that are the hash's."""
    if table.slots.itemsize == _WIDE:
        return digest << _SHIFT
    return digest & (_LOW ^ u64(len(table.slots) - 1))


@inlined
def flow_hash(keys: Any, a_hi: int, a_lo: int, b_hi: int, b_lo: int, ports: int, proto: int) -> int:
    """Return the upper 32 bits of a multilinear hash over 32-bit words.

    Strongly universal for secret keys (Lemire and Kaser, Strongly universal string hashing is
    fast, 2014): a flood can't aim at one slot.
    """
    total = keys[0] + (a_lo & _LOW) * keys[1] + (a_lo >> _SHIFT) * keys[2]
    total += (b_lo & _LOW) * keys[3] + (b_lo >> _SHIFT) * keys[4]
    total += ports * keys[5] + proto * keys[6]
    if (a_hi | b_hi) != _EMPTY:
        total += (a_hi & _LOW) * keys[7] + (a_hi >> _SHIFT) * keys[8]
        total += (b_hi & _LOW) * keys[9] + (b_hi >> _SHIFT) * keys[10]
    digest: int = total >> _SHIFT
    return digest


@inlined
def find(
    table: Table, digest: int, a_hi: int, a_lo: int, b_hi: int, b_lo: int, ports: int, proto: int
) -> int:
    """Return the row of a flow, or -1. `ports` is a_port << 16 | b_port."""
    mask = u64(len(table.slots) - 1)
    slot = digest & mask
    low = _low(table)
    tag = _tag(table, digest)
    while True:
        entry = u64(table.slots[slot])
        if entry == _EMPTY:
            return i64(-1)
        if entry ^ (entry & low) == tag:
            place = i64(entry & low) - 1
            row = table.rows[place]
            if (
                row["a_lo"] == a_lo
                and row["b_lo"] == b_lo
                and (u64(row["a_port"]) << u64(16)) | u64(row["b_port"]) == ports
                and row["a_hi"] == a_hi
                and row["b_hi"] == b_hi
                and u64(row["proto"]) == proto
            ):
                return place
        slot = (slot + _ONE) & mask


@compiled
def insert(table: Table, digest: int) -> int:
    """Take the next dense row for a flow that is not in the table; there must be room."""
    mask = u64(len(table.slots) - 1)
    slot = digest & mask
    while table.slots[slot] != _EMPTY:
        slot = (slot + _ONE) & mask
    state = table.state[0]
    place = i64(state["live"])
    state["live"] = place + 1
    state["flows"] += 1
    table.slots[slot] = _tag(table, digest) | u64(place + 1)
    table.rows[place]["hash"] = digest
    return place


@compiled
def _slot_of(table: Table, place: int) -> int:
    mask = u64(len(table.slots) - 1)
    slot = u64(table.rows[place]["hash"]) & mask
    wanted = u64(place + 1)
    low = _low(table)
    while u64(table.slots[slot]) & low != wanted:
        slot = (slot + _ONE) & mask
    return slot


@compiled
def _erase(table: Table, slot: int) -> None:
    """Empty a slot and shift back those behind it that its absence would hide."""
    mask = u64(len(table.slots) - 1)
    low = _low(table)
    hole = slot
    probe = slot
    while True:
        probe = (probe + _ONE) & mask
        entry = u64(table.slots[probe])
        if entry == _EMPTY:
            break
        home = u64(table.rows[i64(entry & low) - 1]["hash"]) & mask
        if ((probe - home) & mask) >= ((probe - hole) & mask):
            table.slots[hole] = entry
            hole = probe
    table.slots[hole] = _EMPTY


@compiled
def remove(table: Table, place: int) -> None:
    """Take a row out; the last row moves into its place."""
    _erase(table, _slot_of(table, place))
    state = table.state[0]
    last = i64(state["live"]) - 1
    if place != last:
        slot = _slot_of(table, last)
        table.slots[slot] = _tag(table, u64(table.rows[last]["hash"])) | u64(place + 1)
        table.rows[place] = table.rows[last]
        table.due[place] = table.due[last]
    state["live"] = last


@compiled
def export(table: Table, place: int, partial: int) -> None:
    """Copy a row to `out`; the caller has made sure that there is room."""
    state = table.state[0]
    at = i64(state["out"])
    table.out[at] = table.rows[place]
    table.out[at]["bits"] = table.out[at]["bits"] | (PARTIAL if partial else 0)
    state["out"] = at + 1
