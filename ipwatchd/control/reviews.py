"""Calls that look back on incidents: trends, reports as pages, exports for other systems."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.control.call import NotFoundError
from ipwatchd.incidents.legal.periods import zone
from ipwatchd.incidents.review import course_of, trends
from ipwatchd.incidents.review.ocsf import incident_finding
from ipwatchd.incidents.review.pages import Ends, case_page, period_page
from ipwatchd.incidents.review.stix import MARKINGS, bundle
from ipwatchd.incidents.signing import fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.incidents.review import Course, Trends
    from ipwatchd.records.incident import Incident

__all__ = ["case", "exported", "looked_back", "period"]

_PERIOD: Final = "30d"


async def looked_back(house: House, call: Call) -> dict[str, Any]:
    """Answer GET trends?since=30d&until=0s: how many, how fast, how often wrong."""
    built: dict[str, Any] = msgspec.to_builtins(await _trends(house, call))
    return built


async def period(house: House, call: Call) -> dict[str, Any]:
    """Answer GET trends/page: the same as an HTML page."""
    found = await _trends(house, call)
    config = house.stores.config
    at = zone(config.incidents.time_zone)
    html = await asyncio.to_thread(
        partial(
            period_page, found, config.site.name, at, call.now, config.incidents.policy,
            marking=_marking(call),
        )
    )  # fmt: skip
    return {"html": html}


async def case(house: House, call: Call) -> dict[str, Any]:
    """Answer GET incidents/ID/page?tlp=TLP:AMBER: the report of a case as an HTML page."""
    incidents, config = house.stores.incidents, house.stores.config
    found = await incidents.show(call.names["id"])
    if found is None:
        raise NotFoundError(f"there is no incident {call.names['id']}")
    incident, events = found
    marking = _marking(call)
    key = incidents.public_key
    ends = Ends(events[-1].seq, events[-1].hash, fingerprint(key) if key else "")
    moves = await incidents.moves([incident.id])
    course = course_of(incident, moves.get(incident.id, ()))
    at = zone(config.incidents.time_zone)
    html = await asyncio.to_thread(
        case_page, incident, course, events, ends, at, call.now, marking=marking,
        own=config.incidents.policy,
    )  # fmt: skip
    return {"html": html}


async def exported(house: House, call: Call) -> dict[str, Any]:
    """Answer GET trends/export?since=30d&form=ocsf|stix|course: incidents for other systems.

    With `id` one incident, else those of the period.
    """
    form = call.query.get("form", "course")
    held = await _held(house, call)
    if form == "ocsf":
        return {"rows": [incident_finding(one) for one in held]}
    if form == "stix":
        return {"rows": [bundle(held, _marking(call))]}
    if form == "course":
        return {"rows": msgspec.to_builtins(await _courses(house, held))}
    raise ValueError(f"{form!r} is no form of export: ocsf, stix, course")


def _marking(call: Call) -> str:
    marking = call.query.get("tlp", "TLP:AMBER").upper()
    if marking not in MARKINGS:
        raise ValueError(f"{marking!r} is no marking of TLP 2.0: {', '.join(MARKINGS)}")
    return marking


async def _held(house: House, call: Call) -> list[Incident]:
    incidents = house.stores.incidents
    if identity := call.query.get("id", ""):
        one = await incidents.incident(identity)
        if one is None:
            raise NotFoundError(f"there is no incident {identity}")
        return [one]
    since, until = _period(call)
    return [one for one in await incidents.touched(since) if since <= one.opened < until]


async def _trends(house: House, call: Call) -> Trends:
    since, until = _period(call)
    courses = await _courses(house, await house.stores.incidents.touched(since))
    at = zone(house.stores.config.incidents.time_zone)
    return await asyncio.to_thread(trends, courses, since, until, at)


async def _courses(house: House, held: Sequence[Incident]) -> list[Course]:
    moves = await house.stores.incidents.moves([one.id for one in held])
    return [course_of(one, moves.get(one.id, ())) for one in held]


def _period(call: Call) -> tuple[float, float]:
    """Return since and until (spans back from now) as epoch seconds."""
    since, until = call.since(_PERIOD), call.now
    if "until" in call.query:
        until = call._replace(query={"since": call.query["until"]}).since("0s")
    if until <= since:
        raise ValueError("the period ends before it begins: --since is the longer span of the two")
    return since, until
