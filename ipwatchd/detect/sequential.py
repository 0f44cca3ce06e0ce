"""Scans of a few targets: the second line, below which counting alone tells nothing.

Sequential hypothesis testing (Jung, Paxson, Berger, Balakrishnan, S&P 2004): four of five first
contacts of benign sources succeed, one of five of a scanner's. Each failure at another target makes
a scanner four times as likely, each success a quarter. Wald's bound: found / false_alarm.

Their failures are independent; those of an outage are not. So nothing is said of what goes out, and
a service that answered anybody of late is no target; inside, where monitors ask a dozen machines
that are gone, only of many ports of one host.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.contact import TCP
from ipwatchd.detect.shape import Shape, host_of, proto_of, shape

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

__all__ = ["Answering", "Few", "line"]

_BENIGN, _SCANNER = 0.8, 0.2  # shares of first contacts that succeed (their theta 0 and theta 1)
_FOUND: Final = 0.99
_A_TARGET: Final = 4  # flows to one target in the mean; who waits for somebody asks again and again
_MOST: Final = 64
"""Sources told of at one victim within `_SPELL` by this line, eight times as many of all victims.
The attack that it stops: forged sources that each knock ten times, whose judging takes the time;
what is told of them is summed by `crowd`."""
_VICTIMS: Final = 8
_SPELL: Final = 300_000_000_000
_BITS: Final = 20
_SHIFT: Final = np.uint64(64 - _BITS)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_LOW: Final = (1 << 64) - 1
_GENERATION: Final = 86_400_000_000_000


def line(false_alarm: float) -> int:
    """Return how many failures more than successes convict; 0 is no line."""
    if false_alarm <= 0:
        return 0
    return math.ceil(math.log(_FOUND / false_alarm) / math.log(_BENIGN / _SCANNER))


class Answering:
    """Services (targets) that answered within a day or two: a bit each, in two generations.

    Where two share a bit, or somebody fills the bits, fewer scans are found and none is invented.
    """

    def __init__(self) -> None:
        self._now, self._before = (np.zeros(1 << _BITS, np.bool_) for _ in "ab")
        self._since = 0

    def add(self, targets: NDArray[np.uint64], time: int) -> None:
        """Note services that answered at a time (epoch ns)."""
        if time - self._since >= _GENERATION:
            self._before, self._now = self._now, np.zeros(1 << _BITS, np.bool_)
            self._since = time
        self._now[((targets * _MIX) >> _SHIFT).astype(np.intp)] = True

    def of(self, targets: AbstractSet[int]) -> set[int]:
        """Return those of some targets that may have answered."""
        found = set()
        for target in targets:
            place = (target * int(_MIX) & _LOW) >> int(_SHIFT)
            if self._now[place] or self._before[place]:
                found.add(target)
        return found


class Few:
    """The second line of a rule that counts failed targets."""

    def __init__(self, false_alarm: float) -> None:
        self.line = line(false_alarm)
        self.answering = Answering()
        self.shed = 0
        """Sources that were not looked at, because many were told of just before."""
        self._since = 0
        self._told: Counter[int] = Counter()

    def shape(
        self, failed: AbstractSet[int], talked: AbstractSet[int], named: AbstractSet[int],
        flows: int, direction: str, time: int,
    ) -> Shape | None:  # fmt: skip
        """Return the scan that a few failed targets make at a time (epoch ns), or None."""
        if not self.line or len(failed) < self.line or direction not in {"incoming", "internal"}:
            return None
        victim = host_of(next(iter(failed)))
        if flows > _A_TARGET * len(failed) or not self._room(victim, time):
            return None
        tried = {one for one in failed if proto_of(one) == TCP} - talked
        if len(tried) < self.line:
            return None
        tried -= self.answering.of(tried)
        reached = {one for one in talked if proto_of(one) == TCP}
        found = shape(tried, reached, named, self.line)
        if found is None or found.value - len(reached) < self.line:
            return None
        if direction == "internal" and found.kind != "vertical":
            return None
        self._told[victim] += 1
        return found

    def _room(self, victim: int, time: int) -> bool:
        if time - self._since >= _SPELL:
            self._since = time
            self._told.clear()
        full = self._told[victim] >= _MOST or self._told.total() >= _MOST * _VICTIMS
        self.shed += full
        return not full
