"""Who must leave a full table: never a flow that was answered, for a newcomer that was not yet.

A flood of SYNs from random sources makes flows that are unanswered, or answered (SYN cookies) but
not gone on with. Those displace each other; what both sides have spoken on stays until it ends or
times out.
"""

from __future__ import annotations

from typing import Any, Final

from ipwatchd.capture.expiry import answered
from ipwatchd.capture.flood import fruitless, let_go
from ipwatchd.capture.jit import compiled, i64, u64
from ipwatchd.capture.network import TCP
from ipwatchd.capture.table import Table, remove
from ipwatchd.capture.tcp import ended

__all__ = ["make_room"]

_SAMPLES: Final = 8
_FEW_PACKETS: Final = 3
_KEPT: Final = 3


@compiled
def _worth(row: Any) -> int:
    """Rank a flow: 0 hardly anything, 1 over, 2 one-sided but lively, 3 answered."""
    if fruitless(row):
        return i64(0)
    if row["proto"] == TCP and ended(row):
        return i64(1)
    if answered(row):
        return i64(_KEPT)
    few = i64(row["packets"][0]) + i64(row["packets"][1]) <= _FEW_PACKETS
    return i64(0) if few else i64(2)


@compiled
def _random(state: Any) -> int:
    """Step a xorshift generator (Marsaglia 2003); its seed is secret and so are its picks."""
    x = u64(state["random"])
    x ^= x << u64(13)
    x ^= x >> u64(7)
    x ^= x << u64(17)
    state["random"] = i64(x)
    return x


@compiled
def make_room(table: Table) -> bool:
    """Export and remove the least valuable of a sampled few; False where all are worth more."""
    state = table.state[0]
    live = u64(state["live"])
    chosen = i64(-1)
    least = i64(_KEPT)
    oldest = i64(0)
    for _ in range(_SAMPLES):
        place = i64(_random(state) % live)
        row = table.rows[place]
        worth = _worth(row)
        last = i64(row["last"])
        if worth < least or (worth == least and chosen >= 0 and last < oldest):
            chosen = place
            least = worth
            oldest = last
    if chosen < 0:
        return False
    let_go(table, chosen)
    remove(table, chosen)
    state["flows_evicted"] += 1
    return True
