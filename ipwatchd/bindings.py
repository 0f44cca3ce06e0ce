"""Which addresses the selectors of the lists stand for: countries, operators, names, agents."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Final

from ipwatchd.enrich.evidence import agent_name
from ipwatchd.lists.compile import merge, network_ranges
from ipwatchd.records.network import is_selector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.enrich.presence import Presence
    from ipwatchd.stores import Stores

__all__ = ["Bindings"]

_REFRESH: Final = 10.0
"""Names and agents move; so often it is looked where to."""
_SEEN: Final = 86_400.0
"""A login older than this binds an address no more, nor does an answer of DNS, whatever its TTL."""
_SHORTEST: Final = 300.0
"""An address stays bound so long whatever its TTL: programs go on with what they were told."""
_MOST: Final = 1000
"""Addresses of one name or agent: whoever answers DNS can name addresses without end."""


class Bindings:
    """Asks geo files and history, and tells the lists."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._geo: tuple[object, ...] = ()
        self._fixed: dict[str, NDArray[np.void]] = {}
        self._looked = 0.0
        self._here: tuple[float, dict[str, list[str]]] = (-1.0, {})
        """When it was looked last who is where, and who is."""

    async def stands_for(self, network: str, now: float) -> NDArray[np.void]:
        """Return the addresses of a network, a range or a selector (canonical) as they are now."""
        if not is_selector(network):
            return network_ranges([network])
        key, _, word = network.partition(":")
        if key in {"country", "asn"}:
            return await asyncio.to_thread(self._networks, key, word)
        return await self._moving(key, word, now)

    async def refresh(self, now: float) -> bool:
        """Bind what is new, has moved or came with another file; tell whether that is news."""
        wanted = self._stores.lists.selectors()
        if not wanted:
            return False
        version = self._stores.enricher.geo_version()
        if version != self._geo:
            self._geo, self._fixed = version, {}
        found: dict[str, NDArray[np.void]] = {}
        for selector in sorted(wanted):
            key, _, word = selector.partition(":")
            if key in {"country", "asn"}:
                if selector not in self._fixed:
                    self._fixed[selector] = await asyncio.to_thread(self._networks, key, word)
                found[selector] = self._fixed[selector]
            else:
                found[selector] = await self._moving(key, word, now)
        self._looked = now
        return await self._stores.lists.bind(found)

    async def tick(self, now: float) -> bool:
        """Refresh where it is time."""
        return abs(now - self._looked) >= _REFRESH and await self.refresh(now)

    def _networks(self, key: str, word: str) -> NDArray[np.void]:
        return merge(network_ranges(self._stores.enricher.networks(key, word)))

    def _whereabouts(self, presence: Presence, now: float) -> dict[str, list[str]]:
        """Return addresses by agent; maria@ACME.EXAMPLE and extension 204 are both maria."""
        if self._here[0] != now:
            found: dict[str, list[str]] = {}
            for one in presence.now(now):
                found.setdefault(agent_name(one.agent), []).append(one.address)
            self._here = now, found
        return self._here[1]

    async def _moving(self, key: str, word: str, now: float) -> NDArray[np.void]:
        history = self._stores.history
        if key == "name":
            answers = await history.answers_of(word, now - _SEEN, _MOST)
            addresses = [*dict.fromkeys(
                address for address, ts, ttl in answers if now < ts + max(ttl, _SHORTEST)
            )][:_MOST]  # fmt: skip
        else:
            addresses = await history.addresses_of(key, word, now - _SEEN, _MOST)
            if presence := self._stores.presence:
                here = self._whereabouts(presence, now).get(agent_name(word), [])
                addresses = [*dict.fromkeys([*here, *addresses])][:_MOST]
                # What was handed on to somebody else is theirs, whoever is denied.
                addresses = [
                    one for one in addresses if not presence.handed_on(one.partition("/")[0], word)
                ]
        return merge(network_ranges(ipaddress.ip_network(one) for one in addresses))
