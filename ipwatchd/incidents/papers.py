"""Reports on a schedule: which period is due when, on the wall clock of a time zone. Pure."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

__all__ = ["CATCH_UP", "Period", "When", "due_periods", "monthly", "weekly"]

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CATCH_UP: Final = 5
"""Reports of a kind that are made after a stop: a clock that jumped by years makes no hundreds."""
LOOKED: Final = 400
"""Days looked at, back from now."""


class When(NamedTuple):
    """When a report is made: the day of the week (0: Monday) or of the month, and the time."""

    kind: str
    day: int
    clock: dt.time


class Period(NamedTuple):
    """What a report is about, since ≤ t < until, and when it is due."""

    name: str
    since: float
    until: float
    due: float


def weekly(text: str) -> When | None:
    """Return when "mon 07:00" is, None for ""; the settings have checked the text."""
    day, _, clock = text.partition(" ")
    return When("week", DAYS.index(day), dt.time.fromisoformat(clock)) if text else None


def monthly(text: str) -> When | None:
    """Return when "1 07:00" is, None for ""."""
    day, _, clock = text.partition(" ")
    return When("month", int(day), dt.time.fromisoformat(clock)) if text else None


def due_periods(when: When, zone: ZoneInfo, after: float, now: float) -> list[Period]:
    """Return the periods whose reports became due after a time, the newest, in order.

    A week is the seven days before the day of the report, a month the calendar month before it:
    days from midnight to midnight, so that one with a change of the clocks has 23 or 25 hours.
    """
    found = [one for one in _periods(when, zone, now) if after < one.due <= now]
    return found[-CATCH_UP:]


def _periods(when: When, zone: ZoneInfo, now: float) -> Iterator[Period]:
    today = dt.datetime.fromtimestamp(now, zone).date()
    for back in range(LOOKED, -1, -1):
        day = today - dt.timedelta(days=back)
        if when.kind == "week" and day.weekday() == when.day:
            first, last = day - dt.timedelta(days=7), day
            name = f"week-{first.isoformat()}"
        elif when.kind == "month" and day.day == when.day:
            last = day.replace(day=1)
            before = last - dt.timedelta(days=1)
            first = before.replace(day=1)
            name = f"month-{first.isoformat()[:7]}"
        else:
            continue
        due = dt.datetime.combine(day, when.clock, zone).timestamp()
        yield Period(name, _midnight(first, zone), _midnight(last, zone), due)


def _midnight(day: dt.date, zone: ZoneInfo) -> float:
    return dt.datetime.combine(day, dt.time(), zone).timestamp()
