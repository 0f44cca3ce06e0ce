"""The course of an incident: its moments from its events."""

from __future__ import annotations

from ipwatchd.incidents.review.course import FALSE, TRUE, course_of
from ipwatchd.records.incident import Incident, IncidentEvent, Obligation

NOW = 1_763_730_000.0


def incident(**changes: object) -> Incident:
    """Return an incident that is closed."""
    known = {
        "id": "MNL-1", "site": "manila", "rule": "port-scan", "subject": "203.0.113.7",
        "title": "40 ports", "severity": "high", "priority": "P2", "state": "CLOSED",
        "first_seen": NOW - 60, "last_seen": NOW, "count": 40, "opened": NOW,
    }  # fmt: skip
    return Incident(**{**known, **changes})  # type: ignore[arg-type]  # a dict of anything


def event(later: float, kind: str, **body: object) -> IncidentEvent:
    """Return an event some seconds after the opening."""
    return IncidentEvent(
        site="manila", seq=1, time=NOW + later, incident="MNL-1", actor="ana", kind=kind,
        body=dict(body), previous="", hash="",
    )  # fmt: skip


def moved(later: float, before: str, state: str) -> IncidentEvent:
    """Return a move from a state to another."""
    return event(later, "state", action="x", before=before, after=state)


def test_moments_are_those_of_the_moves() -> None:
    """Taking it acknowledges it; each state on the way has its moment."""
    events = [
        event(0, "opened", evidence={"value": 40, "threshold": 20}),
        moved(90, "NEW", "TRIAGE"), moved(200, "TRIAGE", "CONFIRMED"),
        moved(300, "CONFIRMED", "CONTAINED"), moved(900, "CONTAINED", "RESOLVED"),
        moved(1000, "RESOLVED", "REVIEW"), moved(2000, "REVIEW", "CLOSED"),
    ]  # fmt: skip
    course = course_of(incident(), events)
    assert course.happened == NOW - 60
    assert (course.acknowledged, course.confirmed, course.contained) == (
        NOW + 90, NOW + 200, NOW + 300,
    )  # fmt: skip
    assert (course.resolved, course.closed) == (NOW + 900, NOW + 2000)
    assert (course.value, course.threshold, course.channel) == (40.0, 20.0, "detector")
    assert course.verdict == TRUE


def test_an_acknowledged_page_comes_before_the_take() -> None:
    """Whoever acknowledges the page has acknowledged the incident, and only the first counts."""
    events = [event(0, "opened"), event(30, "acked"), moved(90, "NEW", "TRIAGE")]
    assert course_of(incident(state="TRIAGE"), events).acknowledged == NOW + 30


def test_what_is_reopened_is_not_over() -> None:
    """Reopening takes the end back and counts; containing it again counts from then."""
    events = [
        event(0, "opened"), moved(10, "NEW", "TRIAGE"), moved(20, "CONFIRMED", "CONTAINED"),
        moved(40, "REVIEW", "CLOSED"), moved(50, "CLOSED", "TRIAGE"),
        moved(60, "CONFIRMED", "CONTAINED"),
    ]  # fmt: skip
    course = course_of(incident(state="CONTAINED"), events)
    assert (course.reopened, course.closed, course.resolved) == (1, 0.0, 0.0)
    assert course.contained == NOW + 60


def test_a_rejected_one_was_false_and_a_new_one_nobody_judged() -> None:
    """Rejecting is a verdict; an own verdict goes before; NEW has none."""
    assert course_of(incident(state="REJECTED"), []).verdict == FALSE
    assert course_of(incident(state="NEW"), []).verdict == ""
    assert course_of(incident(verdict=FALSE), []).verdict == FALSE


def test_duties_in_time_and_late() -> None:
    """A duty met after its time is late; one without a time is neither."""
    duties = (
        Obligation(id="a", title="a", due=NOW + 10, done=NOW + 9),
        Obligation(id="b", title="b", due=NOW + 10, done=NOW + 11),
        Obligation(id="c", title="c", done=NOW + 11),
    )
    course = course_of(incident(obligations=duties), [])
    assert (course.met, course.late) == (1, 1)
