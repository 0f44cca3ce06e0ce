"""Zones from the kernel's own addresses and routes, in a real namespace and by any table."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.enrich.surroundings import NAMES, Address, Around, Route, Surroundings, zones_of
from ipwatchd.enrich.zones import Zones
from ipwatchd.lab.netns import veth

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.lab.netns import Namespace

GATEWAY = Around(
    (
        Address("lo", "127.0.0.1", 8), Address("wan", "203.0.113.5", 30),
        Address("lan", "10.20.0.1", 16), Address("lan", "fe80::1", 64),
        Address("wg0", "10.8.0.1", 24),
        Address("docker0", "172.17.0.1", 16),
    ),
    (Route("lan", "10.30.0.0/24"), Route("wan", "198.51.100.0/24"), Route("wan", "0.0.0.0/0")),
    frozenset({"wan"}),
)  # fmt: skip


def place(around: Around, address: str) -> str:
    """Return the zone that an address is in."""
    zones = zones_of(around)
    return Zones({name: tuple(networks) for name, networks in zones.items()}).of_one(address)


def test_a_gateway() -> None:
    """Inside, tunnels, containers, ourselves and the world are told apart, and why."""
    assert {
        address: place(GATEWAY, address)
        for address in ("10.20.0.7", "10.30.0.7", "10.8.0.7", "172.17.0.2", "10.20.0.1",
                        "203.0.113.5", "203.0.113.6", "192.168.7.7", "8.8.8.8")
    } == {
        "10.20.0.7": "agents", "10.30.0.7": "agents", "10.8.0.7": "vpn", "172.17.0.2": "servers",
        "10.20.0.1": "gateway", "203.0.113.5": "gateway", "203.0.113.6": "internet",
        "192.168.7.7": "inside", "8.8.8.8": "internet",
    }  # fmt: skip
    zones = zones_of(GATEWAY)
    assert zones["agents"] == {"10.20.0.0/16": "network of lan", "10.30.0.0/24": "route by lan"}


def test_a_sensor_with_one_interface() -> None:
    """Where the only private network is that of the way out, it is the agents'."""
    sensor = Around((Address("eth0", "10.20.0.9", 24),), (), frozenset({"eth0"}))
    assert place(sensor, "10.20.0.7") == "agents"
    behind_nat = Around(
        (Address("eth0", "192.168.1.2", 24), Address("eth1", "10.20.0.1", 24)), (),
        frozenset({"eth0"}),
    )  # fmt: skip
    assert place(behind_nat, "192.168.1.7") == "uplink"
    assert place(behind_nat, "10.20.0.7") == "agents"


LINKS = st.sampled_from(["lo", "eth0", "eth1", "wg0", "docker0", "tun3"])


@given(
    st.lists(
        st.tuples(
            LINKS, st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 128)
        ),
        max_size=12,
    ),
    st.lists(st.tuples(LINKS, st.ip_addresses(v=4), st.integers(0, 32)), max_size=12),
    st.frozensets(LINKS),
)
@settings(max_examples=200, deadline=None)
def test_any_table(addresses: list[object], routes: list[object], uplinks: frozenset[str]) -> None:
    """Whatever the kernel holds gives zones that compile, each network in one, all named."""
    around = Around(
        tuple(
            Address(link, str(address), min(length, address.max_prefixlen))
            for link, address, length in addresses  # type: ignore[misc, attr-defined]
        ),
        tuple(
            Route(link, str(ipaddress.ip_network(f"{address}/{length}", strict=False)))
            for link, address, length in routes  # type: ignore[misc]
        ),
        uplinks,
    )
    zones = zones_of(around)
    assert tuple(zones) == NAMES
    Zones({name: tuple(networks) for name, networks in zones.items()})


def test_a_real_kernel(namespace: Callable[[str], Namespace]) -> None:
    """Addresses, routes and the way out are read, and a change is heard of."""
    gateway, lan, world = namespace("gw"), namespace("lan"), namespace("world")
    veth(gateway, "lan0", lan, "eth0")
    veth(gateway, "wan0", world, "eth0")
    lan.address("eth0", "10.20.0.7/24")
    world.address("eth0", "203.0.113.1/24")
    gateway.address("lan0", "10.20.0.1/24", "fd00:20::1/64")
    gateway.address("wan0", "203.0.113.5/24")
    gateway.route("default", "203.0.113.1")
    with gateway.inside():
        surroundings = Surroundings()
        try:
            around = surroundings.read()
            surroundings.changed()
            assert around.uplinks == {"wan0"}
            assert zones_of(around)["agents"] == {
                "10.20.0.0/24": "network of lan0", "fd00:20::/64": "network of lan0",
            }  # fmt: skip
            assert not surroundings.changed()
            gateway.route("10.77.0.0/16", "10.20.0.7")
            assert surroundings.changed()
            assert "10.77.0.0/16" in zones_of(surroundings.read())["agents"]
        finally:
            surroundings.close()
