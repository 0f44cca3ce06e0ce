"""Events → incident: what each kind of event does to the incident it belongs to.

An event is a fact, so the fold obeys it and judges nothing: what may happen is decided before the
event is written (`actions`). Site and centre run this same fold. A kind that is not known (a newer
site) only moves `updated`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from ipwatchd.records.incident import Incident, IncidentEvent, Report

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LISTED", "Body", "Classified", "FoldError", "Grown", "Note", "Opened", "Reported", "Response",
    "State", "apply", "bounded_union", "fold",
]  # fmt: skip

LISTED: Final = 100
"""Targets, reports and responses an incident lists: a scan of a /8 can't make it megabytes. The
log has them all."""


class FoldError(ValueError):
    """An event that makes no sense where it stands."""


class Body(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What an event's `kind` needs."""


class Opened(Body, frozen=True):
    """A finding or a report became an incident."""

    rule: str
    subject: str
    title: str
    severity: str
    priority: str
    impact: int
    urgency: int
    first_seen: float
    last_seen: float
    count: int
    classification: str = ""
    key: str = ""
    targets: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    report: Report | None = None


class Grown(Body, frozen=True):
    """More of the same: `count` and `targets` are what came on top, `findings` how many said so.

    `severity` and what follows are set where the growth made it worse.
    """

    findings: int
    count: int
    first_seen: float
    last_seen: float
    targets: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    severity: str = ""
    priority: str = ""
    impact: int = 0
    urgency: int = 0


class Reported(Body, frozen=True):
    """A report that belongs to an incident that is there already."""

    report: Report


class State(Body, frozen=True):
    """Somebody moved it on. Where `owner` or `resolution` are empty they stay."""

    action: str
    before: str
    after: str
    reason: str = ""
    owner: str = ""
    resolution: str = ""


class Classified(Body, frozen=True):
    """Its class (an RSIT type) was set."""

    classification: str
    reason: str = ""


class Note(Body, frozen=True):
    """Somebody wrote something down."""

    text: str


class Response(Body, frozen=True):
    """Something was done against it."""

    text: str


_Kind = TypeVar("_Kind", bound=Body)


def fold(events: Iterable[IncidentEvent]) -> dict[str, Incident]:
    """Return every incident of a run of events by its id; FoldError where one makes no sense."""
    incidents: dict[str, Incident] = {}
    for event in events:
        incidents[event.incident] = apply(incidents.get(event.incident), event)
    return incidents


def apply(incident: Incident | None, event: IncidentEvent) -> Incident:
    """Return the incident after an event; what is handed in stays as it is."""
    if event.kind == "opened":
        if incident is not None:
            raise FoldError(f"event {event.seq} opens {event.incident}, which is open already")
        return _opened(event)
    if incident is None:
        raise FoldError(f"event {event.seq} is about {event.incident}, which was never opened")
    changes = _changes(incident, event)
    return msgspec.structs.replace(incident, updated=event.time, **changes)


def _opened(event: IncidentEvent) -> Incident:
    body = _body(event, Opened)
    return Incident(
        id=event.incident, site=event.site, rule=body.rule, subject=body.subject, title=body.title,
        severity=body.severity, priority=body.priority, state="NEW", first_seen=body.first_seen,
        last_seen=body.last_seen, count=body.count, classification=body.classification,
        opened=event.time, updated=event.time, targets=body.targets[:LISTED],
        evidence=body.evidence, key=body.key, impact=body.impact, urgency=body.urgency,
        reports=(body.report.id,) if body.report else (),
    )  # fmt: skip


def _changes(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    if event.kind == "grown":
        return _grown(incident, _body(event, Grown))
    if event.kind == "state":
        state = _body(event, State)
        return {
            "state": state.after,
            "owner": state.owner or incident.owner,
            "resolution": state.resolution or incident.resolution,
        }
    if event.kind == "classified":
        return {"classification": _body(event, Classified).classification}
    if event.kind == "reported":
        return {"reports": bounded_union(incident.reports, (_body(event, Reported).report.id,))}
    if event.kind == "response":
        return {"responses": (*incident.responses, _body(event, Response).text)[-LISTED:]}
    return {}


def _grown(incident: Incident, body: Grown) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "count": incident.count + body.count,
        "first_seen": min(incident.first_seen, body.first_seen),
        "last_seen": max(incident.last_seen, body.last_seen),
        "targets": bounded_union(incident.targets, body.targets),
        "evidence": body.evidence or incident.evidence,
    }
    if body.severity:
        changes |= {
            "severity": body.severity, "priority": body.priority, "impact": body.impact,
            "urgency": body.urgency,
        }  # fmt: skip
    return changes


def bounded_union(held: tuple[str, ...], more: Iterable[str]) -> tuple[str, ...]:
    """Return what is held and what is new, each once, in order, LISTED at most."""
    return tuple(dict.fromkeys((*held, *more)))[:LISTED]


def _body(event: IncidentEvent, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(event.body, kind)
    except msgspec.ValidationError as error:
        raise FoldError(
            f"event {event.seq} of {event.incident} is no {event.kind}: {error}"
        ) from error
