"""The meter: batches of packets in, ended flows and tapped payloads out.

It owns one table and runs the compiled loop over it. It does no I/O and reads no clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.capture.expiry import advance_clock, flush, limits_of
from ipwatchd.capture.export import flows_of
from ipwatchd.capture.loop import run
from ipwatchd.capture.packet import HEADER, MAX_CAPTURED, Batch
from ipwatchd.capture.table import STATE, make_table
from ipwatchd.capture.tap import Taps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.config import CaptureSettings

__all__ = ["Meter", "Yield"]

_OUT_ROWS: Final = 8192
_TAPS: Final = 8192
_TAP_BYTES: Final = 4 << 20
_WAITS: Final = MAX_CAPTURED


class Yield(NamedTuple):
    """What the loop has let go since the last drain: rows of dtype ROW, and payloads.

    `flows()` turns the rows into dtype FLOW, which another thread may do.
    """

    rows: NDArray[np.void]
    taps: Taps
    clock: int

    def flows(self) -> NDArray[np.void]:
        """Return the rows as flows."""
        return flows_of(self.rows)


class Meter:
    """A flow table and what feeds and drains it. Use it from one thread.

    `wait` is for files: a full tap is drained before the next packet; without it (the wire) what
    does not fit is shed and counted. `taps` False leaves payloads alone.
    """

    def __init__(self, settings: CaptureSettings, *, taps: bool = True, wait: bool = False) -> None:
        self.table = make_table(
            settings,
            out_rows=_OUT_ROWS,
            taps=_TAPS if taps else 0,
            tap_bytes=_TAP_BYTES if taps else 0,
            limits=limits_of(settings),
        )
        self._room = _WAITS if wait and taps else 0
        self._header = np.zeros(1, HEADER)
        self._state = self.table.state[0]

    def feed(self, batch: Batch, first: int = 0) -> int:
        """Meter a batch from its packet `first` on; returns how far it came.

        Less than the batch's length means: drain, then go on from there.
        """
        data, packets = batch
        return run(self.table, data, packets, first, self._room, self._header[0])

    def advance(self, now_ns: int) -> bool:
        """Let idle flows expire by the clock; False where it must be drained and called again."""
        return advance_clock(self.table, now_ns)

    def flush(self) -> bool:
        """Let every flow go; False where it must be drained and called again."""
        return flush(self.table)

    @property
    def clock(self) -> int:
        """The time of the newest packet, epoch ns."""
        return int(self._state["clock"])

    @property
    def waiting(self) -> int:
        """How many ended flows and payloads wait to be drained."""
        return int(self._state["out"]) + int(self._state["taps"])

    def drain(self) -> Yield:
        """Take what has gathered; the arrays are the caller's own."""
        state, table = self._state, self.table
        rows = table.out[: int(state["out"])].copy()
        index = table.tap_index[: int(state["taps"])].copy()
        data = table.tap_data[: int(state["tap_bytes"])].copy()
        state["out"] = state["taps"] = state["tap_bytes"] = 0
        return Yield(rows, Taps(index, data), self.clock)

    def counters(self) -> dict[str, int]:
        """Return the loop's numbers by name (table.STATE)."""
        names = STATE.names or ()
        return {name: int(self._state[name]) for name in names}
