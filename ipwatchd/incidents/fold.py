"""Events → incident: what each kind of event does to the incident it belongs to.

An event is a fact, so the fold obeys it and judges nothing: what may happen is decided before the
event is written (`actions`). Site and centre run this same fold. A kind that is not known (a newer
site) only moves `updated`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from ipwatchd.incidents import bodies
from ipwatchd.records.incident import OPEN_STATES, Incident, IncidentEvent
from ipwatchd.records.paging import Paging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["LISTED", "FoldError", "apply", "bounded_union", "fold"]

LISTED: Final = 100
"""Targets, reports and responses an incident lists: a scan of a /8 can't make it megabytes. The
log has them all."""
PAGES: Final = 50
"""Pages an incident lists: one that nobody answers for weeks can't make it megabytes."""
MACHINE: Final = "ipwatchd"
_WORK: Final = frozenset({
    "state", "classified", "assessed", "prioritised", "held", "feedback", "step", "read",
    "proposed", "note", "response", "undone", "aware", "told", "noticed",
})  # fmt: skip
"""What a person does about an incident; acknowledging a page is not yet doing something."""


class FoldError(ValueError):
    """An event that makes no sense where it stands."""


_Kind = TypeVar("_Kind", bound=bodies.Body)


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
    change = _CHANGES.get(event.kind)
    changes = change(incident, event) if change else {}
    if event.kind in _WORK and event.actor != MACHINE:
        changes["touched"] = event.time
    return replace(incident, updated=event.time, **changes)


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


def _opened(event: IncidentEvent) -> Incident:
    body = _body(event, bodies.Opened)
    report = body.report
    return Incident(
        id=event.incident, site=event.site, rule=body.rule, subject=body.subject, title=body.title,
        severity=body.severity, priority=body.priority, state="NEW", first_seen=body.first_seen,
        last_seen=body.last_seen, count=body.count, classification=body.classification,
        opened=event.time, updated=event.time, targets=body.targets[:LISTED],
        evidence=body.evidence, key=body.key, impact=body.impact, urgency=body.urgency,
        reports=(report.id,) if report else (), kind=report.kind if report else "",
        language=report.language if report else "", sops=body.sops, tasks=body.tasks[:LISTED],
    )  # fmt: skip


def _grown(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.Grown)
    changes: dict[str, Any] = {
        "count": incident.count + body.count,
        "first_seen": min(incident.first_seen, body.first_seen),
        "last_seen": max(incident.last_seen, body.last_seen),
        "targets": bounded_union(incident.targets, body.targets),
        "evidence": body.evidence or incident.evidence,
    }
    if body.severity:
        changes |= {"severity": body.severity}
        # What people found out is not lowered by what a detector counts; a worse finding shows.
        if not incident.facts or body.priority < incident.priority:
            changes |= {
                "priority": incident.override or body.priority, "impact": body.impact,
                "urgency": body.urgency,
            }  # fmt: skip
    return changes


def _state(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.State)
    changes: dict[str, Any] = {
        "state": body.after,
        "owner": body.owner or incident.owner,
        "resolution": body.resolution or incident.resolution,
        "merged_into": body.target or incident.merged_into,
        "proposal": None,
    }
    if body.action == "reopen":
        changes |= {"feedback": "", "verdict": ""}
    paging = incident.paging
    if paging and body.after not in OPEN_STATES:
        changes["paging"] = replace(paging, over=True)
    elif paging and body.action == "take":
        # Who takes it on answers for all who were asked.
        acks = bounded_union(paging.acks, (event.actor,))
        changes["paging"] = replace(paging, acks=acks, acked=event.time)
    return changes


def _classified(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.Classified)
    sops = tuple(one for one in incident.sops if one.id not in body.dropped)
    tasks = tuple(one for one in incident.tasks if one.sop not in body.dropped)
    return {
        "classification": body.classification,
        "sops": (*sops, *body.sops)[:LISTED],
        "tasks": (*tasks, *body.tasks)[:LISTED],
    }


def _assessed(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.Assessed)
    return {
        "facts": incident.facts | body.facts, "impact": body.impact, "urgency": body.urgency,
        "priority": incident.override or body.priority, "because": body.because,
        "personal": body.personal,
    }  # fmt: skip


def _prioritised(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.Prioritised)
    derived = f"P{incident.impact + incident.urgency - 1}"
    return {"override": body.priority, "priority": body.priority or derived}


def _feedback(_: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.Feedback)
    return {"feedback": body.text, "verdict": body.verdict}


def _step(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.Step)
    done, by = (event.time, event.actor) if body.done else (0.0, "")
    return {
        "tasks": tuple(
            replace(one, done=done, by=by, note=body.note)
            if (one.sop, one.step) == (body.sop, body.step)
            else one
            for one in incident.tasks
        )
    }


def _read(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.Read)
    return {
        "sops": tuple(
            replace(one, read=dict([*one.read.items(), (event.actor, event.time)][-LISTED:]))
            if one.id == body.sop
            else one
            for one in incident.sops
        )
    }


def _obliged(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    new = _body(event, bodies.Obliged).obligation
    held = {one.id: one for one in incident.obligations} | {new.id: new}
    changes: dict[str, Any] = {"obligations": tuple(held.values())[:LISTED]}
    proposal = incident.proposal
    if new.state == "waived" and proposal and proposal.target == new.id:
        changes["proposal"] = None
    return changes


def _noticed(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    """Put a notice to its duty: the first one that went out meets it."""
    body = _body(event, bodies.Noticed)
    sent = body.notice
    return {
        "obligations": tuple(
            replace(
                one, state="met", done=one.done or sent.time, open=sent.missing,
                notices=(*one.notices, sent)[-LISTED:],
            )
            if one.id == body.obligation
            else one
            for one in incident.obligations
        )
    }  # fmt: skip


def _paged(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    """Begin a run, or go on with one; old rounds leave the incident and stay in the log."""
    body, old = _body(event, bodies.Paged), incident.paging
    held = old.pages if old else ()
    raised = old.raised if old else ()
    if body.cause or old is None:
        old = Paging(
            policy=body.policy, cause=body.cause, priority=body.priority, begun=event.time,
            stepped=event.time, raised=tuple(dict.fromkeys((*raised, body.cause)))[-LISTED:],
            count=old.count if old else 0,
        )  # fmt: skip
    moved = (old.step, old.round) != (body.step, body.round) or not old.pages
    again = not any(one.instead for one in body.pages)
    return {
        "paging": replace(
            old, jump=-1, step=body.step, round=body.round, need=body.need,
            stepped=event.time if moved or again else old.stepped,
            pages=(*held, *body.pages)[-PAGES:],
            count=max((one.number for one in body.pages), default=old.count),
        )
    }  # fmt: skip


def _jumped(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    paging = incident.paging or Paging(
        policy="", cause="asked for", priority=incident.priority, begun=event.time,
        stepped=event.time,
    )  # fmt: skip
    step = _body(event, bodies.Jumped).step
    return {"paging": replace(paging, jump=step, acked=0.0, acks=(), over=False)}


def _delivered(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body, paging = _body(event, bodies.Delivered), incident.paging
    state = "delivered" if body.ok else "failed"
    if body.letter:
        letters = tuple(
            replace(one, state=state, why=body.why, tries=one.tries + body.tries)
            if one.number == body.letter and (body.ok or one.state != "withdrawn")
            else one
            for one in incident.letters
        )
        return {"letters": letters}
    if paging is None:
        return {}
    pages = tuple(
        replace(one, state=state, why=body.why) if one.number == body.page else one
        for one in paging.pages
    )
    return {"paging": replace(paging, pages=pages)}


def _acked(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    paging = incident.paging or Paging(
        policy="", cause="answered elsewhere", priority=incident.priority, begun=event.time,
        stepped=event.time,
    )  # fmt: skip
    acks = bounded_union(paging.acks, (_body(event, bodies.Acked).by,))
    done = event.time if len(acks) >= paging.need else 0.0
    return {"paging": replace(paging, acks=acks, acked=done)}


def _told(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    held = incident.told | _body(event, bodies.Told).fields
    return {"told": dict([(name, text) for name, text in held.items() if text][-LISTED:])}


def _absorbed(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.Absorbed)
    aware = min(filter(None, (incident.aware, body.aware)), default=0.0)
    return ({"aware": aware} if aware else {}) | {
        "count": incident.count + body.count,
        "first_seen": min(incident.first_seen, body.first_seen or incident.first_seen),
        "last_seen": max(incident.last_seen, body.last_seen),
        "reports": bounded_union(incident.reports, body.reports),
        "targets": bounded_union(incident.targets, body.targets),
    }


def _response(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    body = _body(event, bodies.Response)
    receipts = (*incident.receipts, body.receipt) if body.receipt else incident.receipts
    return {
        "responses": (*incident.responses, body.text)[-LISTED:], "receipts": receipts[-LISTED:],
        "letters": (*incident.letters, *body.letters)[-LISTED:],
    }  # fmt: skip


def _posted(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    letters = _body(event, _POSTED[event.kind]).letters
    return {"letters": (*incident.letters, *letters)[-LISTED:]}


_POSTED: Final[dict[str, type[bodies.Updated | bodies.Posted]]] = {
    "updated": bodies.Updated, "posted": bodies.Posted,
}  # fmt: skip


def _undone(incident: Incident, event: IncidentEvent) -> dict[str, Any]:
    """Take a response back; of its letters those that did not leave are stopped."""
    gone = _body(event, bodies.Undone).receipt
    return {
        "letters": tuple(
            replace(one, state="withdrawn")
            if one.about == gone and one.state != "delivered"
            else one
            for one in incident.letters
        ),
        "receipts": tuple(
            replace(one, undone=event.time) if one.id == gone else one for one in incident.receipts
        ),
    }


_CHANGES: Final[dict[str, Callable[[Incident, IncidentEvent], dict[str, Any]]]] = {
    "grown": _grown,
    "state": _state,
    "classified": _classified,
    "assessed": _assessed,
    "prioritised": _prioritised,
    "held": lambda _, event: {"on_hold": _body(event, bodies.Held).reason},
    "feedback": _feedback,
    "step": _step,
    "read": _read,
    "proposed": lambda _, event: {"proposal": _body(event, bodies.Proposed).proposal},
    "obliged": _obliged,
    "noticed": _noticed,
    "aware": lambda _, event: {"aware": _body(event, bodies.Aware).at},
    "told": _told,
    "marked": lambda _, event: {"tlp": _body(event, bodies.Marked).tlp},
    "paged": _paged,
    "delivered": _delivered,
    "acked": _acked,
    "jumped": _jumped,
    "absorbed": _absorbed,
    "reported": lambda incident, event: {
        "reports": bounded_union(incident.reports, (_body(event, bodies.Reported).report.id,))
    },
    "response": _response,
    "updated": _posted,
    "posted": _posted,
    "undone": _undone,
    "collected": lambda incident, event: {
        "exhibits": (*incident.exhibits, *_body(event, bodies.Collected).exhibits)[-LISTED:]
    },
}
"""kind of event → what it changes"""
