"""The call that shows what an entry, or a policy, would have touched in the last days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipwatchd.bindings import Bindings
from ipwatchd.control.logins import remote_logins
from ipwatchd.lists.admit import touches
from ipwatchd.lists.compile import merge
from ipwatchd.records.network import canonical

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.records.policy import ServicePolicy

__all__ = ["preview"]


async def preview(house: House, call: Call) -> dict[str, Any]:
    """Answer GET lists/NAME/preview?network=…&service=…&since=…: whom the entry would touch.

    Without a network: whom the service's being for the allowed alone would stop.
    """
    lists, history = house.stores.lists, house.stores.history
    if house.live is None:
        await Bindings(house.stores).refresh(call.now)
    since = call.since("24h")
    name = call.query.get("service", "")
    service = lists.service(name, now=call.now) if name else None
    if not call.query.get("network"):
        if service is None:
            raise ValueError("name a network, or --service NAME for what its policy would stop")
        stopped = _allowed(house, service, call.now)
        found = await history.service_touched(stopped, since, service, outside=True)
        words = "all but the allowed and management: whom only-allowed stops"
        return {"network": words, "service": name, "note": "", "flags": [], **found}
    network, note = canonical(call.query["network"])
    ranges = merge(await Bindings(house.stores).stands_for(network, call.now))
    if service is None:
        found = await history.touched(ranges, since)
    else:
        found = await history.service_touched(ranges, since, service, outside=False)
    hint = call.query.get("session", "")
    return {
        "network": network, "service": name, "note": note, "stands_for": len(ranges),
        "flags": _flags(house, network, ranges, hint), **found,
    }  # fmt: skip


def _allowed(house: House, service: ServicePolicy, now: float) -> NDArray[np.void]:
    policy = house.stores.lists.policy("enforce", house.stores.lists.management, now=now)
    parts = [service.allow, policy.allow, policy.bulk_allow, policy.management]
    ranges = np.concatenate(parts)
    ranges["expires"] = 0
    return merge(ranges)


def _flags(house: House, network: str, ranges: NDArray[np.void], hint: str) -> list[str]:
    """Say whom of ours an entry meets: management, who is logged in, partners, zones."""
    found = []
    management = house.stores.lists.management
    if hit := touches(network, management, ranges):
        found.append(f"{hit} is a management network: it passes whatever is denied")
    if hit := touches(network, remote_logins(hint), ranges):
        found.append(f"{hit} is where an SSH session to this machine comes from")
    for zone, networks in house.stores.config.named_zones().items():
        if touches(network, networks, ranges):
            kind = "partner network" if zone.startswith("partner") else "zone"
            found.append(f"it meets the {kind} {zone}")
    return found
