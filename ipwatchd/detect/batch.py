"""A batch cut by source and by time, in whole columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.records.flow import DIRECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "Groups",
    "address_hash",
    "by_address",
    "direction_name",
    "part_of",
    "runs",
    "slices",
    "spans",
]

# Odd constants of splitmix64: a bijection, so only the folding of two halves can collide.
_ONE: Final = np.uint64(0x9E3779B97F4A7C15)
_TWO: Final = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT: Final = np.uint64(31)


def address_hash(hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 bits for each address, the same in every run (a replay finds the same)."""
    mixed = (lo ^ (hi * _ONE)) * _TWO
    mixed ^= mixed >> _SHIFT
    return mixed * _ONE


class Groups:
    """Rows put together by address: `sources` as numbers, group k is rows bounds[k]:bounds[k+1].

    `order` are the rows of the columns given, sorted so. Columns are taken whole, because numpy
    on the few rows of one source costs more than the rows.
    """

    def __init__(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> None:
        self.order = np.argsort(address_hash(hi, lo), kind="stable")
        high, low = hi[self.order], lo[self.order]
        # Compared in full: addresses of one hash are split up, never taken for each other.
        fresh = np.ones(len(high), np.bool_)
        fresh[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        self.starts = np.flatnonzero(fresh)
        self.bounds: list[int] = [*self.starts.tolist(), len(high)]
        self.sources: list[int] = [
            top << 64 | bottom
            for top, bottom in zip(high[fresh].tolist(), low[fresh].tolist(), strict=True)
        ]

    def latest(self, column: NDArray[np.int64]) -> list[int]:
        """Return the greatest value of each group."""
        if not len(column):
            return []
        found: list[int] = np.maximum.reduceat(column[self.order], self.starts).tolist()
        return found

    def earliest(self, column: NDArray[np.int64]) -> list[int]:
        """Return the least value of each group."""
        if not len(column):
            return []
        found: list[int] = np.minimum.reduceat(column[self.order], self.starts).tolist()
        return found


def by_address(
    hi: NDArray[np.uint64], lo: NDArray[np.uint64]
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each address as one number and the rows it stands in, where these are few."""
    groups = Groups(hi, lo)
    for source, begin, end in zip(groups.sources, groups.bounds, groups.bounds[1:], strict=False):
        yield source, groups.order[begin:end]


def runs(ordered: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each run of equal numbers begins, and how long it is."""
    fresh = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    starts = np.flatnonzero(fresh)
    sizes = np.empty(len(starts), np.intp)
    sizes[:-1] = starts[1:] - starts[:-1]
    sizes[-1:] = len(ordered) - starts[-1:]
    return starts, sizes


def slices(flows: NDArray[np.void], span: int) -> Iterator[NDArray[np.void]]:
    """Yield flows in parts whose ends lie within `span` ns: a batch may hold hours of a file."""
    for rows in spans(flows["end"], span):
        yield flows.take(rows)


def spans(end: NDArray[np.int64], span: int) -> Iterator[NDArray[np.intp]]:
    """Yield the rows of such parts: all of a short batch as they come, else the oldest first."""
    if not len(end):
        return
    if int(end.max()) - int(end.min()) <= span:
        yield np.arange(len(end))
        return
    order = np.argsort(end, kind="stable")
    part = part_of(end[order], span)
    yield from np.split(order, np.flatnonzero(part[1:] != part[:-1]) + 1)


def part_of(end: NDArray[np.int64], span: int) -> NDArray[np.int64]:
    """Return the number of the part in which each end lies, from the earliest on."""
    parts: NDArray[np.int64] = (end - end.min()) // span
    return parts


def direction_name(flows: NDArray[np.void]) -> str:
    """Return the direction that most of the flows have."""
    return DIRECTIONS[int(np.bincount(flows["direction"], minlength=len(DIRECTIONS)).argmax())]
