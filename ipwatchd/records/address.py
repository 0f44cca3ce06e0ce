"""IP addresses in batches: two unsigned 64-bit halves, IPv4 mapped into IPv6 (RFC 4291, 2.5.5.2).

Every address of either family is the 128-bit number `hi << 64 | lo`. IPv4 a.b.c.d is
`::ffff:a.b.c.d`: hi is 0 and lo is `0xffff_0000_0000 | a.b.c.d`. One sort order, one width.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = [
    "ADDRESS",
    "V4_PREFIX",
    "IPAddress",
    "IPNetwork",
    "address_array",
    "address_text",
    "address_texts",
    "is_v4",
    "join",
    "network_parts",
    "network_range",
    "split",
    "unique_addresses",
]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

ADDRESS: Final = np.dtype([("hi", "<u8"), ("lo", "<u8")])
V4_PREFIX: Final = 0xFFFF_0000_0000
_Range = tuple[tuple[int, int], tuple[int, int]]
_LOW: Final = (1 << 64) - 1
_V4_LOW: Final = (1 << 32) - 1


def split(address: str | IPAddress) -> tuple[int, int]:
    """Return the two 64-bit halves of an address; a scope id is dropped.

    Raises ValueError where the text is no address.
    """
    if isinstance(address, str):
        address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return 0, V4_PREFIX | int(address)
    number = int(address)
    return number >> 64, number & _LOW


def join(hi: int, lo: int) -> IPAddress:
    """Return the address of two halves, IPv4 where it is a mapped one."""
    if hi == 0 and lo >> 32 == V4_PREFIX >> 32:
        return ipaddress.IPv4Address(lo & _V4_LOW)
    return ipaddress.IPv6Address(hi << 64 | lo)


def address_text(hi: int, lo: int) -> str:
    """Return an address as people write it (RFC 5952 for IPv6)."""
    return str(join(hi, lo))


def address_texts(hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> list[str]:
    """Return a column of addresses as text; each distinct address is rendered once."""
    if not len(hi):
        return []
    distinct, places = unique_addresses(hi, lo)
    words = [
        address_text(h, low)
        for h, low in zip(distinct["hi"].tolist(), distinct["lo"].tolist(), strict=True)
    ]
    return [words[place] for place in places.tolist()]


def unique_addresses(
    hi: NDArray[np.uint64], lo: NDArray[np.uint64]
) -> tuple[NDArray[np.void], NDArray[np.intp]]:
    """Return the distinct addresses in order, dtype ADDRESS, and where each row found its own."""
    order = np.lexsort((lo, hi))
    high, low = hi[order], lo[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    places = np.empty(len(order), np.intp)
    places[order] = np.cumsum(first) - 1
    distinct = np.empty(int(first.sum()), ADDRESS)
    distinct["hi"], distinct["lo"] = high[first], low[first]
    return distinct, places


def address_array(addresses: Iterable[str | IPAddress]) -> NDArray[np.void]:
    """Return addresses as an array of dtype ADDRESS."""
    return np.array([split(address) for address in addresses], ADDRESS)


def is_v4(hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell which addresses are IPv4."""
    mapped: NDArray[np.bool_] = (hi == 0) & (lo >> np.uint64(32) == np.uint64(V4_PREFIX >> 32))
    return mapped


def network_range(network: IPNetwork) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first and the last address of a network, each as two halves."""
    return split(network.network_address), split(network.broadcast_address)


def network_parts(network: IPNetwork) -> list[_Range]:
    """Return the ranges of a network, within one high half or of whole high halves each.

    An IPv6 network that reaches over the IPv4-mapped block does so in name only: that block is
    IPv4's, and the ranges leave it out.
    """
    first, last = network_range(network)
    end = _LOW if last[0] else last[1]
    if network.version == 4 or first[0] or not first[1] <= V4_PREFIX <= end:
        return [(first, last)]
    parts = [(first, (0, V4_PREFIX - 1)), ((0, V4_PREFIX + _V4_LOW + 1), (0, end))]
    if last[0]:
        parts.append(((1, 0), last))
    return [part for part in parts if part[0] <= part[1]]
