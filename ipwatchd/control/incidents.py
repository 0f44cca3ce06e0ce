"""Calls that show incidents and work on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from ipwatchd.control.call import NotFoundError
from ipwatchd.control.messages import IncidentDetail, Page
from ipwatchd.incidents.actions import MACHINES
from ipwatchd.incidents.signing import fingerprint
from ipwatchd.records.incident import OPEN_STATES, STATES

if TYPE_CHECKING:
    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House

__all__ = ["act", "listed", "policy", "show", "verify"]


class _Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    reason: Annotated[str, Meta(max_length=5000)] = ""
    answers: dict[str, Any] = {}
    priority: Annotated[str, Meta(max_length=10)] = ""
    sop: Annotated[str, Meta(max_length=100)] = ""
    step: Annotated[str, Meta(max_length=200)] = ""
    target: Annotated[str, Meta(max_length=100)] = ""
    at: Annotated[float, Meta(ge=0, le=1e11)] = 0.0
    obligation: Annotated[str, Meta(max_length=200)] = ""
    stage: Annotated[str, Meta(max_length=20)] = ""
    reference: Annotated[str, Meta(max_length=200)] = ""
    tlp: Annotated[str, Meta(max_length=20)] = ""
    report: Annotated[str, Meta(max_length=100)] = ""
    language: Annotated[str, Meta(max_length=20)] = ""
    fields: Annotated[dict[str, Annotated[str, Meta(max_length=10_000)]], Meta(max_length=100)] = {}


async def listed(house: House, call: Call) -> Page:
    """Answer GET incidents?state=open|all|STATE."""
    word = call.query.get("state", "open")
    states = {"open": OPEN_STATES, "all": STATES}.get(word, (word.upper(),))
    if word.upper() not in STATES and word not in {"open", "all"}:
        raise ValueError(f"{word!r} is no state: open, all, {', '.join(STATES)}")
    limit = call.number("limit", 100)
    rows = await house.stores.incidents.list(
        states=states, limit=limit + 1, offset=call.number("offset", 0)
    )
    built = tuple(msgspec.to_builtins(row) for row in rows)
    return Page(rows=built[:limit], more=len(built) > limit)


async def show(house: House, call: Call) -> IncidentDetail:
    """Answer GET incidents/ID."""
    found = await house.stores.incidents.show(call.names["id"])
    if found is None:
        raise NotFoundError(f"there is no incident {call.names['id']}")
    incident, events = found
    return IncidentDetail(
        incident=msgspec.to_builtins(incident),
        timeline=tuple(msgspec.to_builtins(event) for event in events),
    )


async def verify(house: House, call: Call) -> dict[str, Any]:
    """Answer GET incidents/verify?whole=1: chain and signatures, and all that hangs on the log."""
    incidents = house.stores.incidents
    verdict = await incidents.verify()
    key = incidents.public_key
    built: dict[str, Any] = msgspec.to_builtins(verdict)
    built |= {"key": fingerprint(key) if key else ""}
    if call.query.get("whole"):
        built["whole"] = msgspec.to_builtins(await incidents.verify_whole())
    return built


async def policy(house: House, call: Call) -> dict[str, Any]:
    """Answer GET policy: the taxonomy, the impact questions and the SOPs, as data."""
    del call
    built: dict[str, Any] = msgspec.to_builtins(house.stores.incidents.policy)
    return built


async def act(house: House, call: Call) -> dict[str, Any]:
    """Answer POST incidents/ID/ACTION."""
    asked = msgspec.convert(call.body, _Act)
    if call.names["action"] in MACHINES:
        raise ValueError(f"{call.names['action']} is written by what does it, not by hand")
    incident = await house.stores.incidents.act(
        call.names["id"], call.names["action"], actor=call.peer.name, reason=asked.reason,
        now=call.now, details=msgspec.to_builtins(asked),
    )  # fmt: skip
    built: dict[str, Any] = msgspec.to_builtins(incident)
    return built
