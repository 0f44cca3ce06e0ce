"""Compiled ranges against a naive reference made with ipaddress."""

from __future__ import annotations

import ipaddress
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.lists.compile import (
    merge,
    nanoseconds,
    network_ranges,
    overlaps,
)
from ipwatchd.lists.match import Matcher
from ipwatchd.lists.tier import Tier
from ipwatchd.records.address import address_array, join
from ipwatchd.records.policy import contains, empty_ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Few bits vary, so that networks nest, touch and repeat; the wide ones reach over both families.
FOUR = st.builds(
    lambda bits, length: ipaddress.IPv4Network((0xC6336400 | bits, length), strict=False),
    st.integers(0, 255),
    st.sampled_from([0, 8, 22, 24, 25, 26, 28, 30, 31, 32]),
)
SIX = st.builds(
    lambda top, bits, length: ipaddress.IPv6Network((top << 96 | bits, length), strict=False),
    st.sampled_from([0, 0x20010DB8, 0xFFFFFFFF]),
    st.integers(0, 255),
    st.sampled_from([0, 1, 16, 32, 64, 95, 120, 122, 126, 127, 128]),
)
ENTRIES = st.lists(st.tuples(st.one_of(FOUR, SIX), st.sampled_from([0, 0, 5, 10, 15])), max_size=25)
PROBES = (
    [f"198.51.100.{low}" for low in range(0, 256, 7)]
    + ["0.0.0.1", "255.255.255.255", "198.51.103.255", "198.0.0.0", "203.0.113.1"]
    + [f"2001:db8::{low:x}" for low in range(0, 256, 13)]
    + [
        "::",
        "::1",
        "::ff",
        "::fffe:ffff:ffff",
        "::1:0:0:0",
        "8000::",
        "ffff:ffff::",
        "2001:db8:1::",
    ]
    + ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
)


def compiled(entries: list[tuple[Network, int]]) -> NDArray[np.void]:
    """Return entries (network, end in seconds) merged."""
    parts = [network_ranges([network], nanoseconds(end)) for network, end in entries]
    return merge(np.concatenate([empty_ranges(), *parts]))


def numbers(ranges: NDArray[np.void]) -> list[tuple[int, int, int]]:
    """Return (first, last, expires) as whole numbers."""
    return [(a << 64 | b, c << 64 | d, end) for a, b, c, d, end in ranges.tolist()]


@given(ENTRIES)
@settings(max_examples=200, deadline=None)
def test_each_address_has_the_latest_expiry_over_it(entries: list[tuple[Network, int]]) -> None:
    """An address is in the ranges if a network holds it, and ends when the last of them does."""
    ranges = compiled(entries)
    found = numbers(ranges)
    probes = address_array(PROBES)
    inside = contains(ranges, probes["hi"], probes["lo"])
    assert (Matcher(ranges)(probes["hi"], probes["lo"]) == inside).all()
    for probe, (hi, lo), is_inside in zip(PROBES, probes.tolist(), inside, strict=True):
        ends = [end for network, end in entries if ipaddress.ip_address(probe) in network]
        assert is_inside == bool(ends), probe
        if ends:
            want = 0 if 0 in ends else nanoseconds(max(ends))
            [end] = [end for first, last, end in found if first <= hi << 64 | lo <= last]
            assert end == want, probe


@given(ENTRIES)
@settings(max_examples=200, deadline=None)
def test_ranges_are_sorted_disjoint_and_of_one_family(entries: list[tuple[Network, int]]) -> None:
    """No two ranges overlap, none that could be one are two, none holds both families."""
    found = numbers(compiled(entries))
    for (_, last, end), (first, _, next_end) in pairwise(found):
        assert last < first
        families = {join(*divmod(number, 1 << 64)).version for number in (last, first)}
        assert last + 1 < first or end != next_end or len(families) == 2
    for first, last, _ in found:
        assert first <= last
        ends = [join(*divmod(number, 1 << 64)).version for number in (first, last)]
        assert ends[0] == ends[1]
        assert not first < 0xFFFF << 32 < last, "reaches over the IPv4-mapped block"


@given(ENTRIES)
@settings(max_examples=100, deadline=None)
def test_merging_again_changes_nothing(entries: list[tuple[Network, int]]) -> None:
    """Merged ranges are merged: compiling tiers one by one and then together is the same."""
    once = compiled(entries)
    assert (merge(once) == once).all()
    half = len(entries) // 2
    parts = np.concatenate([compiled(entries[:half]), compiled(entries[half:])])
    assert numbers(merge(parts)) == numbers(once)


@given(ENTRIES, st.sampled_from([0.0, 5.0, 12.0]))
@settings(max_examples=100, deadline=None)
def test_expiry_before_and_after_merging_agree(
    entries: list[tuple[Network, int]], now: float
) -> None:
    """What has ended may be dropped before or after merging: the addresses are the same."""
    parts = [network_ranges([network], nanoseconds(end)) for network, end in entries]
    raw = np.concatenate([empty_ranges(), *parts])
    ids = np.arange(len(raw))
    tier = Tier(ids, np.ones(len(raw), np.bool_), raw)
    moment = nanoseconds(now)
    left = raw[(raw["expires"] == 0) | (raw["expires"] > moment)]
    assert numbers(merge(left)) == numbers(tier.standing("deny", moment))
    assert tier.ended(moment) == [one for one in ids.tolist() if 0 < raw["expires"][one] <= moment]


def test_a_list_of_which_nothing_ends_is_one_array() -> None:
    """Asked again before the next end the very same array comes back, and a part of it after."""
    deny = np.concatenate(
        [
            network_ranges(["203.0.113.0/25"], nanoseconds(10.0)),
            network_ranges(["203.0.113.128/25"], nanoseconds(20.0)),
        ]
    )
    tier = Tier(np.arange(2), np.ones(2, np.bool_), deny)
    assert tier.standing("deny", nanoseconds(9.0)) is tier.standing("deny", nanoseconds(1.0))
    assert tier.standing("deny", nanoseconds(10.0))["expires"].tolist() == [nanoseconds(20.0)]
    assert not len(tier.standing("allow", 0))


@given(st.lists(st.one_of(FOUR, SIX), max_size=8), st.one_of(FOUR, SIX))
@settings(max_examples=150, deadline=None)
def test_overlaps_is_what_ipaddress_says(networks: list[Network], other: Network) -> None:
    """Two networks touch if they are of one family and one holds the other."""
    got = overlaps(network_ranges(networks), network_ranges([other]))
    # The reference has no IPv4-mapped block: leave out IPv6 networks that lie over it.
    for network, touched in zip(networks, got.tolist(), strict=True):
        if network.version == other.version:
            assert touched == network.overlaps(other)  # type: ignore[arg-type]
