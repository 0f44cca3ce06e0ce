"""What the kernel says of connections → flows; owns what was told already. No I/O, no clock.

Two things come in. DESTROY events end a connection and carry its last counters. A look (a dump)
shows all that live: it tells flows that have been silent for their timeout, long ones each active
timeout, and finds rows that went without an event. A look is `begin`, `dumped` for each batch in
the order that the kernel gave them with `destroyed` in between, `end`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.conntrack_entry import (
    COUNTED,
    DONE,
    FINISHED,
    KNOWN,
    PARTIAL,
    SKIPPED,
    STARTED,
)
from ipwatchd.capture.conntrack_flows import flows_of, growth
from ipwatchd.capture.conntrack_table import make_tracked, recall, remember, settle, vanished
from ipwatchd.capture.conntrack_timeouts import idle_limits, last_packets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.capture.conntrack_timeouts import KernelTimeouts
    from ipwatchd.config import CaptureSettings

__all__ = ["BEGIN", "GO_ON", "LEAVE", "ConntrackMeter"]

BEGIN: Final = 0
"""The first look: what was counted before us is not ours to tell."""
GO_ON: Final = 1
LEAVE: Final = 2
"""The last look: every flow is told as ended."""
_OUT_ROWS: Final = 8192
_SECOND: Final = 1_000_000_000


class ConntrackMeter:
    """Use it from one thread. `kernel` are the kernel's timeouts; times are epoch ns."""

    def __init__(self, settings: CaptureSettings, kernel: KernelTimeouts) -> None:
        self.kernel = kernel
        self.unmeasured = 0
        """Flows told without counters: they began before accounting was on, or before us."""
        self.untracked = 0
        """Connections that were there before us and found no room in the table."""
        self.told = 0
        """Flows that ended."""
        self.vanished = 0
        """Ends that came without an event."""
        self.untold_packets = self.untold_bytes = 0
        """What this look has seen that no record has told yet."""
        self._settings = settings
        self._table = make_tracked(settings.flows, _OUT_ROWS)
        self._state = self._table.state[0]
        self._began = 0
        self._look = 0
        self._mode: int | None = None

    @property
    def tracked(self) -> int:
        """Rows of the table."""
        return int(self._state["live"])

    def destroyed(self, entries: NDArray[np.void], now: int) -> NDArray[np.void]:
        """Take ended connections, in the order they ended; returns their flows."""
        settle(self._table, entries, self._mode is not None)
        _estimate(entries, self.kernel, now)
        bits = entries["bits"]
        before = ((bits & KNOWN) == 0) & ((bits & STARTED) != 0) & (entries["start"] < self._began)
        if before.any():
            # Not in the table and older than we: its counters may have been told by someone else.
            entries["told_packets"][before] = entries["packets"][before]
            entries["told_bytes"][before] = entries["bytes"][before]
        silent = ((bits & FINISHED) != 0) & ~_grown(entries)
        ended = entries[((bits & SKIPPED) == 0) & ~silent]
        self._count(ended, ended)
        return flows_of(ended)

    def begin(self, mode: int, now: int) -> None:
        """Begin a look. `mode` is BEGIN, GO_ON or LEAVE."""
        self._look += 1
        self._mode = mode
        self.untold_packets = self.untold_bytes = 0
        if mode == BEGIN:
            self._began = now

    def dumped(self, entries: NDArray[np.void], now: int) -> NDArray[np.void]:
        """Take a batch of a dump; returns the flows that are due."""
        places = np.zeros(len(entries), np.int64)
        recall(self._table, entries, places)
        _estimate(entries, self.kernel, now)
        ended = now - entries["last"] >= idle_limits(entries, self._settings)
        if self._mode == BEGIN:
            entries["bits"] |= np.where(ended, DONE, 0).astype(np.uint16)
            remember(self._table, entries, places, np.ones(len(entries), np.bool_), self._look)
            self.untracked += int(((entries["bits"] & SKIPPED) != 0).sum())
            return flows_of(entries[:0])
        packets, octets = growth(entries[(entries["bits"] & SKIPPED) == 0])
        self.untold_packets += int(packets.sum())
        self.untold_bytes += int(octets.sum())
        told = self._due(entries, ended | (self._mode == LEAVE), now)
        remember(self._table, entries, places, told, self._look)
        chosen = entries[told & ((entries["bits"] & SKIPPED) == 0)]
        self._count(chosen, chosen[(chosen["bits"] & PARTIAL) == 0])
        return flows_of(chosen)

    def _due(
        self, entries: NDArray[np.void], ended: NDArray[np.bool_], now: int
    ) -> NDArray[np.bool_]:
        """Mark what is to be told as ended or as going on."""
        bits = entries["bits"]
        grown = _grown(entries)
        bits[grown] &= 0xFFFF ^ FINISHED
        known = (bits & KNOWN) != 0
        begun = np.where(known, entries["since"], entries["start"])
        done = ended & ((bits & FINISHED) == 0)
        active = int(self._settings.active_timeout * _SECOND)
        partial = ~ended & grown & (now - begun >= active) & (known | ((bits & STARTED) != 0))
        bits[done] |= DONE
        bits[partial] |= PARTIAL
        # Nothing came since the last record: what comes next comes after now.
        entries["since"][known & ~grown & ~done] = now
        told: NDArray[np.bool_] = done | partial
        return told

    def end(self, *, whole: bool) -> list[NDArray[np.void]]:
        """End a look; returns the flows of connections that it did not find any more.

        A dump that broke off (`whole` False) proves nothing: only what was destroyed goes.
        """
        flows = []
        look = self._look if whole and self._mode != BEGIN else -1
        at = self.tracked - 1
        if look < 0:
            self._table.due[: self.tracked] = look
        while at >= 0:
            at = vanished(self._table, look, at)
            gone = self._table.out[: int(self._state["out"])].copy()
            self._state["out"] = 0
            silent = ((gone["bits"] & FINISHED) != 0) & ~_grown(gone)
            gone = gone[~silent]
            self._count(gone, gone)
            self.vanished += len(gone)
            flows.append(flows_of(gone))
        self._mode = None
        return flows

    def _count(self, records: NDArray[np.void], ended: NDArray[np.void]) -> None:
        self.told += len(ended)
        self.unmeasured += int(((records["bits"] & COUNTED) == 0).sum())


def _grown(entries: NDArray[np.void]) -> NDArray[np.bool_]:
    packets, _ = growth(entries)
    grown: NDArray[np.bool_] = (packets[:, 0] > 0) | (packets[:, 1] > 0)
    return grown


def _estimate(entries: NDArray[np.void], kernel: KernelTimeouts, now: int) -> None:
    """Set `last`: never before what is known, and unchanged where nothing was counted since."""
    last = last_packets(entries, kernel, now)
    known = (entries["bits"] & KNOWN) != 0
    counted = (entries["bits"] & COUNTED) != 0
    same = known & counted & ~_grown(entries)
    later = np.where(known, np.maximum(last, entries["last"]), last)
    entries["last"] = np.where(same, entries["last"], later)
