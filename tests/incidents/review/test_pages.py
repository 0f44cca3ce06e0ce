"""Reports as pages: whole, escaped, and set on paper."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise
from zoneinfo import ZoneInfo

import weasyprint  # type: ignore[import-untyped]  # it ships no types

from ipwatchd.incidents.review import charts, course_of, trends
from ipwatchd.incidents.review.pages import Ends, case_page, duration, period_page, short
from ipwatchd.records.incident import Incident, IncidentEvent, Obligation, Receipt, Task
from tests.incidents.review.test_trends import NOW, course

UTC = ZoneInfo("UTC")
HOSTILE = "<script>alert(1)</script>{{ 7*7 }}"


class Tags(HTMLParser):
    """Notes each element and its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.found.append((tag, dict(attrs)))


def page() -> str:
    """Return the report of a case whose every text is hostile."""
    case = Incident(
        id="MNL-1", site="manila", rule="port-scan", subject=HOSTILE, title=HOSTILE,
        severity="high", priority="P2", state="CLOSED", first_seen=NOW - 60, last_seen=NOW,
        count=40, opened=NOW, resolution=HOSTILE, facts={"client": HOSTILE, "data": ["health"]},
        because=(HOSTILE,), tasks=(Task(sop="a", step="b", done=NOW, by=HOSTILE),),
        obligations=(Obligation(id="gdpr", title=HOSTILE, due=NOW, done=NOW + 5),),
        receipts=(Receipt(id="r", kind="deny", subject="x", time=NOW, by="ana", text=HOSTILE),),
    )  # fmt: skip
    events = [
        IncidentEvent(
            site="manila", seq=4, time=NOW, incident="MNL-1", actor=HOSTILE, kind="note",
            body={"text": HOSTILE}, previous="", hash="ab" * 32,
        )
    ]  # fmt: skip
    ends = Ends(4, "ab" * 32, "")
    return case_page(case, course_of(case, events), events, ends, UTC, NOW + 60)


def test_what_strangers_wrote_is_text() -> None:
    """No script, nothing to load, no template that runs twice: it stands there as it came."""
    shown = page()
    tags = Tags(shown).found
    assert "script" not in {tag for tag, _ in tags}
    assert not [one for _, one in tags if {"src", "onload", "onclick"} & set(one)]
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}") >= 7
    assert "49" not in shown.split("</style>")[1]


def test_a_case_says_who_may_read_it_and_how_it_is_proved() -> None:
    """The TLP marking, the late duty, the event and the hash of the log are on the page."""
    shown = page()
    assert "TLP:AMBER" in shown
    assert "late" in shown
    assert "ab" * 32 in shown


def test_a_period_without_incidents_is_a_page_too() -> None:
    """Nothing happened: no division, no number made up."""
    shown = period_page(trends([], NOW - 86_400, NOW, UTC), "manila", UTC, NOW)
    assert "By class" not in shown
    assert "0 %" not in shown


def test_a_period_names_sites_only_where_there_are_some() -> None:
    """One site needs no table of sites; two have one."""
    one = trends([course()], NOW - 60, NOW + 60, UTC)
    two = trends([course(), course(site="cebu")], NOW - 60, NOW + 60, UTC)
    assert "By site" not in period_page(one, "manila", UTC, NOW)
    assert "By site" in period_page(two, "all sites", UTC, NOW)


def test_a_page_is_set_on_paper() -> None:
    """WeasyPrint makes a PDF of it and complains of nothing."""
    data = weasyprint.HTML(string=page()).write_pdf()
    assert data.startswith(b"%PDF-")
    assert len(data) > 5000


def test_labels_of_a_course_stand_apart_and_on_the_page() -> None:
    """Moments that fall together have labels that can still be read, in their order."""
    together = course(acknowledged=NOW + 1, confirmed=NOW + 2, contained=NOW + 3, closed=NOW + 9e5)
    placed = charts.moments(together)
    labels = [one.label for one in placed]
    assert all(b - a >= 73.9 for a, b in pairwise(labels))
    assert labels[0] >= 0
    assert labels[-1] <= charts.WIDTH


def test_times_are_told_in_words() -> None:
    """Two units where one reads, one in tables."""
    assert duration(0) == "0 s"
    assert duration(93_784) == "1 d 2 h"
    assert duration(86_405) == "1 d"
    assert short(5400) == "1.5 h"
    assert short(90) == "2 min"
