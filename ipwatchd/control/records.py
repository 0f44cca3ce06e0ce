"""Calls that look at history: the seven kinds of record, flows, events, one address."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.control.call import NotFoundError
from ipwatchd.control.messages import Page
from ipwatchd.control.timeline import beside, incidents_about
from ipwatchd.enrich.hints import hints
from ipwatchd.records.filter import parse

if TYPE_CHECKING:
    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House

__all__ = ["KINDS", "address", "events", "flows", "records"]

KINDS: Final = ("incoming", "agent", "session", "list", "geo", "api", "activity")


_SHOWN: Final = 100
"""Incidents told of one address, as rows of every other list of it."""


def _page(rows: list[dict[str, Any]], limit: int, note: str = "") -> Page:
    return Page(rows=tuple(rows[:limit]), more=len(rows) > limit, note=note)


async def records(house: House, call: Call) -> Page:
    """Answer GET records/KIND; one row more than asked for tells whether there are more."""
    kind = call.names["kind"]
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of record: {', '.join(KINDS)}")
    limit, offset = call.number("limit", 100), call.number("offset", 0)
    query = parse(call.query.get("filter", ""), call.now)
    history = house.stores.history
    if kind != "activity":
        return _page(await history.records(kind, query, limit + 1, offset), limit)
    rows = await history.records(kind, query, limit + 1 + offset)
    rows += await beside(house, call.peer, query, limit + 1 + offset)
    rows.sort(key=lambda row: -float(row["ts"]))
    return _page(rows[offset:], limit)


async def flows(house: House, call: Call) -> Page:
    """Answer GET flows; a filter that asks for sums gets these, the greatest by `order` first."""
    limit = call.number("limit", 100)
    query = parse(call.query.get("filter", ""), call.now)
    history = house.stores.history
    rows = await history.flows(query, limit + 1, call.query.get("order", "bytes"))
    return _page(rows, limit, _unreached(house))


def _unreached(house: House) -> str:
    """Say what the last question about flows could not reach."""
    history, words = house.stores.history, []
    if skipped := history.segments_skipped:
        names = ", ".join(path.name for path in skipped[:3])
        words.append(f"{len(skipped)} damaged segments were left out ({names})")
    if days := history.days_sealed_off:
        words.append(
            f"addresses of {len(days)} days ({days[0]} … {days[-1]}) are anonymous for good: their "
            "key was dropped"
        )
    return "; ".join(words)


async def events(house: House, call: Call) -> Page:
    """Answer GET events."""
    limit = call.number("limit", 100)
    query = parse(call.query.get("filter", ""), call.now)
    return _page(await house.stores.history.events(query, limit + 1), limit)


async def address(house: House, call: Call) -> dict[str, Any]:
    """Answer GET addresses/ADDRESS: everything on one address.

    Of one that was never seen only where it is, if that is known.
    """
    try:
        text = str(ipaddress.ip_address(call.names["address"]))
    except ValueError:
        raise ValueError(
            f"{call.names['address']!r} is no address: write 203.0.113.7 or 2001:db8::7"
        ) from None
    found = await house.stores.history.address(text)
    why = house.stores.lists.why(text, now=call.now)
    served = _served(house, text, call.now)
    if found is None:
        if not served:
            raise NotFoundError(f"nothing is recorded about {text}")
        found = {"address": text, "note": "nothing is recorded about it"}
    incidents = await _incidents(house, text)
    return {**found, "incidents": incidents, **served, "verdict": msgspec.to_builtins(why)}


_TOLD: Final = ("id", "priority", "state", "rule", "subject", "count", "first_seen", "title")


async def _incidents(house: House, address: str) -> list[dict[str, Any]]:
    """Return the incidents that an address is in: enough of each to find it."""
    about = await incidents_about(house, [ipaddress.ip_network(address)])
    return [{name: getattr(one, name) for name in _TOLD} for one, _ in about[:_SHOWN]]


def _served(house: House, address: str, now: float) -> dict[str, Any]:
    """Return where an address is (`place`), and what helps to serve whoever calls (`service`).

    Nothing of our own addresses: no database knows them.
    """
    place = house.stores.enricher.place(address)
    if place is None or not (place.country or place.asn or place.flags):
        return {}
    found = {"place": msgspec.to_builtins(place)}
    if place.country:
        found["service"] = msgspec.to_builtins(hints(place, now))
    return found
