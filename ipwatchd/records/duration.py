"""Spans of time as people write them: 90s, 15m, 2h, 7d."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["duration_text", "parse_duration"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhdw])")


def parse_duration(text: str) -> float:
    """Return seconds of "90s", "15m", "2h30m", "7d"; ValueError with the mend where it is none."""
    seconds, place = 0.0, 0
    while match := _SPAN.match(text, place):
        seconds += float(match[1]) * _UNITS[match[2]]
        place = match.end()
    if not text or place != len(text):
        raise ValueError(f"{text!r} is no span of time: write 90s, 15m, 2h or 7d")
    return seconds


def duration_text(seconds: float) -> str:
    """Return a span in at most two units: "45s", "3m 20s", "2h", "5d 4h"."""
    rest = max(0, round(seconds))
    words = []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words[:2]) or "0s"
