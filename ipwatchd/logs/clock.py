"""Clocks of the sources: what they are ahead or behind, and stamps of the future. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Clock"]

AHEAD: Final = 5.0
"""Seconds that a stamp may be in the future: clocks that keep NTP differ by less."""
BEHIND: Final = 120.0
"""Seconds that all of the last stamps have to be late before the clock is to blame."""
_LAST: Final = 20
_QUARTER: Final = 900.0
_NEAR: Final = 60.0


class Clock:
    """The clock of one source. `live` sources send at once: late stamps then are a slow clock."""

    def __init__(self, *, live: bool) -> None:
        self.clamped = 0
        self._live = live
        self._offsets: deque[float] = deque(maxlen=_LAST)

    def settle(self, ts: float, now: float) -> float:
        """Return a stamp that is not in the future; the difference is remembered."""
        self._offsets.append(ts - now)
        if ts <= now + AHEAD:
            return ts
        self.clamped += 1
        return now

    @property
    def offset(self) -> float:
        """Return by how many seconds the clock is ahead (behind: below 0), 0 where it is right."""
        if not self._offsets:
            return 0.0
        ahead = max(self._offsets)
        if ahead > AHEAD:
            return ahead
        return ahead if self._live and len(self._offsets) == _LAST and ahead < -BEHIND else 0.0

    def note(self) -> str:
        """Return a sentence about the clock, "" where it is right."""
        offset = self.offset
        if not offset:
            return ""
        words = f"its clock is {abs(offset):.0f} s {'ahead' if offset > 0 else 'behind'}"
        quarters = round(offset / _QUARTER)
        if quarters and abs(offset - quarters * _QUARTER) <= _NEAR:
            hours = abs(quarters) / 4
            return f"{words} ({hours:g} h: another time zone? set [logs] time_zone)"
        return f"{words}: let it keep time by NTP"
