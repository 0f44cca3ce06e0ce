"""Sources that tried a few targets so far, in whole columns: past the doorstep, not yet a record.

The attack that it stops: a sender who uses each forged source a few times, each time at another
target, would have a record made for each of them, which costs more than all else that is asked of
a flow. A source gets its record with one target more than a slot holds, and with all that it held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.detect.batch import runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FEW", "PLACE", "Porch", "Tried", "Waited", "waited"]

FEW: Final = 6
"""Targets that one source holds here at most."""
PLACE: Final = np.dtype([
    ("tag", "u8"), ("began", "i8"), ("started", "i8"), ("last", "i8"),
    ("targets", "u8", FEW), ("hi", "u8", FEW), ("lo", "u8", FEW),
    ("flows", "u4"), ("tried", "u1"), ("known", "?"),
])  # fmt: skip
"""A source (its hash): the targets it `tried` with their responders, when its window began, when it
was first and last seen (epoch ns), how many flows, and whether it has gone on to a record."""
_WHOLE: Final = np.dtype((np.void, PLACE.itemsize))
_WAYS: Final = 4  # places that a source may take; the one longest quiet makes room


class Tried(NamedTuple):
    """Columns of rows: sources and targets as numbers, responders, times (epoch ns)."""

    tags: NDArray[np.uint64]
    targets: NDArray[np.uint64]
    hi: NDArray[np.uint64]
    lo: NDArray[np.uint64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


class Waited(NamedTuple):
    """What was held of one source (PLACE)."""

    began: int
    started: int
    flows: int
    tried: int
    targets: list[int]
    hi: list[int]
    lo: list[int]


class Porch:
    """One place for each of `sources`, rounded up to a power of two. Times are ns.

    A window of `window` that is over, and the `few` targets and one, make a source go on; `quiet`
    ends it.
    """

    def __init__(self, sources: int, few: int, window: int, quiet: int) -> None:
        size = max(_WAYS, 1 << (sources - 1).bit_length())
        self._places = np.zeros(size, PLACE)
        self._sets = np.uint64(size // _WAYS - 1)
        self._few = max(0, min(few, FEW))
        self._window, self._quiet = window, quiet
        self.shed = 0
        """Sources that had to make room before they went on."""

    def let(
        self, rows: Tried, held: NDArray[np.void]
    ) -> tuple[NDArray[np.bool_], NDArray[np.void]]:
        """Return which rows go on, and for each of those what was held of its source (PLACE).

        `held` is what the doorstep held of each row's source (doorstep.SLOT).
        """
        if not len(rows.tags):
            return np.zeros(0, np.bool_), np.zeros(0, PLACE)
        order = np.argsort(rows.tags, kind="stable")
        tags = rows.tags[order]
        starts, counts = runs(tags)
        latest = np.maximum.reduceat(rows.end[order], starts)
        earliest = np.minimum.reduceat(rows.start[order], starts)
        where, state = self._look_up(tags[starts], latest)
        _begin(state, latest, earliest, held.take(order[starts]))
        after = state.copy()
        goes_on = state["known"] | (counts > self._few)
        goes_on |= (state["tried"] > 0) & (latest - state["began"] >= self._window)
        goes_on |= _add(after, rows, order, starts, np.where(goes_on, 0, counts), self._few)
        after["last"] = np.maximum(after["last"], latest)
        after["started"] = np.minimum(after["started"], earliest)
        after["flows"] += counts.astype(np.uint32)
        _let_go(after, np.flatnonzero(goes_on))
        self._places.view(_WHOLE)[where] = after.view(_WHOLE)
        lost = self._places["tag"][where] != after["tag"]  # to another of this batch
        self.shed += int(np.count_nonzero(lost & ~goes_on))
        groups = np.empty(len(order), np.intp)
        groups[order] = np.repeat(np.arange(len(starts)), counts)
        passed = goes_on[groups]
        return passed, state.take(groups[passed])

    def leave(self, tags: NDArray[np.uint64], times: NDArray[np.int64]) -> NDArray[np.void]:
        """Make sources go on, each tag once; return what was held of each, `tried` 0 for none."""
        where, state = self._look_up(tags, times, counted=False)
        mine = np.flatnonzero(state["tried"] > 0)
        gone = state.take(mine)
        _let_go(gone, np.arange(len(mine)))
        self._places.view(_WHOLE)[where[mine]] = gone.view(_WHOLE)
        return state

    def _look_up(
        self, tags: NDArray[np.uint64], times: NDArray[np.int64], *, counted: bool = True
    ) -> tuple[NDArray[np.intp], NDArray[np.void]]:
        """Return the place of each source, and what stands there of it: nothing if it is fresh."""
        first = ((tags >> np.uint64(20)) & self._sets).astype(np.intp) * _WAYS
        ways = first[:, None] + np.arange(_WAYS)
        mine = self._places["tag"][ways] == tags[:, None]
        last = self._places["last"][ways]
        known = mine.any(axis=1)
        way = np.where(known, mine.argmax(axis=1), last.argmin(axis=1))
        # Of several new ones the first takes the place that was quiet longest, the next another.
        new = np.flatnonzero(~known)
        nth = _nth(first[new])
        later = new[nth > 0]
        way[later] = np.argsort(last[later], axis=1)[np.arange(len(later)), nth[nth > 0] % _WAYS]
        where = first + way
        state = self._places.take(where)
        fresh = (state["tag"] != tags) | (times - state["last"] > self._quiet)
        if counted:
            waits = fresh & (state["tried"] > 0) & (times - state["last"] <= self._quiet)
            self.shed += int(np.count_nonzero(waits))
        empty = np.flatnonzero(fresh)
        state.view(_WHOLE)[empty] = np.zeros(1, PLACE).view(_WHOLE)
        state["tag"] = tags
        return where, state


def waited(held: NDArray[np.void]) -> dict[int, Waited]:
    """Return what was held, by its place; most have nothing."""
    places = np.flatnonzero(held["tried"])
    columns = (held[name][places].tolist() for name in Waited._fields)
    return dict(zip(places.tolist(), map(Waited, *columns), strict=True))


def _nth(sets: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many of the same set came before each."""
    order = np.argsort(sets, kind="stable")
    ordered = sets[order]
    starts, sizes = runs(ordered)
    nth = np.empty(len(sets), np.intp)
    nth[order] = np.arange(len(sets)) - np.repeat(starts, sizes)
    return nth


def _begin(
    state: NDArray[np.void], latest: NDArray[np.int64], earliest: NDArray[np.int64],
    held: NDArray[np.void],
) -> None:  # fmt: skip
    """Give new sources their window, and all what the doorstep held of them."""
    new = np.flatnonzero(~state["known"] & (state["tried"] == 0))
    state["began"][new] = latest[new]
    state["started"][new] = earliest[new]
    handed = np.flatnonzero((held["flows"] > 0) & (state["tried"] == 0))
    for name, other in (("targets", "target"), ("hi", "hi"), ("lo", "lo")):
        state[name][handed, 0] = held[other][handed]
    state["tried"][handed] = 1
    state["flows"][handed] += held["flows"][handed]
    state["started"][handed] = np.minimum(earliest[handed], held["started"][handed])


def _add(
    state: NDArray[np.void], rows: Tried, order: NDArray[np.intp], starts: NDArray[np.intp],
    counts: NDArray[np.intp], few: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """Add the first `counts` rows of each group, one of each at a time; tell which have no room."""
    full = np.zeros(len(state), np.bool_)
    for step in range(int(counts.max(initial=0))):
        some = np.flatnonzero((counts > step) & ~full)
        row = order[starts[some] + step]
        fresh = ~(state["targets"][some] == rows.targets[row][:, None]).any(axis=1)
        some, row = some[fresh], row[fresh]
        at = state["tried"][some].astype(np.intp)
        over = at >= few
        full[some[over]] = True
        some, row, at = some[~over], row[~over], at[~over]
        for name, column in (("targets", rows.targets), ("hi", rows.hi), ("lo", rows.lo)):
            state[name][some, at] = column[row]
        state["tried"][some] += 1
    return full


def _let_go(state: NDArray[np.void], rows: NDArray[np.intp]) -> None:
    """Note that sources went on, and hold nothing of them any more."""
    for name in ("targets", "hi", "lo", "tried", "flows"):
        state[name][rows] = 0
    state["known"][rows] = True
