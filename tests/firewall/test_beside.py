"""Beside firewalld, ufw, Docker, fail2ban and CrowdSec: rules in the form that they make.

Whatever we do, theirs stay to the byte; whatever they do, ours are not touched and not taken for
changed; a packet has to pass both.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.policy import Policy

FIREWALLD: Final = """
table inet firewalld
delete table inet firewalld
table inet firewalld {
  chain filter_PREROUTING { type filter hook prerouting priority filter + 10; policy accept;
    icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
    meta nfproto ipv6 fib saddr . mark . iif oif missing drop
  }
  chain filter_INPUT { type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    tcp dport 8080 accept
    ct state { new, untracked } tcp dport 22 accept
  }
  chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
  }
}
"""
FAIL2BAN: Final = """
add table inet f2b-table
add chain inet f2b-table f2b-chain { type filter hook input priority -1; }
add set inet f2b-table addr-set-sshd { type ipv4_addr; }
add rule inet f2b-table f2b-chain tcp dport 22 ip saddr @addr-set-sshd reject with icmp type port-unreachable
add element inet f2b-table addr-set-sshd { 198.51.100.99 }
"""  # noqa: E501 (nft's language)
CROWDSEC: Final = """
add table ip crowdsec
add set ip crowdsec crowdsec-blacklists { type ipv4_addr; flags timeout; }
add chain ip crowdsec crowdsec-chain { type filter hook input priority filter + 4; policy accept; }
add rule ip crowdsec crowdsec-chain ip saddr @crowdsec-blacklists drop
add element ip crowdsec crowdsec-blacklists { 198.51.100.98 timeout 4h }
"""
UFW: Final = (
    "-N ufw-user-input", "-N ufw-before-input", "-A INPUT -j ufw-before-input",
    "-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A ufw-before-input -j ufw-user-input", "-A ufw-user-input -p tcp --dport 8080 -j ACCEPT",
)  # fmt: skip
DOCKER: Final = (
    "-t nat -N DOCKER", "-t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    "-N DOCKER", "-N DOCKER-USER", "-N DOCKER-ISOLATION-STAGE-1",
    "-A FORWARD -j DOCKER-USER", "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
    "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-t nat -A DOCKER ! -i docker0 -p tcp --dport 9090 -j DNAT --to-destination 10.0.0.2:8080",
)  # fmt: skip
START: Final = {"firewalld": FIREWALLD, "ufw": UFW, "docker": DOCKER, "fail2ban": FAIL2BAN,
                "crowdsec": CROWDSEC}  # fmt: skip
GOES_ON: Final[dict[str, str | tuple[str, ...]]] = {
    "firewalld": FIREWALLD,
    "ufw": ("-F ufw-user-input", "-A ufw-user-input -p tcp --dport 8080 -j ACCEPT"),
    "docker": ("-t nat -A DOCKER -p tcp --dport 9091 -j DNAT --to-destination 10.0.0.2:8080",),
    "fail2ban": "add element inet f2b-table addr-set-sshd { 198.51.100.97 }",
    "crowdsec": "delete element ip crowdsec crowdsec-blacklists { 198.51.100.98 }",
}


def _do(site: Any, what: str | tuple[str, ...]) -> None:
    if isinstance(what, str):
        site.gateway.run(["nft", "-f", "-"], input=what)
        return
    for words in what:
        site.gateway.run(["iptables-nft", *words.split()])


def _theirs(site: Any) -> str:
    """Return every table but ours, without what counts and runs down."""
    found = []
    for line in site.nft("list", "tables").splitlines():
        _, family, name = line.split()
        if name != "ipwatchd":
            found.append(site.nft("list", "table", family, name))
    return re.sub(r"packets \d+ bytes \d+|expires \S+", "", "".join(found))


@pytest.mark.parametrize("name", START)
def test_neither_touches_the_other(site: Any, policy: Callable[..., Policy], name: str) -> None:
    """Their rules before ours and their changes after; our load, deny, mode and removal."""
    outside, inside, gateway = site.OUTSIDE[4], site.INSIDE[4], site.GATEWAY[4]
    _do(site, START[name])
    before, now = _theirs(site), time.time()
    with (
        site.firewall() as firewall,
        site.listener(site.gateway, gateway),
        site.listener(site.inside, inside),
    ):
        firewall.apply(policy("enforce"), now)
        client = site.tcp(site.outside, outside, gateway)
        assert client is not None, "their rules let it pass, so do ours"
        denied = policy("enforce", [outside])
        firewall.apply(denied, now)
        with client:
            assert not site.connects(site.outside, outside, gateway)
            assert not site.connects(site.outside, outside, inside)
            assert site.connects(site.outside, site.OTHER[4], gateway)
        assert _theirs(site) == before
        ours = site.nft("list", "table", "inet", "ipwatchd")
        _do(site, GOES_ON[name])
        assert firewall.check(now), firewall.status().drift
        assert not firewall.diff(denied, now)
        assert site.nft("list", "table", "inet", "ipwatchd").count("\n") == ours.count("\n")
        assert not site.connects(site.outside, outside, gateway)
        after = _theirs(site)
        firewall.apply(policy("observe", [outside]), now)
        assert site.connects(site.outside, outside, gateway)
        firewall.remove()
        assert _theirs(site) == after


def test_what_they_deny_we_do_not_open(site: Any, policy: Callable[..., Policy]) -> None:
    """An address that CrowdSec drops stays dropped though our allow list names it."""
    outside, gateway = site.OUTSIDE[4], site.GATEWAY[4]
    _do(site, CROWDSEC.replace("198.51.100.98", outside))
    with site.firewall() as firewall, site.listener(site.gateway, gateway):
        firewall.apply(policy("enforce", [], [outside], [outside]), time.time())
        assert not site.connects(site.outside, outside, gateway)
        assert site.connects(site.outside, site.OTHER[4], gateway)


def test_a_port_that_docker_publishes(site: Any, policy: Callable[..., Policy]) -> None:
    """Ours come before its destination NAT: who is denied reaches no published port."""
    _do(site, DOCKER)
    outside, other = site.OUTSIDE[4], site.OTHER[4]
    with site.firewall() as firewall, site.listener(site.inside, site.INSIDE[4]):
        firewall.apply(policy("enforce", [outside]), time.time())
        assert site.connects(site.outside, other, site.GATEWAY[4], 9090)
        assert not site.connects(site.outside, outside, site.GATEWAY[4], 9090)
