"""Flows, places and settings that the tests of history use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipwatchd.config import HistorySettings
from ipwatchd.records.address import split
from ipwatchd.records.flow import DIRECTIONS, SERVICES, STATES, empty_flows
from ipwatchd.records.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.history import History

    Open = Callable[..., AbstractAsyncContextManager[History]]

T0 = 1_780_000_000.0
ZONES = ("agents", "servers", "internet")
SMALL = HistorySettings(free_bytes=1)


def flow(
    orig: str = "10.20.0.5", resp: str = "203.0.113.9", *, start: float = T0,
    seconds: float = 1.0, port: int = 443, sport: int = 40000, proto: int = 6, state: str = "SF",
    service: str = "tls", direction: str = "outgoing", zones: tuple[int, int] = (0, 2),
    packets: tuple[int, int] = (10, 12), octets: tuple[int, int] = (1000, 5000),
) -> NDArray[np.void]:  # fmt: skip
    """Return one flow as a batch."""
    one = empty_flows(1)
    one["orig_hi"], one["orig_lo"] = split(orig)
    one["resp_hi"], one["resp_lo"] = split(resp)
    one["start"], one["end"] = round(start * 1e9), round((start + seconds) * 1e9)
    one["orig_port"], one["resp_port"], one["proto"] = sport, port, proto
    one["state"], one["service"] = STATES.index(state), SERVICES.index(service)
    one["direction"] = DIRECTIONS.index(direction)
    one["orig_zone"], one["resp_zone"] = zones
    one["orig_packets"], one["resp_packets"] = packets
    one["orig_bytes"], one["resp_bytes"] = octets
    return one


def locate(address: str) -> Place | None:
    """Place the documentation networks in countries, the site's own in zones."""
    if address.startswith("10.20."):
        return Place(zone="agents")
    if address.startswith("10.30."):
        return Place(zone="servers")
    country = {"203": "RU", "198": "DE"}.get(address.partition(".")[0], "")
    if not country:
        return Place(zone="internet")
    return Place(
        zone="internet", country=country, city="Somewhere", asn=64500, operator="Example Net",
        built=1_770_000_000,
    )  # fmt: skip
