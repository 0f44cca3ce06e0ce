"""Where a site is, as laws ask for it. Types only."""

from __future__ import annotations

import msgspec

__all__ = ["Seat"]


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """Where a site is: country, time zone, the laws it is under itself, whom to ask."""

    country: str = ""
    zone: str = "UTC"
    laws: tuple[str, ...] = ()
    contact: str = ""
