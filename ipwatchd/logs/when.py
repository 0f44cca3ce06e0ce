"""Time stamps of log lines → epoch seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

__all__ = ["classic", "clf", "epoch", "rfc3339"]

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_CLASSIC: Final = re.compile(r"([A-Z][a-z]{2}) {1,2}([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})")
_CLF: Final = re.compile(
    r"([0-9]{2})/([A-Z][a-z]{2}|[0-9]{2})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.[0-9]{1,9})?(?: ([+-])([0-9]{2})([0-9]{2}))?"
)
_RFC3339: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,9}))?"
    r"(?:(Z)|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_AHEAD: Final = timedelta(days=1)
_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,9})?")


def rfc3339(text: str) -> float | None:
    """Return the time of RFC 3339 or a near kin (space for T, comma, no offset: UTC), or None."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    fraction = float(f"0.{found[7]}") if found[7] else 0.0
    zone = _zone(found[9], found[10], found[11])
    whole = _seconds(year, month, day, hour, minute, min(second, 59), zone)
    return None if whole is None else whole + fraction


def classic(text: str, now: float) -> float | None:
    """Return the time of RFC 3164's stamp, which has no year: the last such day to `now`, UTC."""
    found = _CLASSIC.fullmatch(text)
    month = _MONTHS.get(found[1]) if found else None
    if found is None or month is None:
        return None
    day, hour, minute, second = map(int, found.group(2, 3, 4, 5))
    latest = datetime.fromtimestamp(now, UTC) + _AHEAD
    # 29 February may be up to eight years back (1896 to 1904, 2096 to 2104).
    for year in range(latest.year, latest.year - 9, -1):
        stamp = _seconds(year, month, day, hour, minute, min(second, 59), UTC)
        if stamp is not None and stamp <= latest.timestamp():
            return stamp
    return None


def clf(text: str) -> float | None:
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
    zone = _zone(found[7], found[8], found[9])
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


def _zone(sign: str | None, hours: str | None, minutes: str | None) -> timezone:
    if not sign or not hours or not minutes:
        return UTC
    offset = timedelta(hours=int(hours) % 24, minutes=int(minutes) % 60)
    return timezone(-offset if sign == "-" else offset)


def _seconds(
    year: int, month: int, day: int, hour: int, minute: int, second: int, zone: timezone
) -> float | None:
    try:
        stamp = datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None
    return stamp if stamp >= 0 else None
