"""Addresses → zones, whole columns at once, and the direction of a flow from its zones.

The zones of the configuration, longest prefix first, and two that are implied: `internet` is
everything in no named zone; `link` is what never leaves a wire (unspecified, loopback, link-local,
multicast, limited broadcast) and counts as inside, so that mDNS is no upload to the internet.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.records.address import IPNetwork, network_range, split
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["INTERNET", "LINK", "Zones"]

INTERNET: Final = "internet"
LINK: Final = "link"
_LINK_NETWORKS: Final = (
    "0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
    "::/128", "::1/128", "fe80::/10", "ff00::/8",
)  # fmt: skip
_V4: Final = ipaddress.ip_network("::ffff:0:0/96")
_END: Final = 1 << 128
# direction[orig inside][resp inside]
_DIRECTION: Final = np.array(
    [[Direction.TRANSIT, Direction.INCOMING], [Direction.OUTGOING, Direction.INTERNAL]], np.uint8
)


class Zones:
    """A compiled set of zones. Raises ValueError where a network is none or in two zones."""

    def __init__(self, zones: Mapping[str, Sequence[str]]) -> None:
        self.names: tuple[str, ...] = tuple(dict.fromkeys((*zones, INTERNET, LINK)))
        self._outside = self.names.index(INTERNET)
        starts, owners = _segments(_owned(zones, self.names), self._outside)
        self._starts, self._owners = starts, owners
        self._hi = np.array([start >> 64 for start in starts], np.uint64)
        self._lo = np.array([start & (1 << 64) - 1 for start in starts], np.uint64)
        self._owner = np.array(owners, np.uint16)
        # Upper halves that segments begin within: their lower halves decide. The IPv4 space is one.
        self._split = np.unique(self._hi[self._lo != 0])

    def of(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.uint16]:
        """Return each address's zone as an index into `names`."""
        place = np.searchsorted(self._hi, hi, side="right") - 1
        for value in self._split:
            rows = np.flatnonzero(hi == value)
            if len(rows):
                first, end = np.searchsorted(self._hi, [value, value + np.uint64(1)])
                within = np.searchsorted(self._lo[first:end], lo[rows], side="right")
                place[rows] = first + within - 1
        return self._owner[place]

    def of_one(self, address: str) -> str:
        """Return the name of one address's zone; ValueError where it is no address."""
        hi, lo = split(address)
        return self.names[self._owners[bisect_right(self._starts, hi << 64 | lo) - 1]]

    def flows(self, flows: NDArray[np.void]) -> None:
        """Fill orig_zone, resp_zone and direction of flows (records.flow) in place."""
        orig = self.of(flows["orig_hi"], flows["orig_lo"])
        resp = self.of(flows["resp_hi"], flows["resp_lo"])
        flows["orig_zone"], flows["resp_zone"] = orig, resp
        inside = np.ones(len(self.names), np.intp)
        inside[self._outside] = 0
        flows["direction"] = _DIRECTION[inside[orig], inside[resp]]


def _owned(zones: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[tuple[int, int], int]:
    """Return (first, last) of every network and its zone; named networks win over implied ones."""
    owned: dict[tuple[int, int], int] = {}
    for name, networks in zones.items():
        for network in networks:
            span = _span(_network(name, network))
            other = owned.setdefault(span, names.index(name))
            if names[other] != name:
                raise ValueError(
                    f"zones: {network} is in {names[other]} and in {name}: leave it in one of them"
                )
    # An IPv6 network that holds the mapped space (::/0) says nothing of IPv4.
    owned.setdefault(_span(_V4), names.index(INTERNET))
    for network in _LINK_NETWORKS:
        owned.setdefault(_span(ipaddress.ip_network(network)), names.index(LINK))
    return owned


def _network(zone: str, text: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"zones.{zone}: {text!r} is no network: write 10.20.0.0/16 or 2001:db8::/32"
        ) from None


def _span(network: IPNetwork) -> tuple[int, int]:
    (first_hi, first_lo), (last_hi, last_lo) = network_range(network)
    return first_hi << 64 | first_lo, last_hi << 64 | last_lo


def _segments(owned: Mapping[tuple[int, int], int], outside: int) -> tuple[list[int], list[int]]:
    """Return where the owner changes, and to whom: networks nest, so a stack holds the open ones.

    The first segment starts at 0; every one reaches to the next.
    """
    starts, owners = [0], [outside]
    for start, owner in _changes(owned, outside):
        if start == starts[-1]:
            owners[-1] = owner
        elif owner != owners[-1]:
            starts.append(start)
            owners.append(owner)
    return starts, owners


def _changes(owned: Mapping[tuple[int, int], int], outside: int) -> Iterator[tuple[int, int]]:
    stack: list[tuple[int, int]] = [(_END, outside)]
    for (first, last), owner in _outermost_first(owned):
        yield from _closed(stack, first)
        yield first, owner
        stack.append((last, owner))
    yield from _closed(stack, _END)


def _outermost_first(
    owned: Mapping[tuple[int, int], int],
) -> Iterable[tuple[tuple[int, int], int]]:
    return sorted(owned.items(), key=lambda item: (item[0][0], -item[0][1]))


def _closed(stack: list[tuple[int, int]], before: int) -> Iterator[tuple[int, int]]:
    """Pop what ends before an address; after each the one around it goes on."""
    while stack[-1][0] < before:
        last, _ = stack.pop()
        if last + 1 < _END:
            yield last + 1, stack[-1][1]
