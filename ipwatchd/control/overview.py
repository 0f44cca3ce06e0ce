"""Calls that show the agent at a glance: status, doctor, throughput, top, zones, audit."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd import __version__
from ipwatchd.control.firewall import firewall_state
from ipwatchd.control.health import checks
from ipwatchd.control.messages import (
    AuditRow,
    Check,
    InterfaceState,
    Status,
    Throughput,
    TopRow,
    UplinkState,
    Zone,
)
from ipwatchd.control.paging import escalation
from ipwatchd.history.rollup import HOUR
from ipwatchd.records.address import address_array
from ipwatchd.records.filter import Filter, Term, parse
from ipwatchd.records.incident import PRIORITIES

if TYPE_CHECKING:
    from ipwatchd.capture import CaptureCounters
    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House, Live

__all__ = ["audit", "doctor", "status", "throughput", "top", "zones"]


_EXACT: Final = 6 * 3600.0
"""Seconds up to which flows are counted one by one; beyond it whole hours are near enough."""


async def status(house: House, call: Call) -> Status:
    """Answer GET status."""
    stores, live = house.stores, house.live
    counts = await stores.incidents.open_counts()
    common = {
        "version": __version__,
        "site": stores.config.site.name,
        "now": call.now,
        "incidents_open": {name: counts[name] for name in PRIORITIES if counts.get(name)},
        "history": await stores.history.status(),
        "health": tuple(await checks(house, call.now)),
        "firewall": firewall_state(house, call.now),
        "escalation": await escalation(house, call.now),
    }
    if live is None:
        return msgspec.convert({**common, "live": False}, Status, from_attributes=True)
    return msgspec.convert(
        {**common, "live": True, **_live_parts(live, house.turned_away)},
        Status,
        from_attributes=True,
    )


def _live_parts(live: Live, turned_away: int) -> dict[str, object]:
    counters = live.ring.counters() if live.ring else None
    interfaces = tuple(
        InterfaceState(
            name=one.name,
            state=one.state,
            packets=one.packets,
            bytes=one.bytes,
            drops=one.kernel_drops,
        )
        for one in (counters.interfaces if counters else ())
    )
    return {
        "pid": live.pid,
        "started": live.started,
        "first_packet": _first_packet(counters),
        "memory_bytes": _memory(),
        "flows_live": counters.flows_live if counters else 0,
        "rates": live.rates,
        "interfaces": interfaces,
        "uplink": _uplink(live),
        "shed": live.shed | ({"control.connections": turned_away} if turned_away else {}),
    }


def _first_packet(counters: CaptureCounters | None) -> float:
    """Return when the first packet of any interface came, 0 where none did."""
    interfaces = counters.interfaces if counters else ()
    return min((one.first_packet for one in interfaces if one.first_packet), default=0.0)


def _uplink(live: Live) -> UplinkState:
    if live.uplink is None:
        return UplinkState()
    return msgspec.convert(live.uplink.status(), UplinkState, from_attributes=True)


def _memory() -> int:
    """Return the bytes of memory that the process holds now."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - one short read
        return int(file.read().split()[1]) * resource.getpagesize()


async def doctor(house: House, call: Call) -> list[Check]:
    """Answer GET doctor: every check, also the ones that are well."""
    return await checks(house, call.now)


async def throughput(house: House, call: Call) -> list[Throughput]:
    """Answer GET throughput: buckets since then, oldest first."""
    rows = await house.stores.history.throughput(call.since("1h"))
    return [msgspec.convert(row, Throughput) for row in rows]


async def top(house: House, call: Call) -> list[TopRow]:
    """Answer GET top: the busiest addresses since then, that a filter holds for.

    With `exact` or a filter, over some hours, each flow that went on then is counted; else the
    hours that the span lies in, whole. The rows say which.
    """
    by = call.query.get("by", "bytes")
    if by not in {"bytes", "packets", "flows"}:
        raise ValueError(f"by={by!r} is none of bytes, packets, flows")
    since, limit = call.since("1h"), call.number("limit", 20)
    if since >= call.now:
        raise ValueError("since=0s: nothing lies in it; write 15m, 1h or 7d")
    words = call.query.get("filter", "")
    exact = bool(call.query.get("exact")) and call.now - since <= _EXACT
    history = house.stores.history
    if words or exact:
        query = parse(f"{words} by:addr", call.now)
        given = query.since() or since
        terms = (*query.terms, Term("since", (since,))) if not query.since() else query.terms
        sums = await history.flows(Filter(terms), limit, by)
        rows = await history.placed([{**row, "address": row["addr"]} for row in sums])
        used = {"since": given, "until": min(query.until(), call.now), "counted": "flows"}
    else:
        rows = await history.top(since, call.now + 1.0, limit, by=by)
        used = {"since": since // HOUR * HOUR, "until": call.now, "counted": "hours"}
    if not rows:
        return []
    addresses = address_array(str(row["address"]) for row in rows)
    denied = house.stores.lists.denied(addresses["hi"], addresses["lo"])
    return [
        msgspec.convert({**row, **used, "denied": bool(mark)}, TopRow, strict=False)
        for row, mark in zip(rows, denied.tolist(), strict=True)
    ]


async def zones(house: House, call: Call) -> list[Zone]:
    """Answer GET zones."""
    del call
    config = house.stores.config
    if house.live and house.live.zones:
        return [
            Zone(name=name, networks=tuple(networks), source=f"kernel: {', '.join(whys)}")
            for name, networks in house.live.zones.items()
            if (whys := dict.fromkeys(networks.values()))
        ]
    # What a folder was last run under does not say whether the kernel or a person named them.
    named = "configuration" if house.live else "as last run (configuration, else the kernel)"
    source = named if config.zones else "default"
    return [
        Zone(name=name, networks=tuple(networks), source=source)
        for name, networks in config.named_zones().items()
    ]


async def audit(house: House, call: Call) -> list[AuditRow]:
    """Answer GET audit: who looked at what, newest first."""
    lines = await house.stores.audit.lines(call.number("limit", 100), call.query.get("about", ""))
    return [AuditRow(**line._asdict()) for line in lines]
