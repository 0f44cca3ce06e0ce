"""Who is where: what history holds of bindings, and the rows that the control API shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.records.event import Bound, event_from_builtins
from ipwatchd.records.filter import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ipwatchd.history import History
    from ipwatchd.records.agent import Agent, Binding
    from ipwatchd.records.place import Place

__all__ = ["agent_rows", "bindings_told"]

_SPAN: Final = "24h"
"""No kind of evidence binds longer (enrich.presence.SOURCES)."""
_MOST: Final = 20_000


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
