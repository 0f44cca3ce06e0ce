"""A budget of so many a second: a token bucket on whatever clock its caller has."""

from __future__ import annotations

from typing import Final

__all__ = ["Budget"]

_STEP_BACK: Final = 60.0
"""Seconds back that mean a clock that was set: without it none would be gained until it is back
where it was. What comes a little out of order is no such step."""


class Budget:
    """`rate` tokens a second, at most `most` saved up. A clock that steps back gives nothing."""

    def __init__(self, rate: float, most: float) -> None:
        self._rate = rate
        self._most = most
        self._left = most
        self._last = float("-inf")

    def take(self, now: float) -> bool:
        """Take one token; False where none is left."""
        if now > self._last:
            gained = min((now - self._last) * self._rate, self._most)
            self._left = min(self._left + gained, self._most)
            self._last = now
        elif now < self._last - _STEP_BACK:
            self._last = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
