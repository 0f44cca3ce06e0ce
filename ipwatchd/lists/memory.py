"""The lists in memory: entries by id and by key, ranges by tier, and the view that answers. No I/O.

A change is prepared (`tiers`, which may take long for a feed and touches nothing) and then applied
at once, so that no task ever sees it half done.
"""

# ruff: noqa: A002 ("list" is the vocabulary's word for allow and deny, also as an argument)

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
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
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ipwatchd.lists.blocks import Feed
    from ipwatchd.records.address import IPAddress
    from ipwatchd.records.entry import ListEntry

    Tiers = tuple[Tier, Tier, dict[str, Tier]]

__all__ = ["Memory"]


class Memory:
    """What the store holds, ready to be asked."""

    def __init__(
        self, entries: Sequence[ListEntry], spans: NDArray[np.void],
        feeds: Mapping[str, Feed] | None = None,
    ) -> None:  # fmt: skip
        self.bindings: dict[str, NDArray[np.void]] = {}
        """What selectors stand for now, ranges in any order."""
        self.selected: dict[int, ListEntry] = {}
        """The entries that are selectors."""
        self.entries: dict[int, ListEntry] = {}
        """Those that come line by line; what feeds say is in `feeds`."""
        self.feeds: dict[str, Feed] = {}
        self._starts: list[int] = []
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
        self.apply_feeds(dict(feeds or {}), self.bulk_with(feeds or {}))
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

    def bulk_with(self, feeds: Mapping[str, Feed]) -> Tier:
        """Return what bulk will be with these feeds; changes nothing.

        Row n of all feeds in order has the id -1 - n.
        """
        old = self.bulk
        own = old.ids >= 0
        sizes = [len(feed.block) for feed in feeds.values()]
        deny = np.repeat([feed.list == "deny" for feed in feeds.values()], sizes)
        return Tier(
            np.concatenate([old.ids[own], -1 - np.arange(sum(sizes))]),
            np.concatenate([old.is_deny[own], deny.astype(np.bool_)]),
            np.concatenate([old.ranges[own], *(feed.block.ranges for feed in feeds.values())]),
        )

    def apply_feeds(self, feeds: dict[str, Feed], bulk: Tier) -> None:
        """Bring memory to what was committed of feeds."""
        self.feeds, self.bulk = feeds, bulk
        self._starts = [0, *accumulate(len(feed.block) for feed in feeds.values())]
        self._look()

    def _row(self, number: int) -> tuple[str, int]:
        """Return the feed and its row of an id below 0."""
        place = -1 - number
        feed = bisect_right(self._starts, place) - 1
        return [*self.feeds][feed], place - self._starts[feed]

    def _entry(self, number: int) -> ListEntry:
        if number >= 0:
            return self.entries[number]
        source, row = self._row(number)
        return self.feeds[source].block.entry(row, source, self.feeds[source].list)

    def __len__(self) -> int:
        return len(self.entries) + self._starts[-1]

    def all(self, *, feeds: bool = True) -> Iterator[ListEntry]:
        """Yield every entry: those that come line by line by number, then the feeds' by address."""
        yield from sorted(self.entries.values(), key=lambda entry: entry.id)
        for source, feed in self.feeds.items() if feeds else ():
            yield from feed.block.entries(source, feed.list)

    def may_be_allowed(self, network: str) -> bool:
        """Tell quickly whether an allow entry may hold this network's first address."""
        if is_selector(network):
            return False
        [(hi, lo, *_)] = network_ranges([network]).tolist()
        one = np.array([hi], np.uint64), np.array([lo], np.uint64)
        return bool(self.live.allows(*one)[0] or self.bulk.allows(*one)[0])

    def ended(self, now: float) -> tuple[list[ListEntry], dict[str, NDArray[np.bool_]]]:
        """Return the entries whose end has come, and of feeds which of their rows."""
        moment = nanoseconds(now)
        ids = [one for tier in self._all() for one in tier.ended(moment)]
        # A selector that is bound to nobody ends as well.
        ids += [one.id for one in self.selected.values() if 0 < nanoseconds(one.expires) <= moment]
        rows: dict[str, NDArray[np.bool_]] = {}
        if any(one < 0 for one in ids):
            for source, feed in self.feeds.items():
                expires = feed.block.ranges["expires"]
                over = (expires > 0) & (expires <= moment)
                if over.any():
                    rows[source] = over
        return [self.entries[one] for one in dict.fromkeys(ids) if one >= 0], rows

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
        return [self._entry(one) for one in dict.fromkeys(ids)]

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

    def compiled(self, entries: Sequence[ListEntry]) -> Tier:
        """Return what some entries alone come to."""
        return self._changed(_empty(), [], entries)

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
