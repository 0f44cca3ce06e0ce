"""What the centre pages for: sites that fell silent or handed over, one source at many sites. Pure.

Each is a finding of the centre's own log, by a key; what is no longer wanted is closed. A site that
is cut off pages by itself all the while: then both do, and nobody is left in the dark.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.incidents.paging.escalate import is_answered, move
from ipwatchd.records.duration import duration_text, parse_duration
from ipwatchd.records.finding import Finding
from ipwatchd.records.incident import OPEN_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ipwatchd.incidents.paging.plan import Plan
    from ipwatchd.records.incident import Incident

__all__ = ["ENDS", "Lease", "is_away", "same_source", "silent", "taken_over"]

ENDS: Final = frozenset({"site-silent", "taken-over"})
"""Rules whose incidents the centre itself closes when their cause has gone."""
_SEVERITY: Final = {"P1": "critical", "P2": "high", "P3": "medium", "P4": "low", "P5": "info"}
"""Severities that triage gives these priorities."""


class Lease(NamedTuple):
    """What the centre knows of a site's paging: last heard, for how long it pages by itself.

    `seq` is its newest event here: as long as it stays, so do its incidents.
    """

    site: str
    last_contact: float
    seconds: float
    hand_over: bool
    seq: int = 0


def is_away(lease: Lease, plan: Plan, now: float, begun: float) -> bool:
    """Tell whether a site's lease is over; `begun` is when the centre itself came up."""
    heard = max(lease.last_contact, begun)
    return now - heard > max(lease.seconds, plan.silent_seconds)


def silent(lease: Lease, now: float) -> Finding:
    """Return the finding that a site is not heard any more."""
    text = f"site {lease.site} is silent: not heard for {duration_text(now - lease.last_contact)}"
    return _finding(
        "site-silent", lease.site, lease.site, text, "P1", now, "outage", {"site": lease.site}
    )


def taken_over(
    lease: Lease, incidents: Iterable[Incident], plan: Plan, now: float,
    records: Mapping[str, Incident],
) -> list[Finding]:  # fmt: skip
    """Return a finding for each incident of a site that somebody must be paged of now.

    `records` are the centre's own incidents that stand for those of sites, by the site's id.
    """
    return [
        _finding(
            "taken-over", one.id, one.id, f"{one.id}: {one.title}"[:300], one.priority, now,
            one.classification or "undetermined",
            {"site": lease.site, "incident": one.id, "about": one.subject,
             "client": one.facts.get("client", "")},
        )
        for one in incidents
        if plan.policy_of(one) and _is_owed(one, plan, now, records.get(one.id))
    ]  # fmt: skip


def _is_owed(one: Incident, plan: Plan, now: float, record: Incident | None) -> bool:
    if not is_answered(one):
        return True
    made = move(one, plan, now)
    if made is None:
        return False
    # A site that leaves paging to the centre has no page of its own that taking it on could answer.
    return made.cause != "opened" or not _is_taken_on(one, plan, now, record)


def _is_taken_on(one: Incident, plan: Plan, now: float, record: Incident | None) -> bool:
    """Tell whether somebody at the site works on it since the centre began to page of it."""
    policy, paging = plan.policy_of(one), record.paging if record else None
    if policy is None or record is None or paging is None or not one.owner:
        return False
    since = one.touched
    is_raised = one.priority < record.priority
    return paging.begun < since and not is_raised and (
        now < since + parse_duration(policy.progress_timeout)
    )  # fmt: skip


def same_source(incidents: Iterable[Incident], plan: Plan, now: float) -> list[Finding]:
    """Return a finding for each address that open incidents of enough sites are about."""
    sites: defaultdict[str, set[str]] = defaultdict(set)
    for one in incidents:
        if one.state in OPEN_STATES and _is_public(one.subject):
            sites[one.subject].add(one.site)
    return [
        _finding(
            "same-source", subject, subject,
            f"{subject} is in incidents of {len(names)} sites: {', '.join(sorted(names)[:10])}",
            "P2", now, "undetermined", {"sites": sorted(names)[:100]},
        )
        for subject, names in sites.items()
        if len(names) >= plan.same_source_sites
    ]  # fmt: skip


def _is_public(subject: str) -> bool:
    """Tell whether a subject is an address that means the same at every site."""
    try:
        return ipaddress.ip_network(subject).is_global
    except ValueError:
        return False


def _finding(
    rule: str, subject: str, key: str, title: str, priority: str, now: float,
    classification: str, evidence: dict[str, object],
) -> Finding:  # fmt: skip
    return Finding(
        rule=rule, subject=subject, key=f"{rule}|{key}", title=title, first_seen=now,
        last_seen=now, count=1, severity=_SEVERITY[priority], classification=classification,
        score=1.0, value=1.0, threshold=1.0, evidence=evidence,
    )  # fmt: skip
