"""Who pages for this site, it or the centre. Pure; times are the caller's clock.

The site pages unless it may hand over and the centre has just said that it pages: a line that is
cut, a centre that is down, or one whose own channels fail gives the duty back within seconds.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Lease"]

LONGEST: Final = 3600.0
MARGIN: Final = 0.8
"""Share of the centre's promise that the site relies on: the two clocks may run apart."""
BEATS: Final = 6
"""Heartbeats that may be lost before the centre takes a site for cut off."""


class Lease:
    """The site's side of the lease."""

    def __init__(self, poll_seconds: float, *, hand_over: bool) -> None:
        self.hand_over = hand_over
        self.seconds = min(LONGEST, BEATS * poll_seconds)
        """For how long a heartbeat tells the centre to leave paging to this site."""
        self._since = 0.0
        self._span = 0.0

    def granted(self, seconds: float, now: float) -> None:
        """Take what the centre says: for so long it pages (0: it does not)."""
        self._since, self._span = now, min(seconds, LONGEST) * MARGIN

    def is_hushed(self, now: float) -> bool:
        """Tell whether the centre pages now; a clock that was set back doubts it."""
        return self.hand_over and self._since <= now < self._since + self._span
