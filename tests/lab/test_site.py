"""The site is what it is drawn as."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ipwatchd.lab.site import HOSTS, named

from .conftest import wait_for_ping

if TYPE_CHECKING:
    from ipwatchd.lab.site import Site


def test_every_host_has_a_name_and_an_address_of_its_own() -> None:
    """Names are interface names too: at most 15 bytes."""
    assert len({host.name for host in HOSTS}) == len(HOSTS)
    assert all(len(host.name) <= 15 for host in HOSTS)
    addresses = [one for host in HOSTS for one in (host.ipv4, host.ipv6) if one]
    assert len(set(addresses)) == len(addresses)


def test_everyone_reaches_everyone(site: Site) -> None:
    """Agents reach the internet and the servers, the internet reaches in, over both families."""
    for who, to in (
        ("desk1", named("web").ipv4),
        ("desk1", named("web").ipv6),
        ("desk2", named("portal").ipv6),
        ("customer2", named("api").ipv4),
        ("scanner", named("portal").ipv4),
        ("admin", named("ssh").ipv4),
        ("centre", "198.51.100.2"),
    ):
        wait_for_ping(site, who, to)


@pytest.mark.parametrize(("who", "to"), [("customer2", "portal"), ("desk3", "web")])
def test_what_crosses_the_border_passes_wan0_once(site: Site, who: str, to: str) -> None:
    """The forward hook, asked by nft, counts each packet between inside and outside once."""
    rules = (
        "table inet tally { chain forward { type filter hook forward priority 0;"
        " meta l4proto icmp iifname wan0 counter;"
        " meta l4proto icmp oifname wan0 counter; }\n}\n"
    )
    site.gateway.run(["nft", "-f", "-"], input=rules)
    wait_for_ping(site, who, named(to).ipv4)
    site.hosts[who].run(["ping", "-c3", "-i0.01", "-W2", named(to).ipv4])
    listing = json.loads(site.gateway.run(["nft", "-j", "list", "table", "inet", "tally"]).stdout)
    counters = [
        one["counter"]["packets"]
        for item in listing["nftables"]
        if "rule" in item
        for one in item["rule"]["expr"]
        if "counter" in one
    ]
    assert counters[0] == counters[1] >= 3
