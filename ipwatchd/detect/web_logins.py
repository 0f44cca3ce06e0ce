"""Web logins seen on the wire: answers 401 and 403 again and again, and hardly another.

Clear HTTP alone shows them. NTLM and Negotiate (RFC 4559) begin each connection with two 401 and
go on with a 200; a page that is not for everybody gives a few 403 among its pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.detect.sources import Growth, Sources

if TYPE_CHECKING:
    from ipwatchd.records.event import Http

__all__ = ["REFUSED", "WebLogins", "WebTries"]

REFUSED: Final = frozenset({401, 403})
_SHARE: Final = 0.9  # of a client's answers at one server are refusals
_TIMES: Final = 3  # as many as other failed logins: a stored, old password asks all day


class WebTries:
    """Answers that one client got from one server in this window. Times are epoch ns."""

    __slots__ = ("answers", "began", "growth", "last", "refused", "seen", "started", "weight")

    def __init__(self, time: int) -> None:
        self.began = self.started = self.last = time
        self.weight = 1
        self.answers = self.refused = self.seen = 0
        self.growth = Growth()


class WebLogins:
    """Counts answers by client and server; `least` failures within `window` ns."""

    def __init__(self, sources: int, least: int, window: int) -> None:
        self.least = _TIMES * least
        self._window = window
        self._tries = Sources(WebTries, sources, sources)

    def __len__(self) -> int:
        return len(self._tries)

    @property
    def shed(self) -> int:
        """Return clients that had to make room."""
        return self._tries.shed

    def take(self, event: Http) -> WebTries | None:
        """Count an answer; return what is known of its client where that is worth a finding."""
        key, time = (event.orig, event.resp), round(event.ts * 1e9)
        if event.status not in REFUSED and self._tries.get(key) is None:
            return None  # who was never refused needs no record
        tries = self._tries.active(key, time)
        if time - tries.began >= self._window:
            tries.began, tries.answers, tries.refused = time, 0, 0
        tries.answers += 1
        if event.status not in REFUSED:
            return None
        tries.refused += 1
        tries.seen += 1
        if tries.refused < self.least or tries.refused < _SHARE * tries.answers:
            return None
        return tries if tries.growth.due(tries.seen, time) else None

    def end(self, before: int) -> None:
        """Forget clients that were last seen before a time (epoch ns)."""
        self._tries.sweep(before)
