"""The call that shows who is where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ipwatchd.control.messages import AgentRow
from ipwatchd.enrich.presence import Presence, agent_name
from ipwatchd.enrich.roster import load_roster
from ipwatchd.whereabouts import agent_rows, bindings_told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.records.agent import Agent

__all__ = ["agents"]


async def agents(house: House, call: Call) -> list[AgentRow]:
    """Answer GET agents: who is where now; `name` an agent or address, `all` the roster too."""
    if house.live is not None:
        presence, roster = house.live.pipeline.presence, house.live.pipeline.roster
    else:
        roster = _roster(house)
        presence = Presence(roster)
        presence.restore(await bindings_told(house.stores.history, call.now))
    everybody = call.query.get("all", "") in {"1", "true"}
    rows = agent_rows(
        presence.now(call.now), roster, house.stores.enricher.place, everybody=everybody
    )
    asked = call.query.get("name", "")
    if asked:
        wanted = agent_name(asked)
        rows = [row for row in rows if row["agent"].lower() == wanted or row["address"] == asked]
    return [msgspec.convert(row, AgentRow) for row in rows]


def _roster(house: House) -> Mapping[str, Agent]:
    path = house.stores.config.site.roster
    try:
        return load_roster(Path(path)).agents if path else {}
    except (ValueError, OSError):
        return {}
