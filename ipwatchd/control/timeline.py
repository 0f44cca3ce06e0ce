"""What other rooms add to the timeline of an address: incidents, and who looked or acted."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.records.address import IPNetwork, network_range
from ipwatchd.records.entry import network_text
from ipwatchd.records.incident import STATES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.control.call import Peer
    from ipwatchd.control.house import House
    from ipwatchd.records.filter import Filter
    from ipwatchd.records.incident import Incident, IncidentEvent

__all__ = ["BESIDE", "beside", "incidents_about"]

_KEYS: Final = frozenset({"addr", "src", "since", "until"})
_LOOKED: Final = 10_000
"""Incidents, and lines of the audit log, that are looked through: the newest."""
_STEPS: Final = 10_000
"""Steps of incidents that are taken up: one incident may have grown for weeks."""
BESIDE: Final = 1_000_000
"""More than other rooms ever add: two kinds, each within its bound and one incident's steps."""


async def beside(house: House, peer: Peer, query: Filter, limit: int) -> list[dict[str, Any]]:
    """Return rows of kind incident and, to an admin, audit, newest first.

    Only a filter of addresses and times is about them; one without an address is not about anybody.
    """
    networks = [
        value for term in query.terms if term.key in {"addr", "src"} and not term.negated
        for value in term.values if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network)
    ]  # fmt: skip
    if not networks or any(term.key not in _KEYS or term.negated for term in query.terms):
        return []
    rows: list[dict[str, Any]] = []
    for incident, address in await incidents_about(house, networks):
        shown = await house.stores.incidents.show(incident.id)
        rows += [_step(incident, event, address) for event in (shown[1] if shown else ())]
        if len(rows) > _STEPS:
            break
    if peer.role == "admin":
        for line in await house.stores.audit.lines(_LOOKED):
            if hit := _hit(_words(line.subject), networks):
                rows.append({
                    "ts": line.time, "kind": "audit", "address": hit, "actor": line.actor,
                    "action": line.action, "reason": line.detail,
                    "text": f"{line.actor}: {line.action} {line.subject} {line.detail}".strip(),
                })  # fmt: skip
    since, until = query.since(), query.until()
    found = [row for row in rows if since <= row["ts"] < until]
    return sorted(found, key=lambda row: -float(row["ts"]))[:limit]


async def incidents_about(house: House, networks: list[IPNetwork]) -> list[tuple[Incident, str]]:
    """Return the incidents whose subject or target lies in a network, and which; newest first."""
    found = await house.stores.incidents.list(STATES, limit=_LOOKED)
    hits = [(one, _hit([one.subject, *one.targets], networks)) for one in found]
    return [(one, address) for one, address in hits if address]


def _step(incident: Incident, event: IncidentEvent, address: str) -> dict[str, Any]:
    """Return one event of an incident as a row."""
    said = f"{incident.id} {event.kind}: {incident.title} ({incident.priority})"
    return {
        "ts": event.time, "kind": "incident", "address": address, "incident": incident.id,
        "action": event.kind, "actor": event.actor, "rule": incident.rule, "text": said,
    }  # fmt: skip


def _words(subject: str) -> list[str]:
    """Return what may be an address in the subject of a line: alone, or a term of a filter."""
    words = subject.replace(",", " ").split()
    return [*words, *(word.partition(":")[2] for word in words)]


def _hit(words: Iterable[str], networks: list[IPNetwork]) -> str:
    """Return the first word that is an address or a network in one of the networks, or ""."""
    for word in words:
        try:
            first, last = network_range(ipaddress.ip_network(word, strict=False))
        except ValueError:
            continue
        for network in networks:
            low, high = network_range(network)
            if low <= first and last <= high:
                return network_text(str(ipaddress.ip_network(word, strict=False)))
    return ""
