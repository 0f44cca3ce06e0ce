"""Spans that laws and contracts set, and when they end: hours, days, months, business days. Pure.

Hours count from the moment. Days and months count on the wall clock of a time zone: the same time
of day then, so that a change of the clocks neither gives nor takes an hour. Where a law would let a
period end later (Regulation (EEC, Euratom) No 1182/71 moves it past a holiday to the end of a
working day) the earlier end stands, unless the regime counts business days.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Period", "end_of", "moment", "parse_period", "year_end", "zone"]

UNITS: Final = {
    "h": "hour", "d": "day", "bd": "business day", "w": "week", "mo": "month", "y": "year",
}  # fmt: skip
_PERIOD: Final = re.compile(r"(\d{1,4})(h|d|bd|w|mo|y)")
SATURDAY: Final = 5


class Period(NamedTuple):
    """So many of a unit."""

    number: int
    unit: str

    def __str__(self) -> str:
        return f"{self.number} {UNITS[self.unit]}{'s' * (self.number != 1)}"


def parse_period(text: str) -> Period:
    """Return the period of "72h", "60d", "5bd", "1mo"; ValueError where it is none."""
    found = _PERIOD.fullmatch(text.strip())
    if not found or not int(found[1]):
        raise ValueError(
            f"{text!r} is no period: write 72h, 60d, 5bd (business days), 2w, 1mo or 1y"
        )
    return Period(int(found[1]), found[2])


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name; ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{name!r} is no time zone: write one such as Asia/Manila") from error


def moment(seconds: float, name: str) -> dt.datetime:
    """Return a time on the wall clock of a zone."""
    return dt.datetime.fromtimestamp(seconds, zone(name))


def end_of(start: float, period: Period, name: str, holidays: Collection[dt.date] = ()) -> float:
    """Return when a period that starts then ends, as epoch seconds."""
    if period.unit == "h":
        return start + 3600.0 * period.number
    local = moment(start, name)
    if period.unit == "bd":
        day = _business(local.date(), period.number, holidays)
    elif period.unit in {"mo", "y"}:
        day = _months(local.date(), period.number * (12 if period.unit == "y" else 1))
    else:
        day = local.date() + dt.timedelta(days=period.number * (7 if period.unit == "w" else 1))
    # The earlier of two times that are there twice, the later of one that is skipped.
    return dt.datetime.combine(day, local.time(), local.tzinfo).timestamp()


def year_end(start: float, name: str) -> float:
    """Return when the calendar year of a time ends in a zone."""
    local = moment(start, name)
    return dt.datetime(local.year + 1, 1, 1, tzinfo=local.tzinfo).timestamp()


def _business(day: dt.date, count: int, holidays: Collection[dt.date]) -> dt.date:
    while count:
        day += dt.timedelta(days=1)
        count -= day.weekday() < SATURDAY and day not in holidays
    return day


def _months(day: dt.date, count: int) -> dt.date:
    """Return the same day of a later month, its last where it has no such day."""
    months = day.year * 12 + day.month - 1 + count
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return dt.date(year, month + 1, min(day.day, last))
