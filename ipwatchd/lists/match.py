"""Which addresses of a batch lie in merged ranges: asked beside every flow batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipwatchd.records.address import is_v4

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Matcher", "View"]


class Matcher:
    """Sorted, disjoint ranges of one list, indexed by family. Immutable, so any thread may ask."""

    def __init__(self, ranges: NDArray[np.void]) -> None:
        self._many = len(ranges)
        four = is_v4(ranges["first_hi"], ranges["first_lo"])
        self._four_first = np.ascontiguousarray(ranges["first_lo"][four])
        self._four_last = np.ascontiguousarray(ranges["last_lo"][four])
        six = ranges[~four]
        self._six_first = (
            np.ascontiguousarray(six["first_hi"]),
            np.ascontiguousarray(six["first_lo"]),
        )
        self._six_last = np.ascontiguousarray(six["last_hi"]), np.ascontiguousarray(six["last_lo"])

    def __bool__(self) -> bool:
        return bool(self._many)

    def __call__(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which addresses lie inside."""
        inside = np.zeros(len(hi), np.bool_)
        four = is_v4(hi, lo)
        if len(self._four_first) and four.any():
            address = lo[four]
            place = np.searchsorted(self._four_first, address, "right") - 1
            inside[four] = (place >= 0) & (address <= self._four_last[place])
        if len(self._six_first[0]) and not four.all():
            inside[~four] = self._inside_six(hi[~four], lo[~four])
        return inside

    def _inside_six(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Bisect 128-bit numbers in step for the whole batch: numpy sorts 64 bits at most."""
        first_hi, first_lo = self._six_first
        low = np.zeros(len(hi), np.intp)
        high = np.full(len(hi), len(first_hi), np.intp)
        for _ in range(len(first_hi).bit_length()):
            middle = np.minimum((low + high) // 2, len(first_hi) - 1)
            begun = (first_hi[middle] < hi) | ((first_hi[middle] == hi) & (first_lo[middle] <= lo))
            open_ = low < high
            low = np.where(open_ & begun, middle + 1, low)
            high = np.where(open_ & ~begun, middle, high)
        place = low - 1
        last_hi, last_lo = self._six_last[0][place], self._six_last[1][place]
        below = (hi < last_hi) | ((hi == last_hi) & (lo <= last_lo))
        inside: NDArray[np.bool_] = (place >= 0) & below
        return inside


class View:
    """All lists as they stood at one moment. Immutable: a change makes a new one."""

    def __init__(
        self,
        *,
        management: NDArray[np.void],
        allow: Sequence[Matcher],
        deny: Sequence[Matcher],
    ) -> None:
        self._deny = [matcher for matcher in deny if matcher]
        self._spared = [matcher for matcher in (Matcher(management), *allow) if matcher]

    def denied(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which addresses may not pass: denied, and neither allowed nor management."""
        denied = np.zeros(len(hi), np.bool_)
        for matcher in self._deny:
            denied |= matcher(hi, lo)
        hits = np.flatnonzero(denied)
        for matcher in self._spared if len(hits) else ():
            denied[hits] &= ~matcher(hi[hits], lo[hits])
        return denied
