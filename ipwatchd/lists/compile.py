"""Lists → what the firewall and the detectors need: sorted, disjoint ranges of both families.

Pure. Where entries overlap the later expiry wins on the overlap (never beats every date), so that
no entry ends before its own time because of another.
"""

from __future__ import annotations

import ipaddress
import socket
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.records.address import V4_PREFIX, network_range, split
from ipwatchd.records.policy import RANGE, empty_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ipwatchd.records.address import IPNetwork

__all__ = ["merge", "nanoseconds", "network_ranges", "overlaps"]

_LENGTHS: Final = frozenset(map(str, range(33)))
_NEVER: Final = np.iinfo(np.int64).max
_MASK: Final = (1 << 64) - 1
_V4_FIRST: Final = np.uint64(V4_PREFIX)
_V4_LAST: Final = np.uint64(V4_PREFIX | 0xFFFF_FFFF)


def nanoseconds(seconds: float) -> int:
    """Return epoch seconds as whole nanoseconds."""
    return round(seconds * 1e9)


def network_ranges(networks: Iterable[str | IPNetwork], expires: int = 0) -> NDArray[np.void]:
    """Return networks as ranges (dtype RANGE) in the order given, overlaps and all.

    Raises ValueError where a text is no network.
    """
    ends = [
        _v4_ends(network) or _range_ends(network) or network_range(ipaddress.ip_network(network))
        for network in networks
    ]
    return np.array([(*first, *last, expires) for first, last in ends], RANGE)


def _v4_ends(network: str | IPNetwork) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return what network_range does of a canonical IPv4 network at a tenth of ipaddress' cost."""
    text, _, length = str(network).partition("/")
    try:
        number = int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except OSError:
        return None
    hosts = (1 << 32 - int(length)) - 1 if length in _LENGTHS else -1
    if hosts < 0 or number & hosts:
        return None
    return (0, V4_PREFIX | number), (0, V4_PREFIX | number | hosts)


def _range_ends(network: str | IPNetwork) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the ends of first-last."""
    if not isinstance(network, str) or "-" not in network:
        return None
    first, _, last = network.partition("-")
    return split(first), split(last)


def merge(ranges: NDArray[np.void]) -> NDArray[np.void]:
    """Return ranges sorted, disjoint and joined where they touch and end together.

    A range never holds addresses of both families: IPv6 ranges leave ::ffff:0:0/96 out.
    """
    if not len(ranges):
        return empty_ranges()
    ranges = _one_family(ranges)
    first, last = _ranks(ranges)
    order = np.lexsort((last, first))
    ranges, first, last = ranges[order], first[order], last[order]
    reach = np.maximum.accumulate(last)
    starts = np.flatnonzero(np.concatenate([[True], first[1:] > reach[:-1]]))
    ends = np.append(starts[1:], len(ranges)) - 1
    expiry = np.where(ranges["expires"] == 0, _NEVER, ranges["expires"])
    soonest = np.minimum.reduceat(expiry, starts)
    latest = np.maximum.reduceat(expiry, starts)
    plain = soonest == latest
    # Of a cluster that ends at one time only the outline matters.
    outline = ranges[starts[plain]]
    farthest = _farthest(last, starts, ends)[plain]
    outline["last_hi"] = ranges["last_hi"][farthest]
    outline["last_lo"] = ranges["last_lo"][farthest]
    pieces = [outline]
    for start, end in zip(starts[~plain].tolist(), ends[~plain].tolist(), strict=True):
        pieces.append(_sweep(_numbers(ranges[start : end + 1], expiry[start : end + 1])))
    merged = np.concatenate(pieces)
    return _join(merged[np.lexsort((merged["first_lo"], merged["first_hi"]))])


def overlaps(ranges: NDArray[np.void], others: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell which of `ranges` share an address with any of `others` (few: compared one by one)."""
    touched = np.zeros(len(ranges), np.bool_)
    for other in _one_family(others).tolist():
        first_hi, first_lo, last_hi, last_lo = (np.uint64(part) for part in other[:4])
        begins = (ranges["first_hi"] < last_hi) | (
            (ranges["first_hi"] == last_hi) & (ranges["first_lo"] <= last_lo)
        )
        ends = (ranges["last_hi"] > first_hi) | (
            (ranges["last_hi"] == first_hi) & (ranges["last_lo"] >= first_lo)
        )
        touched |= begins & ends
    return touched


def _one_family(ranges: NDArray[np.void]) -> NDArray[np.void]:
    """Split ranges that reach over the IPv4-mapped block, which is IPv4's own, around it."""
    before = (ranges["first_hi"] == 0) & (ranges["first_lo"] < _V4_FIRST)
    after = (ranges["last_hi"] > 0) | (ranges["last_lo"] > _V4_LAST)
    wide = before & after
    if not wide.any():
        return ranges
    low, high = ranges[wide], ranges[wide]
    low["last_hi"], low["last_lo"] = 0, _V4_FIRST - np.uint64(1)
    high["first_hi"], high["first_lo"] = 0, _V4_LAST + np.uint64(1)
    return np.concatenate([ranges[~wide], low, high])


def _ranks(ranges: NDArray[np.void]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return dense ranks of first and last among all ends: 128-bit order in one integer."""
    high = np.concatenate([ranges["first_hi"], ranges["last_hi"]])
    low = np.concatenate([ranges["first_lo"], ranges["last_lo"]])
    order = np.lexsort((low, high))
    high, low = high[order], low[order]
    fresh = np.concatenate([[False], (high[1:] != high[:-1]) | (low[1:] != low[:-1])])
    rank = np.empty(len(order), np.intp)
    rank[order] = np.cumsum(fresh)
    return rank[: len(ranges)], rank[len(ranges) :]


def _farthest(
    last: NDArray[np.intp], starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Return for each cluster the index of the row that reaches farthest."""
    cluster = np.repeat(np.arange(len(starts)), ends - starts + 1)
    by_reach = np.lexsort((last, cluster))
    farthest: NDArray[np.intp] = by_reach[ends]
    return farthest


def _numbers(ranges: NDArray[np.void], expiry: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return (first, last, expiry) as Python's integers."""
    return [
        (first_hi << 64 | first_lo, last_hi << 64 | last_lo, end)
        for (first_hi, first_lo, last_hi, last_lo, _), end in zip(
            ranges.tolist(), expiry.tolist(), strict=True
        )
    ]


def _sweep(rows: list[tuple[int, int, int]]) -> NDArray[np.void]:
    """Cut one cluster (rows sorted by first) into pieces, each with the latest expiry over it."""
    pieces = []
    live: list[tuple[int, int]] = []
    place, taken = rows[0][0], 0
    while taken < len(rows) or live:
        while taken < len(rows) and rows[taken][0] <= place:
            _, last, end = rows[taken]
            heappush(live, (-end, last))
            taken += 1
        while live and live[0][1] < place:
            heappop(live)
        if not live:
            continue
        latest, stop = live[0]
        if taken < len(rows):
            stop = min(stop, rows[taken][0] - 1)
        expires = 0 if -latest == _NEVER else -latest
        pieces.append((place >> 64, place & _MASK, stop >> 64, stop & _MASK, expires))
        place = stop + 1
    return np.array(pieces, RANGE)


def _join(ranges: NDArray[np.void]) -> NDArray[np.void]:
    """Join sorted, disjoint ranges that touch, end together and are of one family."""
    before, after = ranges[:-1], ranges[1:]
    following = before["last_lo"] + np.uint64(1)
    carry = (following == 0).astype(np.uint64)
    touching = (after["first_lo"] == following) & (after["first_hi"] == before["last_hi"] + carry)
    into_v4 = (after["first_hi"] == 0) & (after["first_lo"] == _V4_FIRST)
    out_of_v4 = (before["last_hi"] == 0) & (before["last_lo"] == _V4_LAST)
    joined = touching & (before["expires"] == after["expires"]) & ~into_v4 & ~out_of_v4
    starts = np.flatnonzero(np.concatenate([[True], ~joined]))
    ends = np.append(starts[1:], len(ranges)) - 1
    result = ranges[starts]
    result["last_hi"], result["last_lo"] = ranges["last_hi"][ends], ranges["last_lo"][ends]
    return result
