"""What the kernel holds as far as we know, and what that lets one ask of it; pure.

Entries with an end leave the kernel by themselves, at about their time, and may be counted a while
longer: every question here has two bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.firewall.layout import (
    LIVE,
    Ranges,
    changes,
    columns,
    distribute,
    of_family,
    plan,
    range_text,
    sizes,
    slices,
    soonest,
    unexpired,
)
from ipwatchd.records.policy import LISTS, empty_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ipwatchd.firewall.layout import SetSpec

__all__ = ["SPOTS", "Change", "Diff", "Ledger", "differences", "in_order", "lines"]

SPOTS: Final = 2048
"""Keyed look-ups of one check a set: a few ms, and bounded whatever the lists hold."""
_MASS: Final = "bulk_deny"
_SHOWN: Final = 1000
"""Most lines of a diff: a wholly different table must not fill the answer."""
_ENDING: Final = 1.0
"""An element that ends within these seconds may be gone before a delete of it arrives."""
_NEAR: Final = 2_000_000_000
"""Ends (ns) that lie closer are the same end: the kernel counts in ticks from when it was told."""


class Change(NamedTuple):
    """What goes into and out of one set; `doubtful` of the latter may have ended by themselves."""

    spec: SetSpec
    more: NDArray[np.void]
    less: NDArray[np.void]
    doubtful: NDArray[np.bool_]


class Diff(NamedTuple):
    """Policy against kernel, as lines `set range`; at most 1,000 each, the counts are whole."""

    missing: list[str]
    extra: list[str]
    missing_count: int
    extra_count: int

    def __bool__(self) -> bool:
        return bool(self.missing_count or self.extra_count)


class Ledger:
    """The lists that were put down last, and how many elements each set has of them."""

    def __init__(self, lists: Ranges | None = None) -> None:
        """Begin with lists in force (by name), or with nothing."""
        self.lists = {name: empty_ranges() for name in LISTS}
        self.lists.update(lists or {})
        self.specs = plan(self.lists) if lists else LIVE
        self.sets = distribute(self._live(), self.specs)
        """What the live sets hold; the masses are cut into prefixes again where somebody asks."""
        self.counts = {spec.name: len(self.sets.get(spec.name, ())) for spec in self.specs}
        self.room: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self._uncounted: dict[str, int] = {}
        self._ends: dict[str, tuple[NDArray[np.void], int]] = {}
        self._turn = 0
        self.early = 0
        """Denies that the kernel has ahead of the lists."""

    def _live(self) -> Ranges:
        return {name: rows for name, rows in self.lists.items() if name != _MASS}

    def portions(self) -> Iterator[tuple[SetSpec, NDArray[np.void]]]:
        """Yield what goes into the sets, a set several times; then `counts` and `room` are known.

        To be walked once. Raises OverflowError where it is more than may be.
        """
        for spec in self.specs:
            if spec.name in self.sets:
                yield spec, self.sets[spec.name]
        for part in slices(self.lists[_MASS]):
            held = distribute({_MASS: part}, self.specs)
            for spec in self.specs:
                if spec.list == _MASS and len(held.get(spec.name, ())):
                    self.counts[spec.name] += len(held[spec.name])
                    yield spec, held[spec.name]
        self.room = sizes(self.counts, self.specs)

    def changes(self, wanted: Mapping[str, NDArray[np.void]], now: float) -> list[Change]:
        """Return what differs, set by set; [] where nothing does.

        A list whose array is the very one that was put down is not read. OverflowError where the
        sets there are can't hold it.
        """
        more, less = {}, {}
        for name, ranges in wanted.items():
            if ranges is not self.lists.get(name):
                more[name], less[name] = changes(self.lists.get(name, empty_ranges()), ranges)
        into, out = distribute(more, self.specs), distribute(less, self.specs)
        nothing = empty_ranges()
        found = []
        for spec in self.specs:
            new, gone = into.get(spec.name, nothing), out.get(spec.name, nothing)
            if len(new) and len(gone) and not (spec.interval or spec.single):
                # Two ranges that became one may have pieces in common.
                new, gone = changes(in_order(gone), in_order(new))
            if len(new) or len(gone):
                found.append(Change(spec, new, gone, _ends_by(gone, now + _ENDING)))
        return found

    def has_room(self, found: list[Change]) -> bool:
        """Tell whether the sets hold these changes without growing out of their layout."""
        return all(
            self.counts[one.spec.name] + len(one.more) <= self.room.get(one.spec.name, 1 << 62)
            for one in found
        )

    def accept(self, wanted: Ranges, found: list[Change]) -> None:
        """Take note that these changes went down."""
        self.lists = wanted
        for one in found:
            self.counts[one.spec.name] += len(one.more) - len(one.less)
            self.sets.pop(one.spec.name, None)

    def ended(self, spec: SetSpec, count: int) -> None:
        """Take note of elements that the kernel ended by itself; it may count them a while yet."""
        self._ended[spec.name] = self._ended.get(spec.name, 0) + count

    def _held(self, spec: SetSpec) -> NDArray[np.void]:
        """Return what a live set holds; of the masses ask `_pieces`."""
        if spec.name not in self.sets:
            self.sets.update(distribute({spec.list: self.lists[spec.list]}, self.specs))
        return self.sets[spec.name]

    def _pieces(self, spec: SetSpec, rows: NDArray[np.void]) -> NDArray[np.void]:
        """Return what of these rows of its list is in a set."""
        return distribute({spec.list: rows}, self.specs).get(spec.name, empty_ranges())

    def _open_ended(self, spec: SetSpec, now: float) -> bool:
        """Tell whether a set's last interval goes up to the highest address, without an end.

        Linux counts pairs of elements and may or may not count this one: `learn` finds out.
        """
        if not spec.interval:
            return False
        ranges = of_family(self.lists.get(spec.list), spec.family)[-1:]
        last = self._pieces(spec, ranges) if len(ranges) else ranges
        return bool(columns(last[-1:], spec.family, now).open.any())

    def learn(self, elements: Mapping[str, int], now: float) -> None:
        """Learn from the counts after a load, when nobody else can have changed a set."""
        for spec in self.specs:
            if elements.get(spec.name, -1) >= 0 and self._open_ended(spec, now):
                off = self.counts[spec.name] - elements[spec.name]
                self._uncounted[spec.name] = min(max(off, 0), 1)

    def plausible(self, spec: SetSpec, elements: int, now: float) -> bool:
        """Tell whether the kernel's count (-1: it tells none) can be right."""
        if elements < 0:
            return True
        most = self.counts[spec.name] + self._ended.get(spec.name, 0) + self.early
        least = self._least(spec, now + _ENDING)
        if self._open_ended(spec, now):
            off = self._uncounted.get(spec.name)
            least, most = least - (1 if off is None else off), most - (off or 0)
        return least <= elements <= most

    def _least(self, spec: SetSpec, when: float) -> int:
        """Return how many elements have not ended by then, at the least.

        The masses are not cut into prefixes again for it: in the second in which one of them ends
        their number has no lower bound.
        """
        if spec.list != _MASS:
            return len(unexpired(self._held(spec), when))
        first = self._first_end(spec.list)
        return 0 if 0 < first <= int(when * 1e9) else self.counts[spec.name]

    def _first_end(self, name: str) -> int:
        ranges = self.lists[name]
        known = self._ends.get(name)
        if known is None or known[0] is not ranges:
            known = self._ends[name] = (ranges, soonest(ranges))
        return known[1]

    def spots(self, spec: SetSpec, now: float) -> NDArray[np.uint8]:
        """Return first keys of elements to look up, at most SPOTS, other ones each turn."""
        ranges = self.lists.get(spec.list, empty_ranges())
        count = min(len(ranges), SPOTS)
        rows = np.sort((self._turn + np.arange(count)) % max(len(ranges), 1))
        alive = unexpired(ranges[rows], now + _ENDING)
        return columns(self._pieces(spec, alive)[:SPOTS], spec.family, now).first

    def turn(self) -> None:
        """Go on to other spots."""
        self._turn += SPOTS


def in_order(ranges: NDArray[np.void]) -> NDArray[np.void]:
    """Return disjoint ranges sorted."""
    ordered: NDArray[np.void] = ranges[np.lexsort((ranges["first_lo"], ranges["first_hi"]))]
    return ordered


def _ends_by(ranges: NDArray[np.void], when: float) -> NDArray[np.bool_]:
    ends: NDArray[np.bool_] = (ranges["expires"] != 0) & (ranges["expires"] <= int(when * 1e9))
    return ends


def differences(
    there: NDArray[np.void], wanted: NDArray[np.void], now: float
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return (missing, extra) of what a set holds against what it should; both sorted."""
    names = ["first_hi", "first_lo", "last_hi", "last_lo"]
    _, left, right = np.intersect1d(
        there[names], wanted[names], assume_unique=True, return_indices=True
    )
    ends, meant = there["expires"][left], wanted["expires"][right]
    equal = ((ends == 0) == (meant == 0)) & (np.abs(ends - meant) <= _NEAR)
    lacks, beyond = np.ones(len(wanted), np.bool_), np.ones(len(there), np.bool_)
    lacks[right[equal]] = False
    beyond[left[equal]] = False
    lacks &= ~_ends_by(wanted, now + _NEAR / 1e9)
    return wanted[lacks], there[beyond]


def lines(found: list[tuple[str, NDArray[np.void]]]) -> list[str]:
    """Return ranges by set name as lines, at most 1,000."""
    shown: list[str] = []
    for name, rows in found:
        shown.extend(f"{name} {range_text(row)}" for row in rows[: _SHOWN - len(shown)])
    return shown
