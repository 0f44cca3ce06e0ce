"""The latest contacts of pairs (one address, one service), as rows of arrays.

A bounded number of rows, the longest quiet go first. The attack that it stops: a machine that calls
ever other services, who would fill the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.detect.batch import runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["KEPT", "Noted", "Pairs"]

KEPT: Final = 64  # latest contacts of a pair
_LEAST: Final = 2  # rows: one that is busy and one that makes room
_AT_ONCE: Final = 16  # share of the rows that make room together


class Noted(NamedTuple):
    """Pairs of some contacts: their rows, and the contacts of each: order[starts:starts + counts].

    `before` is how many contacts each had, `new` are the places of pairs never seen.
    """

    rows: NDArray[np.intp]
    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    counts: NDArray[np.intp]
    before: NDArray[np.int64]
    new: NDArray[np.intp]


class Pairs:
    """At most `limit` pairs by key; columns are by row. Times are epoch ns."""

    def __init__(self, limit: int) -> None:
        size = max(limit, _LEAST)
        self._row: dict[int, int] = {}
        self._free = list(range(size - 1, -1, -1))
        self._chunk = size // 2
        self._swept = 0
        self.key = np.zeros(size, np.uint64)
        self.seen = np.zeros(size, np.int64)
        self.started = np.zeros(size, np.int64)
        self.last = np.zeros(size, np.int64)
        self.told = np.zeros(size, np.int64)
        """Contacts at the last report, and its time."""
        self.told_at = np.zeros(size, np.int64)
        self._times = np.zeros((size, KEPT), np.int64)
        self._amounts = np.zeros((size, KEPT), np.uint32)
        self.shed = 0

    def __len__(self) -> int:
        return len(self._row)

    def contacts(self, row: int) -> list[tuple[int, int]]:
        """Return the latest contacts of a pair, by time: when, how much."""
        kept = slice(0, min(int(self.seen[row]), KEPT))
        times, amounts = self._times[row, kept].tolist(), self._amounts[row, kept].tolist()
        return sorted(zip(times, amounts, strict=True))

    def note(
        self, keys: NDArray[np.uint64], times: NDArray[np.int64], amounts: NDArray[np.uint64]
    ) -> Iterator[Noted]:
        """Add contacts in the order given, so many at a time that none makes room for another."""
        small = np.minimum(amounts, np.uint64(0xFFFF_FFFF)).astype(np.uint32)
        for first in range(0, len(keys), self._chunk):
            part = slice(first, first + self._chunk)
            noted = self._some(keys[part], times[part], small[part])
            yield noted._replace(order=noted.order + first)

    def sweep(self, before: int) -> None:
        """Forget pairs that were last seen before a time; looked at once in a while."""
        if self._swept and before - self._swept < 60_000_000_000:
            return
        self._swept = before
        gone = np.flatnonzero((self.seen > 0) & (self.last < before))
        self._drop(gone)

    def _some(
        self, keys: NDArray[np.uint64], times: NDArray[np.int64], amounts: NDArray[np.uint32]
    ) -> Noted:
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts, counts = runs(ordered)
        latest = np.maximum.reduceat(times[order], starts)
        rows, new = self._rows(ordered[starts], latest)
        before = self.seen[rows]
        self.started[rows[new]] = times[order[starts[new]]]
        nth = np.arange(len(order)) - np.repeat(starts, counts)
        at = np.repeat(rows, counts), (np.repeat(before, counts) + nth) % KEPT
        self._times[at], self._amounts[at] = times[order], amounts[order]
        self.seen[rows] += counts
        return Noted(rows, order, starts, counts, before, new)

    def _rows(
        self, keys: NDArray[np.uint64], latest: NDArray[np.int64]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the row of each key, made if need be, and which were made."""
        names = keys.tolist()
        rows = np.array([self._row.get(name, -1) for name in names], np.intp)
        new = np.flatnonzero(rows < 0)
        old = rows[rows >= 0]
        self.last[old] = np.maximum(self.last[old], latest[rows >= 0])
        if len(new):
            self._make_room(len(new), old)
            made = [self._free.pop() for _ in range(len(new))]
            rows[new] = made
            self.key[made], self.last[made] = keys[new], latest[new]
            self._row.update(zip(keys[new].tolist(), made, strict=True))
        return rows, new

    def _make_room(self, wanted: int, busy: NDArray[np.intp]) -> None:
        if wanted <= len(self._free):
            return
        quiet = self.seen > 0
        quiet[busy] = False
        rows = np.flatnonzero(quiet)
        many = min(len(rows), max(wanted - len(self._free), len(self.seen) // _AT_ONCE))
        oldest = np.argsort(self.last[rows], kind="stable")[:many]
        self._drop(rows[oldest])
        self.shed += many

    def _drop(self, rows: NDArray[np.intp]) -> None:
        for key, row in zip(self.key[rows].tolist(), rows.tolist(), strict=True):
            del self._row[key]
            self._free.append(row)
        for column in (self.seen, self.told, self.told_at):
            column[rows] = 0
