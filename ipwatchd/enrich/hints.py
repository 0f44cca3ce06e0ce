"""What helps to serve who is at an address: likely languages, time of day, office hours. Pure.

Likely, not known: it follows from the country and time zone of the address alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

if TYPE_CHECKING:
    from ipwatchd.records.place import Place

__all__ = ["Hints", "hints"]

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_OPENS, _CLOSES = 9, 17
"""Office hours where nothing better is known."""


class Hints(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is likely there: `languages`, the most used first.

    `local_time` is as "Sat 14:05 (UTC+8)", two ends where the country has several zones,
    `office_hours` whether it is a working hour there, `awake` whether a call would wake nobody
    (08:00 to 21:00).
    """

    languages: tuple[str, ...] = ()
    time_zone: str = ""
    local_time: str = ""
    office_hours: str = ""
    awake: bool | None = None


class _Territory(msgspec.Struct, frozen=True):
    languages: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    weekend: tuple[str, ...] = ("sat", "sun")


class _File(msgspec.Struct, frozen=True):
    names: dict[str, str]
    territories: dict[str, _Territory]


def hints(place: Place, now: float) -> Hints:
    """Return what an address's country and time zone suggest at `now` (epoch seconds)."""
    data = _data()
    territory = data.territories.get(place.country, _Territory())
    languages = tuple(data.names.get(code, code) for code in territory.languages)
    names = (place.time_zone,) if place.time_zone else territory.zones
    there = [moment for name in names if (moment := _local(now, name))]
    offsets = {moment.utcoffset() or timedelta(): moment for moment in there}
    moments = [offsets[offset] for offset in sorted(offsets)]
    if not moments:
        return Hints(languages=languages)
    ends = moments if len(moments) < 3 else [moments[0], moments[-1]]
    return Hints(
        languages=languages,
        time_zone=names[0] if len(moments) == 1 else "",
        local_time=" to ".join(map(_written, ends)),
        office_hours=_office(moments[0], territory.weekend) if len(moments) == 1 else "",
        awake=all(8 <= moment.hour < 21 for moment in moments),
    )


def _local(now: float, name: str) -> datetime | None:
    """Return the time in a zone, None where the zone is none."""
    try:
        return datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError):
        return None


def _written(moment: datetime) -> str:
    offset = (moment.utcoffset() or timedelta()).total_seconds() / 3600
    return f"{moment:%a %H:%M} (UTC{offset:+g})"


def _office(moment: datetime, weekend: tuple[str, ...]) -> str:
    """Say whether it is a working hour, and until or from when."""
    works = _DAYS[moment.weekday()] not in weekend
    if works and _OPENS <= moment.hour < _CLOSES:
        return f"open, likely until {_CLOSES}:00"
    after = moment if works and moment.hour < _OPENS else moment + timedelta(days=1)
    while _DAYS[after.weekday()] in weekend and len(set(weekend)) < len(_DAYS):
        after += timedelta(days=1)
    return f"closed, likely until {after:%a} {_OPENS:02}:00"


@cache
def _data() -> _File:
    installed = Path(__file__).parents[1] / "_config"
    folder = installed if installed.is_dir() else Path(__file__).parents[2] / "config"
    return msgspec.toml.decode((folder / "territories.toml").read_bytes(), type=_File)
