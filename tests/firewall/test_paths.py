"""Every row of family, path and mode, by packets and by what `nft` lists."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.policy import Policy

FAMILIES = (4, 6)
Make = "Callable[..., Policy]"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_a_denied_address_on_every_path(
    site: Any, policy: Callable[..., Policy], family: int, mode: str
) -> None:
    """Input, forward and output, TCP, UDP and ICMP: only enforce drops, and another host passes."""
    outside, other = site.OUTSIDE[family], site.OTHER[family]
    gateway, inside = site.GATEWAY[family], site.INSIDE[family]
    passes = mode != "enforce"
    with site.firewall() as firewall:
        firewall.apply(policy(mode, [outside]), time.time())
        with (
            site.listener(site.gateway, gateway),
            site.listener(site.inside, inside),
            site.listener(site.outside, outside),
        ):
            for source, expected in ((outside, passes), (other, True)):
                found = {
                    "input": site.connects(site.outside, source, gateway),
                    "forward": site.connects(site.outside, source, inside),
                    "input udp": site.datagram(site.outside, source, site.gateway, gateway),
                    "forward udp": site.datagram(site.outside, source, site.inside, inside),
                    "output udp": site.datagram(site.gateway, gateway, site.outside, source),
                    "back udp": site.datagram(site.inside, inside, site.outside, source),
                    "input icmp": site.echo(site.outside, source, gateway),
                    "forward icmp": site.echo(site.outside, source, inside),
                }
                assert found == dict.fromkeys(found, expected), source
        status = firewall.status()
    assert status.mode == mode
    assert status.present == (mode != "off")
    seen = {one["name"]: one["packets"] for one in site.objects("counter")}
    if mode == "off":
        assert site.nft("list", "ruleset") == ""
        assert status.packets == 0
    else:
        assert seen[f"denied_source{family}"] > 0
        assert seen[f"denied_destination{family}"] > 0
        assert sum(seen.values()) == status.packets
        assert status.bytes > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_an_open_connection_dies_at_once(
    site: Any, policy: Callable[..., Policy], family: int
) -> None:
    """A connection that was open when its address got denied carries no byte more."""
    outside, inside = site.OUTSIDE[family], site.INSIDE[family]
    with site.firewall() as firewall, site.listener(site.inside, inside) as server:
        firewall.apply(policy("enforce"), time.time())
        client = site.tcp(site.outside, outside, inside)
        with client, server.accept()[0] as served:
            served.settimeout(0.3)
            client.sendall(b"before")
            assert served.recv(100) == b"before"
            firewall.apply(policy("enforce", [outside]), time.time())
            client.sendall(b"after")
            with pytest.raises(TimeoutError):
                served.recv(100)


@pytest.mark.parametrize("family", FAMILIES)
def test_management_is_never_locked_out(
    site: Any, policy: Callable[..., Policy], family: int
) -> None:
    """Deny management itself, the gateway and every server: management still reaches all of it."""
    admin, gateway, inside = site.OUTSIDE[family], site.GATEWAY[family], site.INSIDE[family]
    everything = "0.0.0.0/0" if family == 4 else "::/0"
    with (
        site.firewall() as firewall,
        site.listener(site.gateway, gateway),
        site.listener(site.inside, inside),
    ):
        firewall.apply(policy("enforce", [everything], (), [admin]), time.time())
        assert site.connects(site.outside, admin, gateway)
        assert site.connects(site.outside, admin, inside)
        assert not site.connects(site.outside, site.OTHER[family], gateway)
        assert not site.connects(site.outside, site.OTHER[family], inside)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_denied_does_not_reach_management(
    site: Any, policy: Callable[..., Policy], family: int
) -> None:
    """A denied host can't open a connection to a management host; answers to it do come back."""
    bad, managed = site.OUTSIDE[family], site.INSIDE[family]
    with (
        site.firewall() as firewall,
        site.listener(site.outside, bad),
        site.listener(site.inside, managed),
    ):
        firewall.apply(policy("enforce", [bad], (), [managed]), time.time())
        assert not site.connects(site.outside, bad, managed)
        assert site.connects(site.inside, managed, bad)


@pytest.mark.parametrize("family", FAMILIES)
def test_allow_beats_deny_for_that_address_alone(
    site: Any, policy: Callable[..., Policy], family: int
) -> None:
    """An allowed address in a denied network passes; to allow the LAN frees nobody else."""
    outside, other, inside = site.OUTSIDE[family], site.OTHER[family], site.INSIDE[family]
    network = "203.0.113.0/24" if family == 4 else "2001:db8:113::/64"
    lan = "10.0.0.0/24" if family == 4 else "2001:db8:10::/64"
    with site.firewall() as firewall, site.listener(site.inside, inside):
        firewall.apply(policy("enforce", [network], [outside, lan]), time.time())
        assert site.connects(site.outside, outside, inside)
        assert not site.connects(site.outside, other, inside)


def test_a_denied_link_still_finds_its_neighbours(site: Any, policy: Callable[..., Policy]) -> None:
    """With fe80::/10, ff00::/8 and the own prefix denied, IPv6 resolves its neighbours."""
    denied = ["fe80::/10", "ff00::/8", "2001:db8:113::/64"]
    allowed = [site.OTHER[6], site.GATEWAY[6]]
    with site.firewall() as firewall, site.listener(site.gateway, site.GATEWAY[6]):
        firewall.apply(policy("enforce", denied, allowed), time.time())
        site.gateway.run(["ip", "-6", "neigh", "flush", "dev", "wan"])
        site.outside.run(["ip", "-6", "neigh", "flush", "dev", "eth0"])
        assert site.connects(site.outside, site.OTHER[6], site.GATEWAY[6])
        site.outside.run(["ip", "-6", "neigh", "flush", "dev", "eth0"])
        assert not site.connects(site.outside, site.OUTSIDE[6], site.GATEWAY[6])
        resolved = site.outside.run(["ip", "-6", "neigh", "show", "dev", "eth0"]).stdout
    assert f"{site.GATEWAY[6]} lladdr" in resolved


def test_the_loopback_is_never_filtered(site: Any, policy: Callable[..., Policy]) -> None:
    """127.0.0.0/8, ::1 and everything else denied: the gateway still speaks to itself."""
    with (
        site.firewall() as firewall,
        site.listener(site.gateway, "127.0.0.1"),
        site.listener(site.gateway, "::1"),
    ):
        firewall.apply(policy("enforce", ["0.0.0.0/0", "::/0"]), time.time())
        assert site.connects(site.gateway, "127.0.0.1", "127.0.0.1")
        assert site.connects(site.gateway, "::1", "::1")
