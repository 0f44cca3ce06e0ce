"""A site's own templates of reports, filled in once with a sample: a fault shows when it is loaded.

Two samples, one in which all is there and one in which nothing is: both ways of a branch are taken.
"""

from __future__ import annotations

import traceback
from zoneinfo import ZoneInfo

from ipwatchd.incidents.review.course import course_of
from ipwatchd.incidents.review.pages import Ends, case_page, period_page
from ipwatchd.incidents.review.trends import trends
from ipwatchd.records.incident import Incident, IncidentEvent, Obligation, Receipt, Task

__all__ = ["check_pages"]

UTC = ZoneInfo("UTC")
WHEN = 1_000_000_000.0


def check_pages(own: str) -> None:
    """Raise ValueError for a template that can't be filled in: file, line and what is wrong."""
    from jinja2 import TemplateError, TemplateSyntaxError

    try:
        for incident in (_bare(), _full()):
            course = course_of(incident, ())
            events = [_event(incident)] if incident.title else []
            case_page(incident, course, events, Ends(1, "00", "00"), UTC, WHEN, own=own)
            found = trends([course] if incident.title else [], WHEN - 86_400, WHEN + 1, UTC)
            period_page(found, "site", UTC, WHEN, own)
    except TemplateSyntaxError as error:
        raise ValueError(f"{error.filename}:{error.lineno}: {error.message}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise ValueError(f"{_place(error)}: can't be filled in: {error}") from error


def _place(error: Exception) -> str:
    """Return the line of the template that an error comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    found = [f"{one.filename}:{one.lineno}" for one in frames if one.filename.endswith(".html")]
    return found[-1] if found else "templates/reports"


def _bare() -> Incident:
    return Incident(
        id="S-1", site="s", rule="report", subject="", title="", severity="low", priority="P5",
        state="NEW", first_seen=WHEN, last_seen=WHEN, count=1, opened=WHEN,
    )  # fmt: skip


def _full() -> Incident:
    return Incident(
        id="S-1", site="s", rule="port-scan", subject="192.0.2.1", title="t", severity="high",
        priority="P1", state="CLOSED", first_seen=WHEN, last_seen=WHEN, count=9, opened=WHEN,
        classification="scanner", resolution="r", owner="o", feedback="f", verdict="true-positive",
        override="P1", because=("b",), facts={"data": ["health"], "subjects": {"min": 1, "max": 2}},
        evidence={"ports": [1, 2], "threshold": 3.0},
        tasks=(Task(sop="a", step="b", mandatory=True, done=WHEN, by="c"), Task(sop="a", step="d")),
        obligations=(Obligation(id="g", title="g", due=WHEN + 9, done=WHEN + 5),),
        receipts=(Receipt(id="r", kind="deny", subject="x", time=WHEN, by="c", undone=WHEN),),
    )  # fmt: skip


def _event(incident: Incident) -> IncidentEvent:
    return IncidentEvent(
        site="s", seq=1, time=WHEN, incident=incident.id, actor="a", kind="note",
        body={"text": "n"}, previous="", hash="00",
    )  # fmt: skip
