"""An agent: a person of the roster, where and when they work. Times are epoch seconds."""

from __future__ import annotations

import msgspec

__all__ = ["Agent", "Binding"]


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
