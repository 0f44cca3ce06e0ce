"""MAC addresses, as Windows, Cisco, RADIUS and Linux write them. Pure."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["plain_mac"]

_MAC: Final = re.compile(
    r"[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}"
)


def plain_mac(text: str) -> str:
    """Return 02:00:00:00:00:01 of 02-00-00-00-00-01 or 0200.0000.0001; what is no MAC as it is."""
    lower = text.lower()
    if _MAC.fullmatch(lower) is None:
        return text
    digits = re.sub("[^0-9a-f]", "", lower)
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))
