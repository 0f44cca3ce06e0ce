"""Numbers and times as a person reads them at a glance, in few and steady cells."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any, Final

from ipwatchd.records.duration import parse_duration

__all__ = [
    "age", "bits", "clock", "count", "duration", "moment", "number", "rate",
    "size", "span", "until",
]  # fmt: skip

_STEPS: Final = ("", "k", "M", "G", "T", "P", "E")
_DAY: Final = 86_400


def number(value: Any) -> float:
    """Return a JSON value as a number, 0 where it is none (rows come in many shapes)."""
    if isinstance(value, (int, float)) and value == value and abs(value) != float("inf"):  # noqa: PLR0124 - NaN
        return float(value)
    return 0.0


def _scaled(value: float) -> tuple[str, str]:
    step = 0
    while abs(value) >= 999.5 and step < len(_STEPS) - 1:
        value /= 1000
        step += 1
    digits = 0 if step == 0 or abs(value) >= 99.95 else 1
    if step == 0 and 0 < abs(value) < 9.95 and value != int(value):
        digits = 1
    return f"{value:.{digits}f}", _STEPS[step]


def count(value: Any) -> str:
    """Return a count in at most five cells: 812, 12.4k, 3.1M."""
    return "".join(_scaled(number(value)))


def size(value: Any) -> str:
    """Return bytes: 812 B, 12.4 kB, 3.1 GB."""
    text, step = _scaled(number(value))
    return f"{text} {step}B"


def bits(value: Any) -> str:
    """Return a speed: 84.2 Mbit/s."""
    text, step = _scaled(number(value))
    return f"{text} {step}bit/s"


def rate(value: Any, unit: str) -> str:
    """Return a rate: 12.4k pkt/s."""
    return f"{count(value)} {unit}/s"


def duration(seconds: float) -> str:
    """Return a length of time by its two greatest units: 3d 04h, 2m 05s."""
    whole = max(int(seconds), 0)
    days, rest = divmod(whole, _DAY)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    if minutes:
        return f"{minutes}m {left:02}s"
    return f"{left}s"


def age(then: Any, now: float) -> str:
    """Return how long ago in at most four cells: now, 42s, 5m, 3h, 12d; "" for never."""
    start = number(then)
    if start <= 0:
        return ""
    seconds = now - start
    if seconds < 1:
        return "now"
    for unit, length, limit in (("s", 1, 60), ("m", 60, 3600), ("h", 3600, _DAY)):
        if seconds < limit:
            return f"{int(seconds // length)}{unit}"
    return f"{min(int(seconds // _DAY), 9999)}d"


def _local(then: Any, zone: tzinfo | None) -> datetime | None:
    seconds = number(then)
    if not 0 < seconds < 253_402_300_800:  # the year 10000
        return None
    return datetime.fromtimestamp(seconds, zone).astimezone(zone)


def clock(then: Any, zone: tzinfo | None, *, seconds: bool = False) -> str:
    """Return the time of day in the admin's time zone, "" for never."""
    local = _local(then, zone)
    return "" if local is None else local.strftime("%H:%M:%S" if seconds else "%H:%M")


def moment(then: Any, zone: tzinfo | None) -> str:
    """Return date and time to the second, "" for never."""
    local = _local(then, zone)
    return "" if local is None else local.strftime("%Y-%m-%d %H:%M:%S")


def until(then: Any, now: float, zone: tzinfo | None) -> str:
    """Return an end in time, with the date where it is not within a day; "for good" for 0."""
    end = number(then)
    local = _local(end, zone)
    if local is None:
        return "for good"
    if abs(end - now) < _DAY:
        return f"until {local:%H:%M}"
    if abs(end - now) < 300 * _DAY:
        return f"until {local:%m-%d %H:%M}"
    return f"until {local:%Y-%m-%d %H:%M}"


def span(text: str) -> float:
    """Return the seconds of "15m", "1h", "7d"; 0 (for good) of "forever".

    Raises ValueError with a sentence.
    """
    words = text.strip().lower()
    return 0.0 if words in {"forever", "0"} else parse_duration(words.replace(" ", ""))
