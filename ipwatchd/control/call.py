"""One call of the control API: who asks, what for, and the ways to say no."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ipwatchd.records.duration import parse_duration

__all__ = ["ROLES", "Call", "ForbiddenError", "NotFoundError", "Peer", "UnavailableError"]

ROLES: Final = ("none", "viewer", "operator", "admin")
_MOST_ROWS: Final = 10_000
"""Rows of one answer: a caller who asks for all must not make the daemon hold all."""
_MOST_NUMBER: Final = 1 << 53
"""Beyond this, what SQLite takes for an integer is not far."""


class Peer(NamedTuple):
    """Who is at the other end of the socket, by the kernel's word (SO_PEERCRED)."""

    name: str
    role: str


class ForbiddenError(Exception):
    """The peer's role is too low."""

    status, exit = 403, 1

    def __init__(self, peer: Peer, role: str) -> None:
        super().__init__(
            f"{peer.name} has the role {peer.role} here, this needs {role}: ask for the group (see "
            "[control] in the configuration)"
        )


class NotFoundError(Exception):
    """What the call names is not there."""

    status, exit = 404, 1


class UnavailableError(Exception):
    """What the call needs is not running here (a state folder has no firewall)."""

    status, exit = 409, 1


class Call(NamedTuple):
    """A call that passed the door: `names` from the path, `query`, `body` decoded."""

    now: float
    peer: Peer
    names: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any]

    def since(self, default: str) -> float:
        """Return the time that `since` names, as epoch seconds."""
        return self.now - parse_duration(self.query.get("since", default))

    def number(self, name: str, default: int) -> int:
        """Return a number of the query, 0 to 10,000 for `limit`; ValueError where it is none."""
        text = self.query.get(name, str(default))
        if not text.isdecimal():
            raise ValueError(f"{name}={text!r} is no number: write {name}={default}")
        return min(int(text), _MOST_ROWS if name == "limit" else _MOST_NUMBER)

    def need_role(self, role: str) -> None:
        """Refuse where what is asked needs more than the route does."""
        if ROLES.index(self.peer.role) < ROLES.index(role):
            raise ForbiddenError(self.peer, role)
