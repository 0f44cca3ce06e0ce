"""What proves that an agent is at an address, and how much. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["SOURCES", "Source", "agent_name", "is_person"]


class Source(NamedTuple):
    """How much a kind of evidence proves, for how long, and whether the address is theirs alone."""

    confidence: float
    seconds: float
    alone: bool = False


SOURCES: Final[dict[str, Source]] = {
    # Accounting and VPN servers give the address to one user; they also say when it ends.
    "radius": Source(0.95, 86_400.0, alone=True),
    "vpn": Source(0.95, 86_400.0, alone=True),
    # A ticket lives ten hours where nothing else is set (RFC 4120 leaves it to the realm).
    "kerberos": Source(0.8, 36_000.0),
    # A phone registers again within the hour (RFC 3261, 10.2.1.1).
    "sip": Source(0.7, 3_600.0),
    "login": Source(0.6, 28_800.0),
    # The roster says whose device it is, not who sits at it.
    "device": Source(0.4, 3_600.0),
}


def agent_name(user: str) -> str:
    """Return the name of a user without realm and domain: all those are one person."""
    return user.rpartition("\\")[2].partition("@")[0].lower()


def is_person(user: str) -> bool:
    """Tell whether a principal is a person's: a machine's is DESK17$ or host/desk17."""
    return bool(user) and not user.endswith("$") and not agent_name(user).startswith("host/")
