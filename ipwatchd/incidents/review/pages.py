"""Reports as pages: one HTML file each, nothing to load, good on paper too.

Everything in them that came from outside is text: jinja2 escapes it, and there is no script.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.incidents.policy import shipped
from ipwatchd.incidents.review import charts
from ipwatchd.incidents.review.said import duty_of, is_told, said_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from jinja2 import Environment

    from ipwatchd.incidents.review.course import Course
    from ipwatchd.incidents.review.trends import Trends
    from ipwatchd.records.incident import Incident, IncidentEvent

__all__ = ["Ends", "case_page", "period_page"]

EVENTS: Final = 1000
"""Events of a timeline that are written out: a flood of growth makes no book."""
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class Ends(NamedTuple):
    """What stands at the end of a case's report, so that it can be proved."""

    seq: int
    hash: str
    key: str


def period_page(
    found: Trends, site: str, zone: ZoneInfo, now: float, own: str = "", *,
    marking: str = "TLP:AMBER",
) -> str:  # fmt: skip
    """Return the report of a period as HTML; `marking` says who may read it (TLP 2.0)."""
    return _environment(own).get_template("period.html").render(
        found=found, site=site, made=_moment(now, zone), since=_date(found.since, zone),
        until=_date(found.until - 1, zone), zone=str(zone), picture=charts.days(found.days),
        bars=charts.bars, width=charts.WIDTH, height=charts.HEIGHT, duration=duration, short=short,
        marking=marking,
    )  # fmt: skip


def case_page(
    incident: Incident, course: Course, events: Sequence[IncidentEvent], ends: Ends,
    zone: ZoneInfo, now: float, *, marking: str = "TLP:AMBER", own: str = "",
) -> str:  # fmt: skip
    """Return the report of one incident as HTML; `marking` says who may read it (TLP 2.0)."""

    def moment(seconds: float) -> str:
        return _moment(seconds, zone)

    told = [one for one in events if is_told(one)]
    measures = [
        (one.time, one.actor, str(one.body["text"])) for one in events
        if one.kind == "response" and not one.body.get("receipt")
    ]  # fmt: skip
    return _environment(own).get_template("case.html").render(
        incident=incident, course=course, events=told[-EVENTS:], left=max(len(told) - EVENTS, 0),
        said=lambda one: said_of(one, moment), duty=lambda one: duty_of(one, moment),
        measures=measures, ends=ends, marking=marking, made=moment(now), moment=moment,
        zone=str(zone),
        moments=charts.moments(course), width=charts.WIDTH, duration=duration,
    )  # fmt: skip


def duration(seconds: float) -> str:
    """Return a time in its two greatest units: 2 d 4 h, 12 min, 3 s."""
    left = round(seconds)
    parts: list[str] = []
    for length, unit in _UNITS:
        if left >= length and len(parts) < 2:
            parts.append(f"{left // length} {unit}")
            left %= length
        elif parts:
            break
    return " ".join(parts) or "0 s"


def short(seconds: float) -> str:
    """Return a time in one unit, for tables: 3.2 d, 12 min, 3 s."""
    for length, unit in _UNITS:
        if seconds >= length:
            count = seconds / length
            return f"{count:.1f} {unit}" if count < 10 and length > 60 else f"{count:.0f} {unit}"
    return "0 s"


@lru_cache(maxsize=4)
def _environment(own: str) -> Environment:
    """Return the templates, a site's own before those that came with the program."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folders = [Path(own, "templates/reports")] if own else []
    folders.append(shipped() / "templates/reports")
    return Environment(
        loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def _moment(seconds: float, zone: ZoneInfo) -> str:
    return dt.datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%d %H:%M:%S")


def _date(seconds: float, zone: ZoneInfo) -> str:
    return dt.datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%d")
