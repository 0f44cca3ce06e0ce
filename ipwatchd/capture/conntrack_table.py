"""The connections of which something was told already, so that records' sums stay right.

Most connections never come here: one that begins and ends between two looks is told whole by its
DESTROY. Rows are of dtype ENTRY in a `Table` (its index, insertion and removal); `due` holds the
number of the look that saw the row last.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.capture.conntrack_entry import (
    COUNTED,
    DEAD,
    DONE,
    ENTRY,
    FINISHED,
    KNOWN,
    SKIPPED,
    STARTED,
    TIMED,
)
from ipwatchd.capture.jit import compiled, i64, u64
from ipwatchd.capture.table import STATE, Table, flow_hash, insert, remove

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["make_tracked", "recall", "remember", "settle", "vanished"]

_LOW: Final = u64(0xFFFF_FFFF)
_SHIFT: Final = u64(32)
_SIXTEEN: Final = u64(16)
_ONE: Final = u64(1)
_EMPTY: Final = u64(0)
_OF_ROWS: Final = COUNTED | STARTED | TIMED | FINISHED
_UNFINISHED: Final = _OF_ROWS ^ FINISHED


def make_tracked(flows: int, out_rows: int) -> Table:
    """Allocate a table for `flows` connections; untouched pages cost no memory."""
    return Table(
        rows=np.zeros(flows, ENTRY),
        due=np.zeros(flows, np.int64),
        slots=np.zeros(1 << (2 * flows - 1).bit_length(), np.uint64),
        out=np.zeros(out_rows, ENTRY),
        state=np.zeros(1, STATE),
        secrets=np.array([secrets.randbits(64) for _ in range(11)], np.uint64),
        limits=np.zeros(0, np.int64),
        tap_index=np.zeros(0, ENTRY),
        tap_data=np.zeros(0, np.uint8),
        tap_by_port=np.zeros(0, np.uint8),
        known_ports=np.zeros(0, np.uint8),
    )


@compiled
def _digest(table: Table, entry: Any) -> int:
    """Return the hash of an entry: its original tuple, and its id in the place of the family."""
    ports = (u64(entry["orig_sport"]) << _SIXTEEN) | u64(entry["orig_dport"])
    return flow_hash(
        table.secrets, u64(entry["orig_src_hi"]), u64(entry["orig_src_lo"]),
        u64(entry["orig_dst_hi"]), u64(entry["orig_dst_lo"]), ports,
        (u64(entry["id"]) << _SIXTEEN) | u64(entry["proto"]),
    )  # fmt: skip


@compiled
def _same(row: Any, entry: Any) -> bool:
    same: bool = (
        row["id"] == entry["id"]
        and row["orig_src_lo"] == entry["orig_src_lo"]
        and row["orig_dst_lo"] == entry["orig_dst_lo"]
        and row["orig_sport"] == entry["orig_sport"]
        and row["orig_dport"] == entry["orig_dport"]
        and row["orig_src_hi"] == entry["orig_src_hi"]
        and row["orig_dst_hi"] == entry["orig_dst_hi"]
        and row["proto"] == entry["proto"]
        and row["icmp_type"] == entry["icmp_type"]
        and row["icmp_code"] == entry["icmp_code"]
    )
    return same


@compiled
def _find(table: Table, digest: int, entry: Any) -> int:
    """Return the row of a connection, or -1."""
    mask = u64(len(table.slots) - 1)
    slot = digest & mask
    while True:
        held = table.slots[slot]
        if held == _EMPTY:
            return i64(-1)
        if held >> _SHIFT == digest:
            place = i64(held & _LOW) - 1
            if _same(table.rows[place], entry):
                return place
        slot = (slot + _ONE) & mask


@compiled
def _take_over(row: Any, entry: Any) -> None:
    """Give an entry what its row knows."""
    for side in range(2):
        entry["told_packets"][side] = row["told_packets"][side]
        entry["told_bytes"][side] = row["told_bytes"][side]
    entry["since"] = row["since"]
    entry["last"] = row["last"]
    entry["bits"] |= KNOWN | (row["bits"] & FINISHED)


@compiled
def settle(table: Table, entries: NDArray[np.void], dumping: bool) -> None:
    """Take destroyed connections out of the table; each entry gets what its row knew.

    While a dump is read (`dumping`) the row stays and is DEAD: the dump may still speak of it.
    """
    for i in range(len(entries)):
        entry = entries[i]
        digest = _digest(table, entry)
        place = _find(table, digest, entry)
        if place >= 0:
            row = table.rows[place]
            if row["bits"] & DEAD:
                entry["bits"] |= SKIPPED
                continue
            _take_over(row, entry)
            if dumping:
                row["bits"] |= DEAD
            else:
                remove(table, place)
        elif dumping and table.state[0]["live"] < len(table.rows):
            place = insert(table, digest)
            table.rows[place] = entry
            table.rows[place]["hash"] = digest
            table.rows[place]["bits"] = DEAD


@compiled
def recall(table: Table, entries: NDArray[np.void], places: NDArray[np.int64]) -> None:
    """Find dumped connections: `places` gets their rows or -1, entries what the rows know."""
    for i in range(len(entries)):
        entry = entries[i]
        place = _find(table, _digest(table, entry), entry)
        places[i] = place
        if place < 0:
            continue
        row = table.rows[place]
        if row["bits"] & DEAD:
            entry["bits"] |= SKIPPED
        else:
            _take_over(row, entry)


@compiled
def _tell(row: Any, entry: Any) -> None:
    for side in range(2):
        row["told_packets"][side] = entry["packets"][side]
        row["told_bytes"][side] = entry["bytes"][side]
    row["since"] = entry["last"]


@compiled
def _update(table: Table, place: int, entry: Any) -> None:
    """Bring a row to what the dump says; what was told stays told."""
    row = table.rows[place]
    for side in range(2):
        row["packets"][side] = entry["packets"][side]
        row["bytes"][side] = entry["bytes"][side]
    row["status"] = entry["status"]
    row["timeout"] = entry["timeout"]
    row["tcp"] = entry["tcp"]
    row["closer"] = entry["closer"]
    row["since"] = entry["since"]
    row["last"] = entry["last"]
    row["bits"] = entry["bits"]


@compiled
def remember(
    table: Table,
    entries: NDArray[np.void],
    places: NDArray[np.int64],
    told: NDArray[np.bool_],
    look: int,
) -> None:
    """Note what a look saw and what of it is `told` now: `since` then is `last`.

    An entry that is to be told for the first time and finds no room is SKIPPED: its DESTROY tells
    it whole. `places` are of `recall`, with no change of the table in between.
    """
    for i in range(len(entries)):
        entry = entries[i]
        place = places[i]
        if entry["bits"] & SKIPPED:
            continue
        if place < 0:
            if not told[i]:
                continue
            if table.state[0]["live"] >= len(table.rows):
                entry["bits"] |= SKIPPED
                continue
            digest = _digest(table, entry)
            # The same connection may come twice: the kernel's table may grow under a dump.
            place = _find(table, digest, entry)
            if place >= 0:
                entry["bits"] |= SKIPPED
                continue
            place = insert(table, digest)
            table.rows[place] = entry
            table.rows[place]["hash"] = digest
        elif table.due[place] == look:
            entry["bits"] |= SKIPPED
            continue
        else:
            _update(table, place, entry)
        row = table.rows[place]
        table.due[place] = look
        row["bits"] &= _OF_ROWS
        if told[i]:
            _tell(row, entry)
            row["bits"] &= _UNFINISHED
            if entry["bits"] & DONE:
                row["bits"] |= FINISHED


@compiled
def vanished(table: Table, look: int, at: int) -> int:
    """Take out rows from `at` down that this look did not see, as if destroyed; -1 is the end.

    They are copied to `out` (`state["out"]`), which may fill: drain and go on from what is
    returned. DEAD rows just go.
    """
    state = table.state[0]
    while at >= 0:
        row = table.rows[at]
        if row["bits"] & DEAD:
            remove(table, at)
        elif table.due[at] != look:
            if state["out"] >= len(table.out):
                return at
            out = table.out[i64(state["out"])]
            table.out[i64(state["out"])] = row
            out["bits"] |= KNOWN
            state["out"] += 1
            remove(table, at)
        at -= 1
    return i64(-1)
