"""Zones: longest prefix wins, both families, directions, the same answer as a slow look-up."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.enrich.zones import LINK, Zones
from ipwatchd.records.address import V4_PREFIX, address_array, split
from ipwatchd.records.flow import DIRECTIONS, empty_flows

SITE = {
    "agents": ["10.20.0.0/16", "2001:db8:20::/48"],
    "supervisors": ["10.20.5.0/24"],
    "door": ["10.20.5.7"],
    "servers": ["10.30.0.0/24", "2001:db8:20:30::1/128"],
}


def zone_names(zones: Zones, addresses: list[str]) -> list[str]:
    """Return the zone of each address, looked up as columns."""
    columns = address_array(addresses)
    return [zones.names[index] for index in zones.of(columns["hi"], columns["lo"])]


@pytest.mark.parametrize(
    ("address", "zone"),
    [
        ("10.20.0.0", "agents"),
        ("10.20.255.255", "agents"),
        ("10.21.0.0", "internet"),
        ("10.20.5.6", "supervisors"),
        ("10.20.5.7", "door"),
        ("10.20.5.8", "supervisors"),
        ("10.20.6.0", "agents"),
        ("::ffff:10.30.0.1", "servers"),
        ("2001:db8:20:30::", "agents"),
        ("2001:db8:20:30::1", "servers"),
        ("2001:db8:20:30::2", "agents"),
        ("2001:db8:21::", "internet"),
        ("224.0.0.251", LINK),
        ("255.255.255.255", LINK),
        ("fe80::1%eth0", LINK),
        ("::", LINK),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LINK),
        ("0.0.0.1", "internet"),
    ],
)
def test_the_most_specific_network_owns_the_address(address: str, zone: str) -> None:
    """Edges, nests and both families are right, one at a time and in columns."""
    zones = Zones(SITE)
    assert zones.of_one(address) == zone
    assert zone_names(zones, [address]) == [zone]


def test_ipv6_default_network_says_nothing_of_ipv4() -> None:
    """A zone ::/0 holds every IPv6 address and no IPv4 one; 0.0.0.0/0 the other way round."""
    zones = Zones({"six": ["::/0"]})
    assert zone_names(zones, ["2001:db8::1", "192.0.2.1"]) == ["six", "internet"]
    zones = Zones({"four": ["0.0.0.0/0"]})
    assert zone_names(zones, ["2001:db8::1", "192.0.2.1"]) == ["internet", "four"]


@pytest.mark.parametrize(
    ("zones", "words"),
    [
        ({"a": ["10.0.0.0/33"]}, "zones.a: '10.0.0.0/33' is no network"),
        ({"a": ["10.0.0.0/8"], "b": ["10.0.0.0/8"]}, "10.0.0.0/8 is in a and in b"),
    ],
)
def test_zones_that_make_no_sense(zones: dict[str, list[str]], words: str) -> None:
    """A bad network, or one in two zones, is refused by name."""
    with pytest.raises(ValueError, match=words):
        Zones(zones)


@pytest.mark.parametrize(
    ("orig", "resp", "direction"),
    [
        ("192.0.2.1", "10.30.0.1", "incoming"),
        ("10.20.0.1", "192.0.2.1", "outgoing"),
        ("10.20.0.1", "10.30.0.1", "internal"),
        ("10.20.0.1", "10.20.0.2", "internal"),
        ("192.0.2.1", "198.51.100.1", "transit"),
        ("10.20.0.1", "224.0.0.251", "internal"),
        ("2001:db8:20::1", "2001:db8::1", "outgoing"),
    ],
)
def test_direction(orig: str, resp: str, direction: str) -> None:
    """Who is inside decides which way a flow went."""
    flows = empty_flows(1)
    flows["orig_hi"], flows["orig_lo"] = split(orig)
    flows["resp_hi"], flows["resp_lo"] = split(resp)
    Zones(SITE).flows(flows)
    assert DIRECTIONS[flows["direction"][0]] == direction


def test_no_flows() -> None:
    """An empty batch stays one."""
    flows = empty_flows()
    Zones(SITE).flows(flows)
    assert len(flows) == 0


_network = st.one_of(
    st.tuples(st.integers(0, 255).map(lambda low: (10 << 24) + low), st.integers(24, 32)),
    st.tuples(st.integers(0, 255).map(lambda low: (0x20010DB8 << 96) + low), st.integers(120, 128)),
    st.tuples(
        st.integers(0, 3).map(lambda high: (0x20010DB8 << 96) + (high << 64)),
        st.integers(60, 70),
    ),
).map(lambda pair: str(ipaddress.ip_network(pair, strict=False)))


def slow(zones: dict[str, list[str]], address: str) -> str:
    """Return the zone by comparing with every network."""
    best, owner = -1, "internet"
    for name, networks in zones.items():
        for network in map(ipaddress.ip_network, networks):
            if ipaddress.ip_address(address) in network and network.prefixlen > best:
                best, owner = network.prefixlen, name
    return owner


@settings(max_examples=200, deadline=None)
@given(st.sets(_network, max_size=12), st.integers(1, 4), st.data())
def test_the_same_answer_as_comparing_with_every_network(
    networks: set[str], count: int, data: st.DataObject
) -> None:
    """The compiled segments answer as the definition does, at every edge of every network."""
    zones: dict[str, list[str]] = {f"z{number}": [] for number in range(count)}
    for network in sorted(networks):
        zones[f"z{data.draw(st.integers(0, count - 1))}"].append(network)
    probes = {"10.0.0.0", "2001:db8::", "2001:db8:0:1::"}
    for one in map(ipaddress.ip_network, networks):
        probes |= {str(one[0]), str(one[-1]), str(one[0] - 1), str(one[-1] + 1)}
    ordered = sorted(probes)
    assert zone_names(Zones(zones), ordered) == [slow(zones, probe) for probe in ordered]


def test_mixed_columns_keep_their_rows() -> None:
    """Rows of both families in one column get their own answers."""
    zones = Zones(SITE)
    hi = np.array([0, 0x20010DB800200000, 0], np.uint64)
    lo = np.array([V4_PREFIX | 0x0A140507, 5, V4_PREFIX | 0x08080808], np.uint64)
    assert [zones.names[index] for index in zones.of(hi, lo)] == ["door", "agents", "internet"]
