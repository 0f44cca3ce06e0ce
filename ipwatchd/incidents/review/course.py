"""The course of one incident: when it happened, was seen, taken on, contained, over. Pure.

The times are those of the log's events. `happened` is what the finding or the report says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.records.incident import Incident, IncidentEvent

__all__ = ["FALSE", "MOMENTS", "TRUE", "Course", "course_of"]

TRUE: Final = "true-positive"
FALSE: Final = "false-positive"
MOMENTS: Final = ("CONFIRMED", "CONTAINED", "RESOLVED", "CLOSED")
_ENDS: Final = frozenset({"CLOSED", "REJECTED", "MERGED"})
_NUMBERS: Final = ("value", "threshold")


class Course(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """How an incident went. Moments are epoch seconds; 0 is what has not come (yet).

    `verdict` is true-positive, false-positive or empty where nobody judged; `value` and
    `threshold` are what its first finding said.
    """

    id: str
    site: str
    rule: str
    type: str
    client: str
    priority: str
    state: str
    channel: str
    title: str
    happened: float
    detected: float
    acknowledged: float = 0.0
    confirmed: float = 0.0
    contained: float = 0.0
    resolved: float = 0.0
    closed: float = 0.0
    reopened: int = 0
    verdict: str = ""
    personal: bool = False
    value: float = 0.0
    threshold: float = 0.0
    met: int = 0
    late: int = 0
    """Duties that were met in time, and those that were not."""


def course_of(incident: Incident, events: Iterable[IncidentEvent]) -> Course:
    """Return the course of an incident from what it is now and its events in order."""
    course = Course(
        id=incident.id, site=incident.site, rule=incident.rule, type=incident.classification,
        client=str(incident.facts.get("client") or ""), priority=incident.priority,
        state=incident.state, channel="detector", title=incident.title,
        happened=incident.first_seen, detected=incident.opened, verdict=_verdict(incident),
        personal=incident.personal, **_duties(incident),
    )  # fmt: skip
    for event in events:
        course = msgspec.structs.replace(course, **_moved(course, event))
    return course


def _moved(course: Course, event: IncidentEvent) -> dict[str, Any]:
    """Return what an event says of the course."""
    body = event.body
    if event.kind == "opened":
        report = body.get("report") or {}
        evidence = body.get("evidence") or {}
        numbers = {name: _number(evidence.get(name)) for name in _NUMBERS}
        return {"channel": str(report.get("channel") or "detector"), **numbers}
    seen = {} if course.acknowledged else {"acknowledged": event.time}
    if event.kind == "acked":
        return seen
    if event.kind != "state":
        return {}
    after, before = str(body.get("after")), str(body.get("before"))
    if before in _ENDS:
        return {"reopened": course.reopened + 1, "closed": 0.0, "resolved": 0.0, **seen}
    moved = {after.lower(): event.time} if after in MOMENTS else {}
    if after in _ENDS:
        moved["closed"] = event.time
    return moved | (seen if before == "NEW" else {})


def _verdict(incident: Incident) -> str:
    """Return what people said of it; one that was rejected was nothing."""
    if incident.verdict:
        # What is harmless though it is there is noise too: [[expected]] silences it.
        return FALSE if incident.verdict == "benign" else incident.verdict
    if incident.state == "REJECTED":
        return FALSE
    return TRUE if incident.state in MOMENTS or incident.state == "REVIEW" else ""


def _duties(incident: Incident) -> dict[str, int]:
    dated = [one for one in incident.obligations if one.due]
    met = sum(1 for one in dated if one.done and one.done <= one.due)
    return {"met": met, "late": sum(1 for one in dated if one.done > one.due)}


def _number(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else 0.0
