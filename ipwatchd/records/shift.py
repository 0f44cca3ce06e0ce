"""Working hours as the roster writes them: "mon-fri 22:00-06:00" in a time zone. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["within_shift"]

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHIFT: Final = re.compile(
    r"(?:([a-z]{3})(?:-([a-z]{3}))? )?"
    r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])"
)


def within_shift(shift: str, zone: str, ts: float, grace: float) -> bool:
    """Tell whether a time (epoch s) lies in a shift, `grace` seconds wider at both ends.

    A shift over midnight belongs to the day it begins on. Raises ValueError for what is no shift,
    KeyError (ZoneInfoNotFoundError) for what is no zone.
    """
    found = _SHIFT.fullmatch(shift.strip().lower())
    if found is None:
        raise ValueError(f"{shift!r} is no shift: write mon-fri 09:00-17:30")
    first, last, *clock = found.groups()
    days = _days(first, last)
    begin, end = (timedelta(hours=int(clock[i]), minutes=int(clock[i + 1])) for i in (0, 2))
    if end <= begin:
        end += timedelta(days=1)
    moment = datetime.fromtimestamp(ts, UTC)
    local = moment.astimezone(ZoneInfo(zone))
    for back in (-1, 0, 1):
        day = (local - timedelta(days=back)).replace(hour=0, minute=0, second=0, microsecond=0)
        if day.weekday() not in days:
            continue
        slack = timedelta(seconds=grace)
        if day + begin - slack <= local <= day + end + slack:
            return True
    return False


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    for name in (first, last or first):
        if name not in _DAYS:
            raise ValueError(f"{name!r} is no day: write one of {', '.join(_DAYS)}")
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    return frozenset((begin + i) % 7 for i in range((end - begin) % 7 + 1))
