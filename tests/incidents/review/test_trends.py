"""Numbers over incidents: counts, medians, days, and what verdicts say of a detector."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from ipwatchd.incidents.review.advice import advice
from ipwatchd.incidents.review.course import FALSE, TRUE, Course
from ipwatchd.incidents.review.trends import DAYS, quantile, trends

NOW = 1_763_730_000.0  # 2025-11-21 13:00 UTC
DAY = 86_400.0
UTC = ZoneInfo("UTC")


def course(at: float = NOW, **changes: object) -> Course:
    """Return an incident detected then."""
    known = {
        "id": "M-1", "site": "manila", "rule": "port-scan", "type": "scanner", "client": "",
        "priority": "P2", "state": "NEW", "channel": "detector", "title": "x",
        "happened": at - 30, "detected": at,
    }  # fmt: skip
    return Course(**{**known, **changes})  # type: ignore[arg-type]  # a dict of anything


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.sampled_from([0.5, 0.9]))
def test_a_quantile_is_one_of_the_values_and_parts_them(values: list[float], share: float) -> None:
    """At least the share lies at or below it, and less than the share strictly below."""
    found = quantile(values, share)
    assert found in values
    assert sum(one <= found for one in values) >= share * len(values) - 1e-9
    assert sum(one < found for one in values) < share * len(values) + 1e-9


def test_times_count_where_they_came() -> None:
    """Medians are over incidents that got so far; a clock set back counts as at once."""
    courses = [
        course(acknowledged=NOW + 60, contained=NOW + 600),
        course(acknowledged=NOW + 120),
        course(acknowledged=NOW - 5),
        course(),
    ]
    found = trends(courses, NOW - DAY, NOW + DAY, UTC).total
    assert (found.count, found.open) == (4, 4)
    assert (found.spans["acknowledge"].count, found.spans["acknowledge"].median) == (3, 60.0)
    assert found.spans["contain"].median == 600.0
    assert found.spans["resolve"].count == 0


def test_a_period_has_its_incidents_and_each_day_its_open_ones() -> None:
    """Earlier ones count as open until they are closed; days are those of the zone."""
    courses = [
        course(NOW - 9 * DAY, closed=NOW - DAY),
        course(NOW - 2 * DAY),
        course(NOW - DAY, closed=NOW),
    ]
    found = trends(courses, NOW - 2 * DAY - 60, NOW + 60, UTC)
    assert found.total.count == 2
    assert [(d.date[-2:], d.opened, d.closed, d.open) for d in found.days] == [
        ("19", 1, 0, 2), ("20", 1, 1, 2), ("21", 0, 1, 1),
    ]  # fmt: skip
    manila = trends([course(NOW + 4 * 3600)], NOW, NOW + DAY, ZoneInfo("Asia/Manila")).days
    assert [one.opened for one in manila] == [0, 1]


def test_a_period_of_decades_is_told_by_its_last_days() -> None:
    """The days of a page are bounded, and what came before them is in the open ones."""
    found = trends([course(NOW - 900 * DAY)], 0.0, NOW, UTC)
    assert len(found.days) == DAYS
    assert found.days[0].open == 1


def test_by_what_they_are_divided() -> None:
    """Groups come with the greatest first, priorities in their order, nameless ones last named."""
    courses = [course(priority="P3"), course(priority="P1"), course(priority="P3", client="Acme")]
    found = trends(courses, 0.0, NOW + 1, UTC)
    assert [one.name for one in found.by["priority"]] == ["P1", "P3"]
    assert [(one.name, one.count) for one in found.by["client"]] == [("(none)", 2), ("Acme", 1)]


def test_advice_names_a_line_that_keeps_every_true_finding() -> None:
    """Where the false ones lie below every true one, the lowest true value is the new line."""
    judged = [course(verdict=FALSE, value=v, threshold=20) for v in (21, 25, 30)]
    judged += [course(verdict=TRUE, value=v, threshold=20) for v in (44, 80)]
    (found,) = advice(judged)
    assert (found.rule, found.judged, found.false) == ("port-scan", 5, 3)
    assert (found.line, found.spared) == (44.0, 3)


def test_advice_that_no_line_can_give() -> None:
    """Where true and false ones lie mixed it says so; few verdicts say nothing."""
    mixed = [course(verdict=FALSE, value=90, threshold=20) for _ in range(4)]
    mixed += [course(verdict=TRUE, value=20, threshold=20)]
    (found,) = advice(mixed)
    assert found.line == 0.0
    assert "[[expected]]" in found.text
    assert not list(advice(mixed[:4]))
    assert not list(advice([course(rule="report", verdict=FALSE)] * 9))
