"""The lists in memory: entries by id and by key, ranges by tier, and the view that answers. No I/O.

A change is prepared (`tiers`, which may take long for a feed and touches nothing) and then applied
at once, so that no task ever sees it half done.
"""

# ruff: noqa: A002 ("list" is the vocabulary's word for allow and deny, also as an argument)

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipwatchd.lists.compile import merge, nanoseconds, network_ranges
from ipwatchd.lists.match import View
from ipwatchd.lists.rows import ranges
from ipwatchd.lists.tier import Tier, is_bulk
from ipwatchd.records.address import join, split
from ipwatchd.records.network import canonical, is_selector
from ipwatchd.records.policy import empty_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from ipwatchd.records.address import IPAddress
    from ipwatchd.records.entry import ListEntry

    Tiers = tuple[Tier, Tier, dict[str, Tier]]

__all__ = ["Memory"]


class Memory:
    """What the store holds, ready to be asked."""

    def __init__(self, entries: Sequence[ListEntry], spans: NDArray[np.void]) -> None:
        self.bindings: dict[str, NDArray[np.void]] = {}
        """What selectors stand for now, ranges in any order."""
        self.selected: dict[int, ListEntry] = {}
        """The entries that are selectors."""
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
        # Selectors stand for nobody until they are bound.
        plain = np.array(
            [entry.scope == "site" and entry.id not in self.selected for entry in entries], np.bool_
        )
        self.scoped: dict[str, Tier] = {}
        """The entries of one service alone, by its name."""
        ids, deny, bulk, spans = ids[plain], deny[plain], bulk[plain], spans[plain]
        self.live = Tier(ids[~bulk], deny[~bulk], spans[~bulk])
        self.bulk = Tier(ids[bulk], deny[bulk], spans[bulk])
        self.view: View
        self._look()
        own = [entry for entry in entries if entry.scope != "site"]
        self.apply(self.tiers([], own), [], [])

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
        site = [
            [one for one in some if one.scope == "site" and is_bulk(one.source) == bulk]
            for bulk in (False, True)
            for some in (removed, added)
        ]
        scoped = dict(self.scoped)
        for scope in {one.scope for one in (*removed, *added)} - {"site"}:
            scoped[scope] = self._changed(
                scoped.get(scope) or _empty(),
                [one for one in removed if one.scope == scope],
                [one for one in added if one.scope == scope],
            )
        return self._changed(self.live, *site[:2]), self._changed(self.bulk, *site[2:]), scoped

    def apply(self, tiers: Tiers, removed: Iterable[ListEntry], added: Iterable[ListEntry]) -> None:
        """Bring memory to what was committed."""
        self.live, self.bulk, self.scoped = tiers
        for entry in removed:
            del self.entries[entry.id], self._keys[_key(entry)]
            self.selected.pop(entry.id, None)
            self.responses -= entry.source.startswith("response:")
        for entry in added:
            self._keep(entry)
        self._look()

    def may_be_allowed(self, network: str) -> bool:
        """Tell quickly whether an allow entry may hold this network's first address."""
        if is_selector(network):
            return False
        [(hi, lo, *_)] = network_ranges([network]).tolist()
        one = np.array([hi], np.uint64), np.array([lo], np.uint64)
        return bool(self.live.allows(*one)[0] or self.bulk.allows(*one)[0])

    def ended(self, now: float) -> list[ListEntry]:
        """Return the entries whose end has come."""
        moment = nanoseconds(now)
        ids = [one for tier in self._all() for one in tier.ended(moment)]
        # A selector that is bound to nobody ends as well.
        ids += [one.id for one in self.selected.values() if 0 < nanoseconds(one.expires) <= moment]
        return [self.entries[one] for one in dict.fromkeys(ids)]

    def _all(self) -> tuple[Tier, ...]:
        return self.live, self.bulk, *self.scoped.values()

    def next_expiry(self) -> float | None:
        """Return when the next entry ends (epoch seconds), or None."""
        ends = [tier.next_expiry for tier in self._all()]
        return min((end for end in ends if end), default=0) / 1e9 or None

    def holding(self, address: IPAddress, scope: str = "site") -> list[ListEntry]:
        """Return the entries of the site, or of a service alone, whose range holds an address."""
        hi, lo = split(address)
        if scope != "site":
            ids = self.scoped[scope].holding(hi, lo) if scope in self.scoped else []
        else:
            ids = self.live.holding(hi, lo) + self.bulk.holding(hi, lo)
        return [self.entries[one] for one in dict.fromkeys(ids)]

    def covering(self, list: str, network: str, scope: str = "site") -> list[ListEntry]:
        """Return the entries of a list that hold the whole network, narrowest first."""
        if is_selector(network):
            return [one for one in self.selected.values()
                    if (one.network, one.list, one.scope) == (network, list, scope)]  # fmt: skip
        [inner] = network_ranges([network]).tolist()
        holding = []
        for entry in self.holding(join(inner[0], inner[1]), scope):
            if entry.list != list or is_selector(entry.network):
                continue
            [outer] = network_ranges([entry.network]).tolist()
            if outer[2:4] >= inner[2:4]:
                size = (outer[2] - outer[0] << 64) + outer[3] - outer[1]
                holding.append((size, entry.id, entry))
        return [entry for _, _, entry in sorted(holding, key=lambda row: row[:2])]

    def _changed(self, tier: Tier, removed: Sequence[ListEntry], new: Sequence[ListEntry]) -> Tier:
        gone = [entry.id for entry in removed]
        if not gone and not new:
            return tier
        plain = [entry for entry in new if not is_selector(entry.network)]
        ids = [entry.id for entry in plain]
        deny = [entry.list == "deny" for entry in plain]
        parts = [ranges(plain)]
        for entry in new:
            if is_selector(entry.network):
                bound = self.bindings.get(entry.network, empty_ranges()).copy()
                bound["expires"] = nanoseconds(entry.expires)
                parts.append(bound)
                ids += [entry.id] * len(bound)
                deny += [entry.list == "deny"] * len(bound)
        return tier.changed(gone, ids, deny, np.concatenate(parts))

    def _keep(self, entry: ListEntry) -> None:
        self.entries[entry.id] = entry
        self._keys[_key(entry)] = entry.id
        if is_selector(entry.network):
            self.selected[entry.id] = entry
        self.responses += entry.source.startswith("response:")

    def _look(self) -> None:
        self.view = View(
            management=self.managed,
            allow=(self.live.allows, self.bulk.allows),
            deny=(self.live.denies, self.bulk.denies),
        )


def _key(entry: ListEntry) -> tuple[str, str, str, str]:
    return entry.list, entry.network, entry.scope, entry.source


def _empty() -> Tier:
    return Tier(np.zeros(0, np.int64), np.zeros(0, np.bool_), empty_ranges())
