"""Who is where: zones and gateways as the kernel has them, bindings as history holds them.

`in_force` is the one way to zones: of the configuration, else of the kernel, else what is private.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.enrich.surroundings import Around, Surroundings, gateways_of, zones_of
from ipwatchd.records.event import Bound, event_from_builtins
from ipwatchd.records.filter import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ipwatchd.config import Config
    from ipwatchd.history import History
    from ipwatchd.records.agent import Agent, Binding
    from ipwatchd.records.place import Place

__all__ = ["Around", "Ground", "agent_rows", "bindings_told", "in_force"]

_SPAN: Final = "24h"
"""No kind of evidence binds longer (enrich.presence.SOURCES)."""
_MOST: Final = 20_000
_SHARE: Final = 20.0
"""From one look to the next, in times of what it took: routes may change without end."""
_REST: Final = 10.0
"""Seconds until a kernel that refused is asked again."""


def in_force(config: Config, around: Around | None) -> Config:
    """Return a configuration with the kernel's zones where it names none itself."""
    if config.zones or around is None:
        return config
    zones = {name: tuple(networks) for name, networks in zones_of(around).items()}
    return msgspec.structs.replace(config, zones=zones)


class Ground:
    """The kernel's networks and gateways, followed. Close once."""

    def __init__(self) -> None:
        self.around: Around | None = None
        self._asks: Surroundings | None = None
        self._gateways: dict[str, tuple[tuple[str, ...], str]] = {}
        self._stirred = True
        self._next = 0.0

    def stirred(self) -> bool:
        """Tell whether the kernel told of a change, and it is time to look. Raises OSError."""
        if self._asks is not None and self._asks.changed():
            self._stirred = True
        return self._stirred and time.monotonic() >= self._next

    def look(self) -> None:
        """Ask the kernel. Raises OSError.

        Takes milliseconds, with a full routing table a second: not on an event loop.
        """
        began = time.monotonic()
        self._next = began + _REST
        self._asks = self._asks or Surroundings()
        self._asks.changed()
        around = self._asks.read()
        self._stirred = False
        self._next = began + _SHARE * (time.monotonic() - began)
        if around != self.around:
            self.around, self._gateways = around, gateways_of(around)

    def gateways(self) -> Mapping[str, tuple[tuple[str, ...], str]]:
        """Return the gateways as of the last look (enrich.surroundings.gateways_of)."""
        return self._gateways

    def zones(self) -> dict[str, dict[str, str]]:
        """Return zone → network → why, as the kernel suggests."""
        return zones_of(self.around) if self.around else {}

    def close(self) -> None:
        """Let go."""
        if self._asks is not None:
            self._asks.close()


async def bindings_told(history: History, now: float) -> list[Bound]:
    """Return what began and ended of late, oldest first."""
    rows = await history.events(parse(f"kind:binding since:{_SPAN}", now), _MOST)
    events = [event_from_builtins(row) for row in reversed(rows)]
    return [event for event in events if isinstance(event, Bound)]


def agent_rows(
    bindings: Iterable[Binding],
    agents: Mapping[str, Agent],
    place: Callable[[str], Place | None],
    *,
    everybody: bool,
) -> list[dict[str, Any]]:
    """Return a row for each binding, by name and the surest first; `everybody`: the roster too."""
    rows = [
        _row(binding, agents.get(binding.agent), place(binding.address)) for binding in bindings
    ]
    if everybody:
        there = {row["agent"] for row in rows}
        rows += [_row(None, agent, None) for name, agent in agents.items() if name not in there]
    return sorted(rows, key=lambda row: (row["agent"], -row["confidence"], row["address"]))


def _row(binding: Binding | None, agent: Agent | None, place: Place | None) -> dict[str, Any]:
    return {
        "agent": binding.agent if binding else agent.name if agent else "",
        "known": agent is not None,
        "team": agent.team if agent else "",
        "client": agent.client if agent else "",
        "shift": agent.shift if agent else "",
        "address": binding.address if binding else "",
        "mac": binding.mac if binding else "",
        "zone": place.zone if place else "",
        "country": place.country if place else "",
        "source": binding.source if binding else "",
        "confidence": binding.confidence if binding else 0.0,
        "since": binding.since if binding else 0.0,
        "until": binding.until if binding else 0.0,
    }
