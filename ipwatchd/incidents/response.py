"""What could be done against an incident now: proposals, each with how it is taken back. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.incidents.paging.plan import fits
from ipwatchd.records.incident import OPEN_STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipwatchd.incidents.paging.plan import Plan
    from ipwatchd.records.incident import Incident

__all__ = ["OFFICER", "Offer", "denial", "is_network", "proposals"]

HOUR: Final = 3600.0
OFFICER: Final = "privacy officer"
SPANS: Final = {"P1": 24 * HOUR, "P2": 24 * HOUR, "P3": 4 * HOUR}


class Offer(msgspec.Struct, kw_only=True, frozen=True):
    """A response that fits: `why` says for what reason, `undo` what takes it back."""

    kind: str
    subject: str
    seconds: float
    why: str
    undo: str


def denial(incident: Incident) -> bool:
    """Tell whether an incident's subject is an address, which a list could hold."""
    return is_network(incident.subject)


def is_network(text: str) -> bool:
    """Tell whether a text is an address or a network."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def proposals(incident: Incident, zone: str, plan: Plan | None = None) -> list[Offer]:
    """Return what fits, the strongest first; `zone` is the subject's, "" where it has none.

    `plan` says who can be told.
    """
    if incident.state not in OPEN_STATES:
        return []
    offers = []
    undo = f"incidents undo {incident.id}"
    standing = {one.kind for one in incident.receipts if not one.undone}
    if denial(incident) and zone == "internet" and "deny" not in standing:
        offers.append(Offer(
            kind="deny", subject=incident.subject, seconds=SPANS.get(incident.priority, HOUR),
            why="it comes from outside: nobody of ours is cut off", undo=undo,
        ))  # fmt: skip
    if denial(incident) and zone != "internet" and "watch" not in standing:
        offers.append(Offer(
            kind="watch", subject=incident.subject, seconds=24 * HOUR,
            why="it is ours: look what it does before it is cut off", undo=undo,
        ))  # fmt: skip
    told = {one.subject for one in incident.receipts if one.kind == "notify" and not one.undone}
    offers += [
        Offer(kind="notify", subject=name, seconds=0.0, why=why,
              undo=f"{undo} stops what has not left yet; what has can't be unsent")
        for name, why in _to_tell(incident, plan) if name not in told
    ]  # fmt: skip
    return offers


def _to_tell(incident: Incident, plan: Plan | None) -> Iterator[tuple[str, str]]:
    """Yield who could be told, and why."""
    named = plan.notify if plan else {}
    if incident.personal and OFFICER not in named:
        yield OFFICER, "personal data is concerned; nothing is sent, it is written down"
    for name, one in named.items():
        if fits(one.match, incident):
            personal = incident.personal and (one.match.personal or name == OFFICER)
            yield name, "personal data is concerned" if personal else "the escalation plan says so"
