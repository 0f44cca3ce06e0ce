"""How often a program that fights us is answered: by what the answers cost; pure.

To put a table of a million entries back takes seconds. Whoever flushes it in a loop would have us
do nothing else; so the putting back takes a quarter of the time at most. A small table comes back
within milliseconds, every time.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Pace"]

_SHARE: Final = 3.0
"""Rest after a repair, in times of what it took."""
_LEAST: Final = 0.2
"""Seconds between two repairs at the least: five a second of what costs nothing."""
_MINUTE: Final = 60.0
_MANY: Final = 5
"""Repairs in a minute from which on somebody fights us and does not err."""


class Pace:
    """Repairs and when the next one is due; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        """Begin with nothing repaired."""
        self._next = 0.0
        self._repairs: deque[float] = deque(maxlen=1000)
        self.repairs = 0
        """Repairs so far."""

    def wait(self, now: float) -> float:
        """Return the seconds until the next repair may begin, 0 where it may now."""
        return max(self._next - now, 0.0)

    def repaired(self, began: float, ended: float) -> None:
        """Take note of a repair."""
        self.repairs += 1
        self._repairs.append(ended)
        self._next = ended + max(_LEAST, _SHARE * (ended - began))

    def lately(self, now: float) -> int:
        """Return the repairs of the last minute, 0 where they are too few to be a fight."""
        count = sum(now - one < _MINUTE for one in self._repairs)
        return count if count >= _MANY else 0
