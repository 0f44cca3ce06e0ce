"""The lists in memory: entries by id and by key, ranges by tier, and the view that answers. No I/O.

A change is prepared (`tiers`, which may take long for a feed and touches nothing) and then applied
at once, so that no task ever sees it half done.
"""

# ruff: noqa: A002 ("list" is the vocabulary's word for allow and deny, also as an argument)

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import numpy as np

from ipwatchd.lists.admit import canonical
from ipwatchd.lists.compile import merge, nanoseconds, network_ranges
from ipwatchd.lists.match import View
from ipwatchd.lists.rows import ranges
from ipwatchd.lists.tier import Tier, is_bulk
from ipwatchd.records.address import split
from ipwatchd.records.policy import empty_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from ipwatchd.records.address import IPAddress
    from ipwatchd.records.entry import ListEntry

    Tiers = tuple[Tier, Tier]

__all__ = ["Memory"]


class Memory:
    """What the store holds, ready to be asked."""

    def __init__(self, entries: Sequence[ListEntry], spans: NDArray[np.void]) -> None:
        self.entries: dict[int, ListEntry] = {}
        self.responses = 0
        self.management: tuple[str, ...] = ()
        self._keys: dict[tuple[str, str, str, str], int] = {}
        self.managed = empty_ranges()
        for entry in entries:
            self._keep(entry)
        ids = np.array([entry.id for entry in entries], np.int64)
        deny = np.array([entry.list == "deny" for entry in entries], np.bool_)
        bulk = np.array([is_bulk(entry.source) for entry in entries], np.bool_)
        self.live = Tier(ids[~bulk], deny[~bulk], spans[~bulk])
        self.bulk = Tier(ids[bulk], deny[bulk], spans[bulk])
        self.view: View
        self._look()

    def protect(self, management: Iterable[str]) -> None:
        """Take these as the management networks."""
        self.management = tuple(canonical(network)[0] for network in management)
        self.managed = merge(network_ranges(self.management))
        self._look()

    def twin(self, entry: ListEntry) -> ListEntry | None:
        """Return the entry that shares list, network, scope and source."""
        return self.entries.get(self._keys.get(_key(entry), 0))

    def tiers(self, removed: Iterable[ListEntry], added: Iterable[ListEntry]) -> Tiers:
        """Return what live and bulk will be; changes nothing, so another thread may run it."""
        removed, added = [*removed], [*added]
        return (
            _changed(self.live, removed, added, bulk=False),
            _changed(self.bulk, removed, added, bulk=True),
        )

    def apply(self, tiers: Tiers, removed: Iterable[ListEntry], added: Iterable[ListEntry]) -> None:
        """Bring memory to what was committed."""
        self.live, self.bulk = tiers
        for entry in removed:
            del self.entries[entry.id], self._keys[_key(entry)]
            self.responses -= entry.source.startswith("response:")
        for entry in added:
            self._keep(entry)
        self._look()

    def may_be_allowed(self, network: str) -> bool:
        """Tell quickly whether an allow entry may hold this network's first address."""
        hi, lo = split(ipaddress.ip_network(network).network_address)
        one = np.array([hi], np.uint64), np.array([lo], np.uint64)
        return bool(self.live.allows(*one)[0] or self.bulk.allows(*one)[0])

    def ended(self, now: float) -> list[ListEntry]:
        """Return the entries whose end has come."""
        moment = nanoseconds(now)
        return [self.entries[one] for one in self.live.ended(moment) + self.bulk.ended(moment)]

    def next_expiry(self) -> float | None:
        """Return when the next entry ends (epoch seconds), or None."""
        ends = [tier.next_expiry for tier in (self.live, self.bulk)]
        return min((end for end in ends if end), default=0) / 1e9 or None

    def holding(self, address: IPAddress) -> list[ListEntry]:
        """Return the entries whose range holds an address."""
        hi, lo = split(address)
        ids = self.live.holding(hi, lo) + self.bulk.holding(hi, lo)
        return [self.entries[one] for one in ids]

    def covering(self, list: str, network: str) -> list[ListEntry]:
        """Return the entries of a list that hold the whole network, narrowest first."""
        inner = ipaddress.ip_network(network)
        outer = [
            (ipaddress.ip_network(entry.network), entry)
            for entry in self.holding(inner.network_address)
            if entry.list == list
        ]
        holding = [
            (-parsed.prefixlen, entry.id, entry)
            for parsed, entry in outer
            if parsed.version == inner.version and parsed.prefixlen <= inner.prefixlen
        ]
        return [entry for _, _, entry in sorted(holding, key=lambda row: row[:2])]

    def _keep(self, entry: ListEntry) -> None:
        self.entries[entry.id] = entry
        self._keys[_key(entry)] = entry.id
        self.responses += entry.source.startswith("response:")

    def _look(self) -> None:
        self.view = View(
            management=self.managed,
            allow=(self.live.allows, self.bulk.allows),
            deny=(self.live.denies, self.bulk.denies),
        )


def _key(entry: ListEntry) -> tuple[str, str, str, str]:
    return entry.list, entry.network, entry.scope, entry.source


def _changed(
    tier: Tier, removed: Sequence[ListEntry], added: Sequence[ListEntry], *, bulk: bool
) -> Tier:
    gone = [entry.id for entry in removed if is_bulk(entry.source) == bulk]
    new = [entry for entry in added if is_bulk(entry.source) == bulk]
    if not gone and not new:
        return tier
    return tier.changed(
        gone, [entry.id for entry in new], [entry.list == "deny" for entry in new], ranges(new)
    )
