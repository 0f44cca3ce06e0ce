"""A gateway between an outside and an inside network, in three namespaces, and what passes it."""

from __future__ import annotations

import ipaddress
import json
import os
import select
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from ipwatchd.config import FirewallSettings
from ipwatchd.firewall import Firewall
from ipwatchd.lab.netns import Namespace, veth
from ipwatchd.records.address import network_range, split
from ipwatchd.records.policy import RANGE, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WAIT = 0.15
"""Seconds after which a packet that has not come does not come: a veth takes microseconds."""


def ranges(*texts: str) -> np.ndarray[Any, np.dtype[np.void]]:
    """Return ranges of texts: a network or first-last, and after a space when it ends."""
    rows = np.zeros(len(texts), RANGE)
    for number, line in enumerate(texts):
        network, _, expires = line.partition(" ")
        if "-" in network:
            first, last = (split(end) for end in network.split("-"))
        else:
            first, last = network_range(ipaddress.ip_network(network))
        rows[number] = (*first, *last, int(float(expires or 0) * 1e9))
    return np.sort(rows, order=["first_hi", "first_lo"])


def policy(
    mode: str, deny: Sequence[str] = (), allow: Sequence[str] = (), management: Sequence[str] = ()
) -> Policy:
    """Return a policy of texts."""
    return Policy(mode, ranges(*management), ranges(*allow), ranges(*deny))


@pytest.fixture(name="ranges", scope="session")
def ranges_fixture() -> Callable[..., np.ndarray[Any, np.dtype[np.void]]]:
    """Give tests `ranges` above."""
    return ranges


@pytest.fixture(name="policy", scope="session")
def policy_fixture() -> Callable[..., Policy]:
    """Give tests `policy` above."""
    return policy


def family_of(address: str) -> socket.AddressFamily:
    """Return the socket family of an address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Site:
    """outside 203.0.113.2 ─ gateway 203.0.113.1, 10.0.0.1 ─ inside 10.0.0.2; the same in IPv6."""

    OUTSIDE: Final = {4: "203.0.113.2", 6: "2001:db8:113::2"}
    OTHER: Final = {4: "203.0.113.3", 6: "2001:db8:113::3"}
    GATEWAY: Final = {4: "203.0.113.1", 6: "2001:db8:113::1"}
    GATEWAY_INSIDE: Final = {4: "10.0.0.1", 6: "2001:db8:10::1"}
    INSIDE: Final = {4: "10.0.0.2", 6: "2001:db8:10::2"}

    def __init__(self, make: Callable[[str], Namespace]) -> None:
        self.outside, self.gateway, self.inside = (
            make(name) for name in ("outside", "gateway", "inside")
        )
        for one in (self.outside, self.gateway, self.inside):
            one.sysctl("net.ipv6.conf.default.accept_dad", "0")
        veth(self.outside, "eth0", self.gateway, "wan")
        veth(self.inside, "eth0", self.gateway, "lan")
        self.gateway.forwarding()
        self.outside.address(
            "eth0", "203.0.113.2/24", "203.0.113.3/24", "2001:db8:113::2/64", "2001:db8:113::3/64"
        )
        self.gateway.address("wan", "203.0.113.1/24", "2001:db8:113::1/64")
        self.gateway.address("lan", "10.0.0.1/24", "2001:db8:10::1/64")
        self.inside.address("eth0", "10.0.0.2/24", "2001:db8:10::2/64")
        for one, way in ((self.outside, self.GATEWAY), (self.inside, self.GATEWAY_INSIDE)):
            one.route("default", way[4])
            one.route("default", way[6])
        # The kernel takes up to a second to tell IPv6 that a new link has a carrier.
        until = time.monotonic() + 10
        while not (
            self.echo(self.outside, self.OUTSIDE[6], self.INSIDE[6])
            and self.echo(self.gateway, self.GATEWAY[6], self.OTHER[6])
        ):
            assert time.monotonic() < until, "the site's links did not come up"

    @staticmethod
    def listener(where: Namespace, address: str, port: int = 8080) -> socket.socket:
        """Listen for TCP; the kernel answers connections without our accept."""
        with where.inside():
            sock = socket.socket(family_of(address), socket.SOCK_STREAM)
            # An earlier test's dropped connection may still hold the port in FIN-WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            sock.listen(16)
        return sock

    @staticmethod
    def tcp(
        where: Namespace, source: str, destination: str, port: int = 8080
    ) -> socket.socket | None:
        """Connect; None where no answer comes."""
        with where.inside():
            sock = socket.socket(family_of(source), socket.SOCK_STREAM)
        sock.settimeout(WAIT)
        sock.bind((source, 0))
        try:
            sock.connect((destination, port))
        except (TimeoutError, ConnectionRefusedError):
            sock.close()
            return None
        return sock

    @staticmethod
    def connects(where: Namespace, source: str, destination: str, port: int = 8080) -> bool:
        """Tell whether a TCP connection comes about."""
        sock = Site.tcp(where, source, destination, port)
        if sock is not None:
            sock.close()
        return sock is not None

    @staticmethod
    def datagram(one: Namespace, source: str, other: Namespace, destination: str) -> bool:
        """Tell whether a UDP datagram arrives."""
        with other.inside():
            receiver = socket.socket(family_of(destination), socket.SOCK_DGRAM)
        with one.inside():
            sender = socket.socket(family_of(source), socket.SOCK_DGRAM)
        with receiver, sender:
            receiver.bind((destination, 5353))
            sender.bind((source, 0))
            try:
                sender.sendto(b"x" * 32, (destination, 5353))
            except PermissionError:
                return False  # what a drop in the output hook looks like to the sender
            return bool(select.select([receiver], [], [], WAIT)[0])

    @staticmethod
    def echo(where: Namespace, source: str, destination: str) -> bool:
        """Tell whether an ICMP echo request is answered."""
        four = family_of(source) == socket.AF_INET
        with where.inside():
            sock = socket.socket(
                family_of(source), socket.SOCK_RAW,
                socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6,
            )  # fmt: skip
        with sock:
            sock.bind((source, 0))
            body = struct.pack(">HH", os.getpid() & 0xFFFF, 1)
            head = struct.pack(">BBH", 8 if four else 128, 0, 0)
            total = sum(struct.unpack(">4H", head + body))
            total = (total & 0xFFFF) + (total >> 16)
            head = struct.pack(">BBH", 8 if four else 128, 0, ~total & 0xFFFF)
            sock.sendto(head + body, (destination, 0))
            until = time.monotonic() + WAIT
            while (left := until - time.monotonic()) > 0 and select.select([sock], [], [], left)[0]:
                answer = sock.recv(2048)
                kind = answer[(answer[0] & 15) * 4] if four else answer[0]
                if kind == (0 if four else 129):
                    return True
        return False

    @contextmanager
    def firewall(self, **settings: Any) -> Iterator[Firewall]:
        """Be the daemon on the gateway."""
        with self.gateway.inside(), Firewall(FirewallSettings(**settings)) as firewall:
            yield firewall

    def nft(self, *words: str) -> str:
        """Ask the independent witness on the gateway."""
        return self.gateway.run(["nft", *words]).stdout

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Return what `nft -j list ruleset` shows of a kind."""
        listed = json.loads(self.nft("-j", "list", "ruleset"))["nftables"]
        return [one[kind] for one in listed if kind in one]

    def elements(self, name: str) -> set[str]:
        """Return a set's elements as nft shows them, without timeouts."""
        found = next(one for one in self.objects("set") if one["name"] == name)
        return {_element(one) for one in found.get("elem", [])}


def _element(value: Any) -> str:
    if isinstance(value, dict) and "elem" in value:
        return _element(value["elem"]["val"])
    if isinstance(value, dict) and "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if isinstance(value, dict):
        return "-".join(value["range"])
    return str(value)


@pytest.fixture(scope="session")
def built_site() -> Iterator[Site]:
    """Build the three namespaces once: a link takes a second to come up."""
    made: list[Namespace] = []

    def make(name: str) -> Namespace:
        try:
            made.append(Namespace(name))
        except PermissionError:
            pytest.skip("needs CAP_SYS_ADMIN: run as root or under unshare -Urn")
        return made[-1]

    yield Site(make)
    for one in made:
        one.close()


@pytest.fixture
def site(built_site: Site) -> Iterator[Site]:
    """Give the test the site without rules and without connections."""
    yield built_site
    built_site.nft("flush", "ruleset")
    built_site.gateway.run(["conntrack", "-F"])
