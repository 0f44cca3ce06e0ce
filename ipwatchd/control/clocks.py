"""Calls about legal clocks: how duties stand, the drafts of notices, the regimes on file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ipwatchd.control.call import NotFoundError
from ipwatchd.incidents.legal.clocks import awareness, clocks
from ipwatchd.incidents.legal.notices import draft
from ipwatchd.incidents.legal.periods import moment

if TYPE_CHECKING:
    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.incidents.legal.clocks import Clock
    from ipwatchd.records.incident import Incident

__all__ = ["listed", "notice", "of_incident", "regimes"]


async def _there(house: House, call: Call) -> Incident:
    incident = await house.stores.incidents.incident(call.names["id"])
    if incident is None:
        raise NotFoundError(f"there is no incident {call.names['id']}")
    return incident


def _row(incident: Incident, clock: Clock) -> dict[str, Any]:
    one: dict[str, Any] = msgspec.to_builtins(clock.obligation)
    return one | {
        "incident": incident.id, "priority": incident.priority, "state": clock.state,
        "left": clock.left, "share": round(clock.share, 4), "due": clock.obligation.due,
    }  # fmt: skip


async def of_incident(house: House, call: Call) -> dict[str, Any]:
    """Answer GET incidents/ID/clocks: every duty of one incident and when it began."""
    incident = await _there(house, call)
    return {
        "incident": incident.id, "aware": awareness(incident), "stated": bool(incident.aware),
        "on_hold": incident.on_hold,
        "rows": [
            _row(incident, one) | {"missing": _missing(house, incident, one, call.now)}
            for one in clocks(incident, call.now)
        ],
    }  # fmt: skip


def _missing(house: House, incident: Incident, clock: Clock, now: float) -> tuple[str, ...]:
    """Return what a notice would lack now; nothing where no notice is left to be sent."""
    if clock.obligation.settled or clock.obligation.state == "possible":
        return ()
    try:
        return draft(incident, clock.obligation, house.stores.incidents.policy, now).missing
    except ValueError:
        return ()  # its regime is no longer on file


async def listed(house: House, call: Call) -> list[dict[str, Any]]:
    """Answer GET clocks: what is left of all incidents, the first that is due first."""
    incidents = await house.stores.incidents.with_duties(call.number("limit", 1000))
    rows = [
        _row(incident, one)
        for incident in incidents
        for one in clocks(incident, call.now)
        if not one.obligation.settled
    ]
    return sorted(rows, key=lambda row: row["due"] or call.now)


async def notice(house: House, call: Call) -> dict[str, Any]:
    """Answer GET incidents/ID/notices/OBLIGATION: the draft, and what it lacks."""
    incident = await _there(house, call)
    word = call.names["obligation"].lower()
    one = next((one for one in incident.obligations if one.id == word), None)
    if one is None:
        names = ", ".join(one.id for one in incident.obligations) or "it has none"
        raise NotFoundError(f"{word!r} is no obligation of {incident.id}: {names}")
    made: dict[str, Any] = msgspec.to_builtins(
        draft(incident, one, house.stores.incidents.policy, call.now)
    )
    return made


async def regimes(house: House, call: Call) -> list[dict[str, Any]]:
    """Answer GET regimes: laws, standards and contracts, and which are not in force now."""
    policy = house.stores.incidents.policy
    day = moment(call.now, policy.seat.zone).date()
    contracts = [one.contract() for one in policy.clients]
    every = (*policy.regimes, *(one for one in contracts if one))
    return [
        {**msgspec.to_builtins(one), "not_in_force": one.validity(day),
         "listed": one.id in policy.seat.laws}
        for one in every
    ]  # fmt: skip
