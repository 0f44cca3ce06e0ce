"""What waits for the next write: sums of flows, and sessions as they stand. Bounded, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.history.columns import Columns
from ipwatchd.history.groups import keys
from ipwatchd.history.rollup import combine, summarise
from ipwatchd.history.sessions import changed, merge, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.history.rollup import Summary

__all__ = ["Pending"]

# Summaries that wait before they are made one: a disk that stays full must not fill the memory.
_MOST_PARTS: Final = 8
# Sessions that ended while the disk was full, 72 bytes each.
MAX_CLOSED: Final = 500_000


class Pending:
    """Sums and sessions between two writes. What was added stays until `written`."""

    def __init__(self, sessions: NDArray[np.void], following: int) -> None:
        self.sessions = sessions
        self.following = following
        self.stored_following = following
        """Sessions from this number on are in memory alone."""
        self.flows = 0
        self.cut = 0
        self._stored = sessions
        self._closed: list[NDArray[np.void]] = []
        self._parts: list[Summary] = []

    @property
    def waits(self) -> bool:
        """Tell whether there is anything to write."""
        return bool(self._parts or self._closed)

    def add(self, batches: Sequence[NDArray[np.void]], now: float, gap: float) -> None:
        """Take flows (records.flow), maybe none: sessions end by the clock alone."""
        flows = Columns.of(batches)
        if len(flows):
            self._parts.append(summarise(flows))
            if len(self._parts) > _MOST_PARTS:
                self._parts = [combine(self._parts)]
        merged, self.following = number(merge(self.sessions, flows, now, gap), self.following)
        self.sessions = merged.open
        self.cut += merged.cut
        if len(merged.closed):
            self._closed.append(merged.closed)
        while len(self._closed) > 1 and sum(map(len, self._closed)) > MAX_CLOSED:
            self.cut += len(self._closed.pop(0))
        self.flows += len(flows)

    def summary(self) -> Summary:
        """Return what all flows that wait add."""
        if not self._parts:
            return summarise(Columns.of([]))
        self._parts = [combine(self._parts)]
        return self._parts[0]

    def changed(self) -> NDArray[np.void]:
        """Return the open sessions that are not in the table as they are."""
        return changed(self._stored, self.sessions)

    def closed(self) -> NDArray[np.void]:
        """Return the sessions that ended since the last write."""
        return np.concatenate([self.sessions[:0], *self._closed])

    def written(self) -> None:
        """Forget what is in the tables now."""
        self._parts, self._closed = [], []
        self._stored, self.stored_following = self.sessions, self.following
        self.flows = self.cut = 0

    def forget(self, first: bytes, last: bytes) -> None:
        """Drop the sessions of the addresses from one to another (16 bytes each)."""
        mine = np.array([first <= key <= last for key in keys(self.sessions)], np.bool_)
        self.sessions = self._stored = self.sessions[~mine]
