"""Whether the internet is there: when the line is down, everybody's contacts fail together.

A scanner fails alone, among others who reach whom they call. So what goes out and fails is no
search while many sources of ours fail and hardly one of them talks with anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.detect.facts import Batch

__all__ = ["Reach"]

_BITS: Final = 12
_SHIFT: Final = np.uint64(64 - _BITS)
_GENERATION: Final = 30_000_000_000  # ns; what was a minute ago says nothing of now
_MANY: Final = 8  # sources that fail together; fewer may be one another's worm
_A_TALKER: Final = 4  # failing sources for each that talks; a worm's house has more who talk
_OF_USUAL: Final = 4
"""How many times fewer must talk than usual. The attack that it stops: one machine that sends
in the names of many others, so that a whole house seems to fail while it scans."""
_SMOOTH: Final = 0.2  # weight of the newest in what is usual


class Reach:
    """Which sources of ours failed and talked of late, a bit each, in two generations."""

    def __init__(self) -> None:
        self._bits = np.zeros((2, 2, 1 << _BITS), np.bool_)  # generation, failed or talked, source
        self._since = 0
        self._usual = 0.0

    def note(self, failed: NDArray[np.uint64], talked: NDArray[np.uint64], time: int) -> None:
        """Note sources (hashes) whose contacts to the internet failed and succeeded."""
        gone = time - self._since
        if gone >= _GENERATION:
            if not self.lost():
                self._usual += _SMOOTH * (self._counts()[1] - self._usual)
            self._bits[1] = self._bits[0] if gone < 2 * _GENERATION else False
            self._bits[0] = False
            self._since = time
        self._bits[0, 0, (failed >> _SHIFT).astype(np.intp)] = True
        self._bits[0, 1, (talked >> _SHIFT).astype(np.intp)] = True

    def kept(
        self, batch: Batch, part: NDArray[np.intp], failed: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """Note a part of a batch and return those of its failed rows that say something."""
        if not len(part):
            return failed
        outward = batch.flows["direction"] == Direction.OUTGOING
        tried, talked = failed[outward[failed]], part[batch.successes[part] & outward[part]]
        time = int(batch.flows["end"][part].max())
        self.note(batch.orig[tried], batch.orig[talked], time)
        return failed[~outward[failed]] if self.lost() else failed

    def lost(self) -> bool:
        """Tell whether the line seems to be down."""
        failed, talked = self._counts()
        if failed < _MANY or failed <= _A_TALKER * talked:
            return False
        return self._usual < 1 or talked * _OF_USUAL < self._usual

    def _counts(self) -> tuple[int, int]:
        """Return how many failed and how many talked of late."""
        failed, talked = np.count_nonzero(self._bits[0] | self._bits[1], axis=1).tolist()
        return int(failed), int(talked)
