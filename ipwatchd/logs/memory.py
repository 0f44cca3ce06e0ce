"""What earlier lines of a session said: the client, where a later line of the session names none."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

__all__ = ["Known", "Memory"]

SESSIONS: Final = 8192
"""Sessions that are remembered: who opens connections without end only pushes out the oldest."""
SECONDS: Final = 600.0
"""Process ids and SA numbers come back: what is older says nothing of who has one now."""


class Known(NamedTuple):
    """What a session is known to be: client as the log wrote it, port, user."""

    client: str
    port: str
    user: str
    ts: float


class Memory:
    """Sessions by (source, program, id), bounded in number and age."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[str, str, str], Known] = OrderedDict()

    def put(self, session: tuple[str, str, str], known: Known) -> None:
        """Remember what a line told; empty facts leave the earlier ones of the session."""
        before = self.get(session, known.ts)
        if before is not None:
            known = Known(*(new or old for new, old in zip(known, before, strict=True)))
        self._sessions[session] = known
        self._sessions.move_to_end(session)
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)

    def get(self, session: tuple[str, str, str], now: float) -> Known | None:
        """Return what is known of a session, None where that is nothing or too long ago."""
        known = self._sessions.get(session)
        return known if known is not None and abs(now - known.ts) <= SECONDS else None
