"""Time stamps of log lines → epoch seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["classic", "clf", "ctime", "epoch", "rfc3339", "stamp"]

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_CLASSIC: Final = re.compile(r"([A-Z][a-z]{2}) {1,2}([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})")
_CLF: Final = re.compile(
    r"([0-9]{1,2})/([A-Z][a-z]{2}|[0-9]{2})/([0-9]{4})[: ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.[0-9]{1,9})?(?: ([+-])([0-9]{2})([0-9]{2}))?"
)
_CTIME: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))? ([0-9]{4})"
)
_RFC3339: Final = re.compile(
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]{1,2}([0-9]{1,2}):([0-9]{2}):([0-9]{2})"
    r"(?:[.,]([0-9]{1,9}))?(?:(Z| UTC)| ?([+-])([0-9]{2}):?([0-9]{2}))?"
)
_FRACTIONS: Final = {
    "iso": re.compile(r"(.{18}[0-9])[.,]([0-9]{1,9})((?:[Z +-].*)?)"),
    "ctime": re.compile(r"(.{18}[0-9])\.([0-9]{1,9})( .*)"),
}
_AHEAD: Final = timedelta(days=1)
_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,9})?")


def stamp(kind: str, text: str, hour: int, zone: tzinfo = UTC) -> float | None:
    """Return the time of a stamp of a kind (classic, ctime, clf, iso, tai, mysql, day), or None.

    `hour` (hours since the epoch, now) gives the year where there is none, `zone` is that of the
    one who wrote where the stamp names none.
    """
    if len(text) > 20 and text[19] in ".," and (fraction := _FRACTIONS.get(kind)):
        # The second is the same for many lines.
        found = fraction.fullmatch(text)
        if found is not None:
            whole = _stamp(kind, found[1] + found[3], hour, zone)
            return None if whole is None else whole + float(f"0.{found[2]}")
    return _stamp(kind, text, hour, zone)


@lru_cache(maxsize=4096)
def _stamp(kind: str, text: str, hour: int, zone: tzinfo) -> float | None:
    read = _READ.get(kind)
    return read(text, hour * 3600.0, zone) if read else rfc3339(text, zone)


def rfc3339(text: str, naive: tzinfo = UTC) -> float | None:
    """Return the time of RFC 3339 or a near kin (space for T, comma, slashes), or None.

    `naive` is the zone of a stamp without an offset.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    fraction = float(f"0.{found[7]}") if found[7] else 0.0
    zone = UTC if found[8] else _zone(found[9], found[10], found[11]) or naive
    whole = _seconds(year, month, day, hour, minute, min(second, 59), zone)
    return None if whole is None else whole + fraction


def ctime(text: str, zone: tzinfo = UTC) -> float | None:
    """Return the time of asctime(3), Thu Jul 11 01:21:41 2013, with or without a fraction."""
    found = _CTIME.fullmatch(text)
    month = _MONTHS.get(found[1]) if found else None
    if found is None or month is None:
        return None
    day, hour, minute, second = map(int, found.group(2, 3, 4, 5))
    whole = _seconds(int(found[7]), month, day, hour, minute, min(second, 59), zone)
    return None if whole is None else whole + (float(f"0.{found[6]}") if found[6] else 0.0)


def classic(text: str, now: float, zone: tzinfo = UTC) -> float | None:
    """Return the time of RFC 3164's stamp, which has no year: the last such day to `now`."""
    found = _CLASSIC.fullmatch(text)
    month = _MONTHS.get(found[1]) if found else None
    if found is None or month is None:
        return None
    day, hour, minute, second = map(int, found.group(2, 3, 4, 5))
    latest = datetime.fromtimestamp(now, UTC) + _AHEAD
    # 29 February may be up to eight years back (1896 to 1904, 2096 to 2104).
    for year in range(latest.year, latest.year - 9, -1):
        found_at = _seconds(year, month, day, hour, minute, min(second, 59), zone)
        if found_at is not None and found_at <= latest.timestamp():
            return found_at
    return None


def clf(text: str, naive: tzinfo = UTC) -> float | None:
    """Return the time of the common log format, 18/Jul/2025:14:14:47 -0400, or None."""
    found = _CLF.fullmatch(text)
    if found is None:
        return None
    # cPanel writes 06/10/2021, the month first.
    first, second = found.group(1, 2)
    month = _MONTHS.get(second) if second.isalpha() else int(first)
    day = int(first if second.isalpha() else second)
    year, hour, minute, at = map(int, found.group(3, 4, 5, 6))
    if month is None:
        return None
    zone = _zone(found[7], found[8], found[9]) or naive
    return _seconds(year, month, day, hour, minute, min(at, 59), zone)


def epoch(value: object) -> float | None:
    """Return a JSON value as epoch seconds: a number of s, ms, µs or ns, or a text of any kind."""
    if isinstance(value, str):
        if _NUMBER.fullmatch(value):
            return epoch(float(value))
        return rfc3339(value) or clf(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e20:
        return None
    number = float(value)
    # Until the year 5138 seconds are below 1e11.
    while number >= 1e11:
        number /= 1e3
    return number


def _zone(sign: str | None, hours: str | None, minutes: str | None) -> timezone | None:
    if not sign or not hours or not minutes:
        return None
    offset = timedelta(hours=int(hours) % 24, minutes=int(minutes) % 60)
    return timezone(-offset if sign == "-" else offset)


def _seconds(
    year: int, month: int, day: int, hour: int, minute: int, second: int, zone: tzinfo
) -> float | None:
    try:
        found_at = datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None
    return found_at if found_at >= 0 else None


def _tai(text: str, _now: float, _zone: tzinfo) -> float:
    """Return the time of a TAI64N label, which is ten seconds and the leap seconds ahead of UTC.

    The last leap second was in 2016.
    """
    return float(int(text[2:17], 16) - 37)


def _mysql(text: str, _now: float, zone: tzinfo) -> float | None:
    day, clock = text[:6], text[7:].replace(" ", "0")
    return rfc3339(f"20{day[:2]}-{day[2:4]}-{day[4:]} {clock}", zone)


_READ: Final[dict[str, Callable[[str, float, tzinfo], float | None]]] = {
    "classic": classic,
    "ctime": lambda text, _, zone: ctime(text, zone),
    "clf": lambda text, _, zone: clf(text, zone),
    "tai": _tai,
    # BIND writes 23-Aug-2013 10:32:56.621.
    "day": lambda text, _, zone: clf(text.replace("-", "/").replace(" ", ":", 1), zone),
    "mysql": _mysql,
}
"""How each kind of stamp is read; any other is ISO 8601's."""
