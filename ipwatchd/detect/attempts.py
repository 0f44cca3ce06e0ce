"""What one source tried to log in with, how often, where: the record behind password-guessing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ipwatchd.detect.sources import Growth

if TYPE_CHECKING:
    from collections import deque

__all__ = [
    "SHOWN", "SLIPS", "Attempts", "likelihood", "note", "note_user", "readable", "severity_of",
]  # fmt: skip

SLIPS: Final = 5  # failures of a user that their own success explains
USERS: Final = 64  # user names counted one by one for each source; a dictionary of names is longer
_USER_LETTERS: Final = 64
SHOWN: Final = 16  # users, services and targets named in a finding


class Attempts:
    """What one source tried. Times are epoch ns."""

    __slots__ = (
        "began", "failures", "failures_before", "growth", "hasty", "known_at", "last", "more_users",
        "origin", "recent", "seen",
        "services", "sessions", "sessions_before", "started", "success", "targets", "times",
        "users", "weight", "wire_growth", "wire_seen",
    )  # fmt: skip

    def __init__(self, time: int) -> None:
        self.began = self.started = self.last = time
        self.weight = 0
        self.seen = self.wire_seen = 0
        self.failures = self.failures_before = 0
        self.sessions = self.sessions_before = 0
        self.known_at = 0
        self.times: deque[int] | None = None
        self.recent: deque[int] | None = None
        self.hasty = False
        self.users: dict[str, int] = {}
        self.more_users = 0
        self.services: dict[str, None] = {}
        self.targets: dict[str, None] = {}
        self.success = ""
        self.origin = "log"
        self.growth = Growth()
        self.wire_growth = Growth()

    def turn(self, time: int, window: int) -> None:
        """Begin a new window where the old one is over."""
        gone = time - self.began
        if gone < window:
            return
        fresh = gone < 2 * window
        self.failures_before = self.failures if fresh else 0
        self.sessions_before = self.sessions if fresh else 0
        self.failures = self.sessions = 0
        if not fresh:
            self.hasty = False
            self.users.clear()
            self.more_users = 0
        self.began = time

    def known(self, window: int) -> bool:
        """Tell whether this source has shown of late that it can log in."""
        return self.known_at > 0 and self.last - self.known_at < 2 * window

    def failures_within(self, window: int) -> int:
        """Return the failures that stand, those before weighed by how much of theirs is left."""
        return self.failures + int(self.failures_before * self._left(window))

    def sessions_within(self, window: int) -> int:
        """Return the sessions, counted the same way."""
        return self.sessions + int(self.sessions_before * self._left(window))

    def _left(self, window: int) -> float:
        return max(0.0, 1 - (self.last - self.began) / window)


def note_user(record: Attempts, user: str, tried: int = 1) -> None:
    """Count failures of a user; beyond the bound they are summed."""
    if user in record.users or len(record.users) < USERS:
        record.users[user] = record.users.get(user, 0) + tried
    else:
        record.more_users += 1


def note(names: dict[str, None], name: str) -> None:
    """Keep a name, the first ones."""
    if name and len(names) < SHOWN:
        names[readable(name)] = None


def readable(text: str) -> str:
    """Return a name from the attacker's hand as a bounded, printable word."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_USER_LETTERS])


def severity_of(record: Attempts, users: int) -> str:
    """Return how bad the attempts are."""
    if record.success:
        return "critical" if record.users.get(record.success, 0) > SLIPS else "high"
    return "high" if users >= USERS else "medium"


def likelihood(value: int, least: int, *, success: bool) -> float:
    """Return how sure a log's failures make it."""
    return 0.95 if success else round(0.95 * (1 - math.exp2(-2 * value / least)), 3)
