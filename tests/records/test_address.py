"""Addresses in two halves: one order for both families, each family its own networks."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from ipwatchd.records.address import (
    address_array,
    address_texts,
    is_v4,
    join,
    network_parts,
    split,
)

_v4 = st.ip_addresses(v=4)
_v6 = st.ip_addresses(v=6)
_networks = st.one_of(
    st.builds(lambda a, n: ipaddress.ip_network((a, n), strict=False), _v4, st.integers(0, 32)),
    st.builds(lambda a, n: ipaddress.ip_network((a, n), strict=False), _v6, st.integers(0, 128)),
    st.builds(
        lambda n: ipaddress.ip_network((int(ipaddress.IPv6Address("::ffff:0:0")), n), strict=False),
        st.integers(0, 95),
    ),
)


@given(st.one_of(_v4, _v6.filter(lambda a: a.ipv4_mapped is None)))
def test_halves_and_back(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """An address survives being split."""
    assert join(*split(address)) == address
    one = address_array([address])
    assert address_texts(one["hi"], one["lo"]) == [str(address)]
    assert bool(is_v4(one["hi"], one["lo"])[0]) == (address.version == 4)


@given(_networks, st.one_of(_v4, _v6.filter(lambda a: a.ipv4_mapped is None)))
def test_parts_hold_what_the_network_holds(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """An address lies in a part exactly where it lies in the network; ::/0 holds no IPv4."""
    halves = split(address)
    inside = any(first <= halves <= last for first, last in network_parts(network))
    assert inside == (address in network)


@given(_networks)
def test_parts_are_whole_halves_or_within_one(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> None:
    """A part stays in one high half, or spans whole ones: that is what SQL compares."""
    for first, last in network_parts(network):
        assert first <= last
        assert first[0] == last[0] or (first[1] == 0 and last[1] == (1 << 64) - 1)
