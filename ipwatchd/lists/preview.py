"""What a new entry would have touched, from history's rows. Pure."""

from __future__ import annotations

import ipaddress
from heapq import nlargest
from typing import TYPE_CHECKING, Any

import msgspec

from ipwatchd.records.network import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Effect", "preview"]


class Effect(msgspec.Struct, kw_only=True, frozen=True):
    """Addresses inside the network, their flows and bytes in sum, and the busiest rows of them."""

    network: str
    note: str
    addresses: int
    flows: int
    bytes: int
    rows: tuple[dict[str, Any], ...]


def preview(network: str, history: Iterable[Mapping[str, Any]], *, limit: int = 20) -> Effect:
    """Return what an entry for `network` would touch.

    `history` yields a row an address: `address` (text), `flows`, and what else is known (`bytes`,
    `agent`, `last_seen` …), which comes back as it is. Raises ValueError for a bad network.
    """
    name, note = canonical(network)
    inside = ipaddress.ip_network(name)
    seen: set[str] = set()
    flows = total = 0
    touched = []
    for row in history:
        if ipaddress.ip_address(row["address"]) not in inside:
            continue
        seen.add(row["address"])
        flows += row.get("flows", 0)
        total += row.get("bytes", 0)
        touched.append(row)
    busiest = nlargest(limit, touched, key=lambda row: row.get("flows", 0))
    return Effect(
        network=name, note=note, addresses=len(seen), flows=flows, bytes=total,
        rows=tuple(dict(row) for row in busiest),
    )  # fmt: skip
