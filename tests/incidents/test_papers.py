"""Which reports are due when: real time zones, changes of the clocks, stops, clocks that jump."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.incidents.papers import CATCH_UP, Period, When, due_periods, monthly, weekly

ZONES = ("UTC", "Asia/Manila", "America/Bogota", "Europe/Madrid", "America/Sao_Paulo",
         "Australia/Lord_Howe", "Asia/Kolkata")  # fmt: skip
DAY = 86_400.0


def at(text: str, zone: str) -> float:
    """Return a time on the wall clock of a zone."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def when(text: str) -> When:
    """Return a weekly time, or a monthly one."""
    made = monthly(text) if text[0].isdigit() else weekly(text)
    assert made is not None
    return made


def test_the_week_before_monday_morning() -> None:
    """From midnight to midnight in Manila, at seven; not a second before."""
    due = at("2026-11-23 07:00", "Asia/Manila")
    manila = ZoneInfo("Asia/Manila")
    assert due_periods(when("mon 07:00"), manila, due - DAY, due - 1) == []
    (one,) = due_periods(when("mon 07:00"), manila, due - DAY, due)
    assert one == Period(
        "week-2026-11-16", at("2026-11-16", "Asia/Manila"), at("2026-11-23", "Asia/Manila"), due
    )
    assert due_periods(when("mon 07:00"), manila, one.due, due + DAY) == []


def test_the_calendar_month_before() -> None:
    """On the third of March the whole of February, 28 days or 29."""
    for year, days in ((2026, 28), (2028, 29)):
        now = at(f"{year}-03-03 09:00", "Asia/Kolkata")
        (one,) = due_periods(when("3 08:30"), ZoneInfo("Asia/Kolkata"), now - 2 * DAY, now)
        assert one.name == f"month-{year}-02"
        assert one.until - one.since == days * DAY


def test_a_week_with_a_change_of_the_clocks_has_an_hour_more_or_less() -> None:
    """Days are those of the wall clock: Madrid's last week of October has 169 hours."""
    madrid = ZoneInfo("Europe/Madrid")
    for day, hours in (("2026-10-26", 169), ("2026-03-30", 167), ("2026-06-01", 168)):
        now = at(f"{day} 07:30", "Europe/Madrid")
        (one,) = due_periods(when("mon 07:00"), madrid, now - DAY, now)
        assert (one.until - one.since) / 3600 == hours
        assert dt.datetime.fromtimestamp(one.due, madrid).hour == 7


@pytest.mark.parametrize("stopped", [1, 3, 30])
def test_what_was_missed_in_a_stop_is_made_at_the_next_start(stopped: int) -> None:
    """Each week that was missed, the newest few of very many."""
    now = at("2026-11-23 12:00", "America/Bogota")
    found = due_periods(when("mon 07:00"), ZoneInfo("America/Bogota"), now - stopped * 7 * DAY, now)
    assert len(found) == min(stopped, CATCH_UP)
    assert found[-1].name == "week-2026-11-16"
    assert [one.name for one in found] == sorted(one.name for one in found)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ZONES), st.sampled_from(["mon 07:00", "sun 02:30", "wed 00:00", "1 02:30"]),
    st.integers(0, 800), st.lists(st.integers(60, 20 * 86_400), min_size=1, max_size=25),
)  # fmt: skip
def test_never_twice_and_none_is_left_out(
    name: str, text: str, begin: int, steps: list[int]
) -> None:
    """However often and how late one looks: each period once, one after the other without a gap."""
    zone, made = ZoneInfo(name), list[Period]()
    now = after = at("2026-01-01", name) + begin * DAY
    for step in steps:
        now += step
        for one in due_periods(when(text), zone, after, now):
            made.append(one)
            after = one.due
    assert len({one.name for one in made}) == len(made)
    for first, second in pairwise(made):
        assert first.until == second.since
        assert first.due < second.due
