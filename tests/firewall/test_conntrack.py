"""Connections of denied addresses end in connection tracking; `conntrack -L` is the witness."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.firewall import kill
from ipwatchd.firewall.codec import MalformedError
from ipwatchd.firewall.conntrack import Entry, read_entry, selected

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.policy import Policy

    Make = Callable[..., Policy]


def tracked(site: Any, family: int) -> str:
    """Return what conntrack lists of a family."""
    kind = "ipv4" if family == 4 else "ipv6"
    listed: str = site.gateway.run(["conntrack", "-L", "-f", kind]).stdout
    return listed


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("wide", [False, True])
def test_a_new_deny_ends_its_connections_alone(
    site: Any, policy: Make, family: int, wide: bool
) -> None:
    """TCP and UDP entries of the denied are gone, those of others stay; by filter or by dump."""
    outside, other, inside = site.OUTSIDE[family], site.OTHER[family], site.INSIDE[family]
    with site.firewall() as firewall, site.listener(site.inside, inside):
        firewall.apply(policy("enforce", (), (), [site.GATEWAY_INSIDE[family]]), time.time())
        with site.tcp(site.outside, outside, inside), site.tcp(site.outside, other, inside):
            assert site.datagram(site.inside, inside, site.outside, outside)
            assert tracked(site, family).count(f"={outside} ") >= 4
            denied = f"{outside}/{31 if family == 4 else 127}" if wide else outside
            allowed = [other] if wide else []
            done = firewall.apply(
                policy("enforce", [denied], allowed, [site.GATEWAY_INSIDE[family]]), time.time()
            )
            assert done.killed == 2
            assert f"={outside} " not in tracked(site, family)
            assert f"src={other} " in tracked(site, family)


def test_a_translated_connection_is_found_from_both_sides(
    site: Any, policy: Make, ranges: Any
) -> None:
    """Behind a masquerade the entry is found by the inside and by the outside address."""
    site.nft("add table ip nat")
    site.nft("add chain ip nat post { type nat hook postrouting priority 100 ; }")
    site.nft("add rule ip nat post oifname wan masquerade")
    inside, outside, public = site.INSIDE[4], site.OUTSIDE[4], site.GATEWAY[4]
    with site.firewall(kill_connections=False) as firewall, site.listener(site.outside, outside):
        firewall.apply(policy("observe", (), (), ["192.0.2.1"]), time.time())
        for target in (inside, outside, public, "203.0.113.0/24", "10.0.0.0/8"):
            with site.tcp(site.inside, inside, outside):
                assert f"dst={public} " in tracked(site, 4)
                assert kill([ranges(target)]) == 1
                assert tracked(site, 4) == ""
            site.gateway.run(["conntrack", "-F"])


def test_the_spared_stay(site: Any, policy: Make, ranges: Any) -> None:
    """What management opened, and what only an allowed end hits, is left alone."""
    inside, outside = site.INSIDE[4], site.OUTSIDE[4]
    with site.firewall() as firewall, site.listener(site.outside, outside):
        firewall.apply(policy("observe", (), (), ["192.0.2.1"]), time.time())
        with site.tcp(site.inside, inside, outside):
            assert kill([ranges(outside)], management=ranges(inside)) == 0
            assert kill([ranges(outside)], allow=[ranges(outside)]) == 0
            assert kill([ranges("192.0.2.0/24")]) == 0
            assert kill([ranges("0.0.0.0/0")]) == 1


def test_observe_and_the_config_key_end_nothing(site: Any, policy: Make) -> None:
    """Observe changes nothing, and kill_connections = false leaves it to the drop rule."""
    outside, inside = site.OUTSIDE[4], site.INSIDE[4]
    for mode, key in (("observe", True), ("enforce", False)):
        with site.firewall(kill_connections=key) as firewall, site.listener(site.inside, inside):
            firewall.apply(policy(mode, (), (), [site.GATEWAY_INSIDE[4]]), time.time())
            with site.tcp(site.outside, outside, inside):
                done = firewall.apply(
                    policy(mode, [outside], (), [site.GATEWAY_INSIDE[4]]), time.time()
                )
                assert done.killed == 0
                assert f"src={outside} " in tracked(site, 4)
            firewall.remove()
        site.gateway.run(["conntrack", "-F"])


def test_selection_is_by_any_of_four_addresses(ranges: Any) -> None:
    """Each place of a tuple is looked at; no entries is no work."""
    denied, nothing = ranges("198.51.100.7"), ranges()
    plain = bytes([10, 0, 0, 1])
    bad = bytes([198, 51, 100, 7])
    for place in range(4):
        addresses = tuple(bad if place == n else plain for n in range(4))
        entry = Entry(2, addresses, b"")  # type: ignore[arg-type]  # four of them by construction
        assert selected([entry], [nothing, denied], [nothing], nothing) == [entry]
    assert selected([Entry(2, (plain,) * 4, b"")], [denied], [nothing], nothing) == []
    assert selected([], [denied], [], nothing) == []


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_a_hostile_entry_is_survived(data: bytes) -> None:
    """Any bytes are an entry, none, or malformed; never another error."""
    try:
        read_entry(memoryview(b"\2\0\0\0" + data))
    except MalformedError:
        return
