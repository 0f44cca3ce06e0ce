"""When flows leave the table: timeouts by protocol and state, the sweep, the flush.

Time is the packets' own. It may jump: a clock was set, files were joined, a hostile file. A step
back of more than a minute starts a new era, in which rows from the future have expired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.capture.flood import fruitless, let_go, settle
from ipwatchd.capture.jit import compiled, i64, inlined
from ipwatchd.capture.network import ICMP, ICMP6, TCP, UDP, UDPLITE
from ipwatchd.capture.table import (
    PARTIAL,
    RESUMED,
    SEEN_A,
    SEEN_B,
    Table,
    coarse,
    export,
    remove,
)
from ipwatchd.capture.tcp import ESTABLISHED, SYN_SENT, ended

if TYPE_CHECKING:
    from ipwatchd.config import CaptureSettings

__all__ = [
    "ACTIVE", "CLOSED_TCP", "SHORTEST", "STEP_BACK", "answered", "flush", "idle_timeout",
    "limits_of", "resume", "sweep", "tick",
]  # fmt: skip

_TCP: Final = 0
_ATTEMPT: Final = 1
CLOSED_TCP: Final = 2
_UDP: Final = 3
_ICMP: Final = 4
_OTHER: Final = 5
ACTIVE: Final = 6
SHORTEST: Final = 7

_SECOND: Final = 1_000_000_000
STEP_BACK: Final = 60 * _SECOND
_ROWS_A_PACKET: Final = 64
"""The sweep waits until one packet was seen per this many live rows: time stamps that leap with
every packet can't make us read the whole table for each."""


def limits_of(settings: CaptureSettings) -> tuple[int, ...]:
    """Return the timeouts in ns in the order of this module's indices."""
    seconds = (
        settings.tcp_timeout,
        settings.tcp_attempt_timeout,
        settings.tcp_closed_timeout,
        settings.udp_timeout,
        settings.icmp_timeout,
        settings.other_timeout,
        settings.active_timeout,
    )
    limits = tuple(int(value * _SECOND) for value in seconds)
    return (*limits, min(limits))


@inlined
def answered(row: Any) -> bool:
    """Tell whether both sides were heard."""
    both: bool = row["bits"] & (SEEN_A | SEEN_B) == SEEN_A | SEEN_B
    return both


@compiled
def idle_timeout(table: Table, row: Any) -> int:
    """Return how long this flow may be silent, in ns."""
    proto = row["proto"]
    if proto == TCP:
        if ended(row):
            return i64(table.limits[CLOSED_TCP])
        sent = max(row["tcp"][0], row["tcp"][1])
        if fruitless(row) or (not answered(row) and sent in (SYN_SENT, ESTABLISHED)):
            return i64(table.limits[_ATTEMPT])
        return i64(table.limits[_TCP])
    if proto in (UDP, UDPLITE):
        limit = i64(table.limits[_UDP])
        return min(limit, i64(table.limits[_ATTEMPT])) if fruitless(row) else limit
    if proto in (ICMP, ICMP6):
        return i64(table.limits[_ICMP])
    return i64(table.limits[_OTHER])


@compiled
def resume(row: Any, start: int) -> None:
    """Set a row's counters back after a partial record, so that the records' sums are right."""
    row["packets"][0] = 0
    row["packets"][1] = 0
    row["bytes"][0] = 0
    row["bytes"][1] = 0
    row["flags"][0] = 0
    row["flags"][1] = 0
    row["start"] = start
    row["bits"] = row["bits"] | RESUMED


@compiled
def _visit(table: Table, place: int) -> bool:
    """Let a row go if its time has come, else note when to look again; True where it left."""
    now = i64(table.state[0]["clock"])
    row = table.rows[place]
    last = i64(row["last"])
    deadline = last + idle_timeout(table, row)
    if deadline <= now or last > now + STEP_BACK:
        let_go(table, place)
        remove(table, place)
        return True
    renewal = i64(row["start"]) + table.limits[ACTIVE]
    if renewal <= now:
        if row["bits"] & RESUMED == 0:
            export(table, place, PARTIAL)
            resume(row, last)
        renewal = now + table.limits[ACTIVE]
    table.due[place] = coarse(min(deadline, renewal))
    return False


@compiled
def sweep(table: Table) -> bool:
    """Go on with the sweep from the last row down; False where `out` is full before its end."""
    state = table.state[0]
    now = coarse(i64(state["clock"]))
    place = i64(state["sweep_at"])
    everything = state["rescan"] != 0
    while place >= 0:
        if i64(table.due[place]) <= now or everything:
            if state["out"] >= len(table.out):
                state["sweep_at"] = place
                return False
            _visit(table, place)
        place -= 1
    state["sweep_at"] = -1
    state["rescan"] = 0
    settle(table)
    return True


@compiled
def start_sweep(table: Table) -> None:
    """Begin a sweep at the clock's time."""
    state = table.state[0]
    state["sweep_at"] = state["live"] - 1
    state["swept"] = state["clock"]
    state["since_sweep"] = 0


@inlined
def tick(table: Table, ts: int) -> None:
    """Move the clock to a packet's time and begin a sweep when a second has passed."""
    state = table.state[0]
    if ts > state["clock"]:
        state["clock"] = ts
    elif ts < state["clock"] - STEP_BACK:
        state["clock"] = ts
        state["rescan"] = 1
    state["since_sweep"] += 1
    passed = state["clock"] - state["swept"]
    if (passed >= _SECOND or passed < 0) and (
        state["since_sweep"] * _ROWS_A_PACKET >= state["live"]
    ):
        start_sweep(table)


@compiled
def advance_clock(table: Table, now: int) -> bool:
    """Move the clock with no packet, as when the wire is silent; False where `out` is full."""
    state = table.state[0]
    if state["sweep_at"] < 0 and now > state["clock"]:
        state["clock"] = now
        start_sweep(table)
    return sweep(table)


@compiled
def flush(table: Table) -> bool:
    """Let every flow go; False where `out` is full before the last, then call again."""
    state = table.state[0]
    while state["live"] > 0:
        if state["out"] >= len(table.out):
            return False
        place = i64(state["live"]) - 1
        let_go(table, place)
        remove(table, place)
    state["sweep_at"] = -1
    return settle(table)
