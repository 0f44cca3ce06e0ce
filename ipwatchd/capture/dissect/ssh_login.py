"""Whether an SSH login seems to have succeeded, from sizes and directions of encrypted segments.

After the key exchange a server answers each request of the client with one message. The first
answers the request for the service (RFC 4253, 10): 17 octets in clear. Success is one octet (RFC
4252, 5.1), so with every cipher that is in use its segment is 16 shorter; a failure names the
methods that are left and is longer. Zeek's SSH analyzer concludes in the same way.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from ipwatchd.records.event import Ssh

if TYPE_CHECKING:
    from ipwatchd.capture.dissect.stream import Key

__all__ = ["Logins"]

LOGINS: Final = 2048
"""Logins under way that are held, some numbers each: stops a flood of key exchanges."""
GRACE: Final = 120.0
"""Seconds of silence after which a login is over: sshd_config's LoginGraceTime."""
_ACCEPT: Final = range(40, 101)
"""Octets of the message that accepts the service, for every cipher and MAC of OpenSSH."""
_SHORTER: Final = 16
_CHACHA: Final = 44
"""The same with chacha20-poly1305, where Dropbear's success is shorter by 8: it sends no packet
below 16 octets (RFC 4253, 6), which OpenSSH does with this cipher."""
_HALF: Final = 0x8000_0000


class _Login:
    """One login. `next` are the sequence numbers awaited of the responder and the originator."""

    __slots__ = ("accepted", "answers", "asked", "last", "lost", "next", "open", "requests")

    def __init__(self, now: float) -> None:
        self.next: list[int | None] = [None, None]
        self.accepted = self.requests = self.answers = 0
        self.asked = self.lost = False
        self.open = True
        self.last = now

    def fresh(self, seq: int, length: int, *, from_orig: bool) -> int:
        """Return how many octets of a segment are new; a gap makes the login unsure."""
        awaited = self.next[from_orig]
        if awaited is None:
            return 0
        ahead = ((seq - awaited + _HALF) & 0xFFFF_FFFF) - _HALF
        new = length + ahead
        if ahead > 0:
            self.lost = True
        if new > 0:
            self.next[from_orig] = (awaited + new) & 0xFFFF_FFFF
        return max(new, 0)

    def take(self, length: int, *, from_orig: bool) -> bool:
        """Take a segment in order; True where it tells that the login succeeded."""
        if from_orig:
            self.asked = True
            self.requests += self.accepted > 0
            return False
        if not self.accepted:
            if self.asked and length in _ACCEPT:
                self.accepted, self.asked = length, False
            return False
        if self.requests and not self.lost and self._is_success(length):
            return True
        self.answers += self.asked
        self.asked = False
        return False

    def _is_success(self, length: int) -> bool:
        shorter = self.accepted - length
        return shorter == _SHORTER or (self.accepted == _CHACHA and shorter == _SHORTER // 2)

    def outcome(self) -> str:
        """Return what can be said of a login that is over without success.

        The first answer may be that to the question which methods there are.
        """
        if not self.requests:
            return ""
        return "failed" if self.answers > 1 and not self.lost else "unsure"


class Logins:
    """Logins by five-tuple, oldest first; at most `limit`, the one longest silent goes."""

    def __init__(self, limit: int = LOGINS) -> None:
        self._limit = limit
        self._logins: OrderedDict[Key, _Login] = OrderedDict()
        self.shed = 0

    def __len__(self) -> int:
        """Return how many logins are under way."""
        return len(self._logins)

    def begin(self, key: Key, seq: int, rest: int, now: float, *, from_orig: bool) -> None:
        """Note where a direction's encrypted octets begin, and how many came in that segment."""
        login = self._logins.get(key)
        if login is None:
            while len(self._logins) >= self._limit:
                self._logins.popitem(last=False)
                self.shed += 1
            login = self._logins[key] = _Login(now)
        login.next[from_orig] = seq & 0xFFFF_FFFF
        if rest:
            login.next[from_orig] = (seq + rest) & 0xFFFF_FFFF
            login.take(rest, from_orig=from_orig)

    def holds(self, key: Key, *, from_orig: bool) -> bool:
        """Tell whether a segment of this direction is encrypted."""
        login = self._logins.get(key)
        return login is not None and login.next[from_orig] is not None

    def feed(self, key: Key, seq: int, length: int, now: float, *, from_orig: bool) -> Ssh | None:
        """Take an encrypted segment; the event where it shows that the login succeeded."""
        login = self._logins[key]
        login.last = now
        self._logins.move_to_end(key)
        new = login.fresh(seq, length, from_orig=from_orig)
        if not login.open or not new or not login.take(new, from_orig=from_orig):
            return None
        login.open = False
        return _event("succeeded")

    def forget(self, key: Key) -> Ssh | None:
        """End a login, as another connection begins on its ports; what can be said of it."""
        login = self._logins.pop(key, None)
        outcome = login.outcome() if login is not None and login.open else ""
        # The first answer may be that to the question which methods there are.
        tries = login.answers - 1 if login is not None and outcome == "failed" else 0
        return _event(outcome, tries) if outcome else None

    def idle(self, now: float) -> list[tuple[Key, float, Ssh]]:
        """Remove the logins that are over and return what can be said of those without success."""
        gone: list[tuple[Key, float, Ssh]] = []
        while self._logins:
            key, login = next(iter(self._logins.items()))
            if now - login.last < GRACE:
                break
            event = self.forget(key)
            if event is not None:
                gone.append((key, login.last, event))
        return gone


def _event(outcome: str, tries: int = 0) -> Ssh:
    return Ssh(ts=0.0, login=outcome, tries=tries)
