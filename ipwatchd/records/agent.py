"""An agent: a person of the roster, where and when they work. Times are epoch seconds."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.records.place import Place

__all__ = ["Agent", "Binding", "is_among"]


class Agent(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One line of the roster. `shift` is "mon-fri 22:00-06:00" in `time_zone` (empty: any time).

    `places` are zones, networks or countries from which they may work, `devices` MACs or host
    names; empty: any.
    """

    name: str
    team: str = ""
    client: str = ""
    shift: str = ""
    time_zone: str = "UTC"
    places: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    extension: str = ""


class Binding(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Who was at an address from `since` to `until`, as `source` said; `confidence` is 0 to 1."""

    address: str
    agent: str
    since: float
    until: float
    source: str
    confidence: float
    mac: str = ""


def is_among(places: Sequence[str], address: str, place: Place | None) -> bool:
    """Tell whether an address, which lies at a place, is within one of an agent's `places`."""
    if place is not None and {place.zone, place.country} & set(places):
        return True
    for one in places:
        try:
            if ipaddress.ip_address(address) in ipaddress.ip_network(one, strict=False):
                return True
        except ValueError:  # a zone's or a country's name
            continue
    return False
