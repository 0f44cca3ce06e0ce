"""Denied packets come back as `blocked` events."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import (
    IP,
    TCP,
    UDP,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    Raw,
)

from ipwatchd.config import FirewallSettings
from ipwatchd.firewall import BlockedReader
from ipwatchd.firewall.codec import MalformedError, attributes
from ipwatchd.firewall.nflog import read_blocked, read_packet

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.event import Blocked
    from ipwatchd.records.policy import Policy

    Make = Callable[..., Policy]


def drain(reader: BlockedReader, now: float) -> list[Blocked]:
    """Read until nothing comes for a while."""
    found: list[Blocked] = []
    while select.select([reader], [], [], 0.2)[0]:
        found += reader.read(now)
    return found


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("mode", "action"), [("observe", "would-drop"), ("enforce", "drop")])
def test_what_was_denied_is_told(
    site: Any, policy: Make, family: int, mode: str, action: str
) -> None:
    """Who, to whom, which port and protocol, how long, where it came in, and what was done."""
    outside, inside = site.OUTSIDE[family], site.INSIDE[family]
    now = time.time()
    with site.gateway.inside():
        reader = BlockedReader(FirewallSettings())
    with reader, site.firewall() as firewall:
        firewall.apply(policy(mode, [outside]), now)
        assert reader.read(now) == []
        site.datagram(site.outside, outside, site.inside, inside)
        site.connects(site.outside, outside, inside, 8443)
        site.echo(site.outside, outside, inside)
        found = drain(reader, now)
        counted = firewall.status().packets
    received = [event for event in found if event.orig == outside]
    by_proto = {event.proto: event for event in received}
    assert set(by_proto) == {"udp", "tcp", "icmp" if family == 4 else "icmp6"}
    udp, tcp = by_proto["udp"], by_proto["tcp"]
    assert (udp.resp, udp.resp_port, udp.bytes) == (inside, 5353, 60 if family == 4 else 80)
    assert (tcp.resp, tcp.resp_port) == (inside, 8443)
    assert tcp.orig_port > 0
    for event in received:
        assert (event.action, event.iface, event.list) == (action, "wan", "deny")
        assert abs(event.ts - now) < 30
    assert reader.counters.received == len(found) == counted
    assert reader.counters.shed == reader.counters.malformed == 0


def test_the_kernel_limits_the_log(site: Any, policy: Make) -> None:
    """A flood is counted in full and logged at the rate that was set."""
    with site.gateway.inside():
        reader = BlockedReader(FirewallSettings())
    with reader, site.firewall(log_per_second=5) as firewall:
        firewall.apply(policy("observe", [site.OUTSIDE[4]]), time.time())
        with site.outside.inside():
            import socket

            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.bind((site.OUTSIDE[4], 0))
            for _ in range(500):
                sender.sendto(b"x", (site.INSIDE[4], 9))
        found = [event for event in drain(reader, time.time()) if event.proto == "udp"]
        assert 1 <= len(found) <= 30
        assert firewall.status().packets >= 500


def test_a_full_buffer_is_counted(site: Any, policy: Make) -> None:
    """Who reads too late loses events, and the counters say so."""
    with site.gateway.inside():
        reader = BlockedReader(FirewallSettings())
    with reader, site.firewall(log_per_second=1_000_000) as firewall:
        import socket

        reader._netlink._socket.setsockopt(socket.SOL_SOCKET, 33, 4096)  # SO_RCVBUFFORCE
        firewall.apply(policy("observe", [site.OUTSIDE[4]]), time.time())
        with site.outside.inside():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.bind((site.OUTSIDE[4], 0))
            for turn in range(2):
                for _ in range(300):
                    sender.sendto(b"x", (site.INSIDE[4], 9))
                drain(reader, time.time())
                assert reader.counters.overruns >= 1 + turn
        assert reader.counters.shed > 0


def test_a_taken_group_is_named(site: Any) -> None:
    """Two readers of one group: the second is told which key to change."""
    with site.gateway.inside():
        reader = BlockedReader(FirewallSettings())
        with reader, pytest.raises(OSError, match=r"nflog group 427 .*firewall\.log_group"):
            BlockedReader(FirewallSettings())
        BlockedReader(FirewallSettings()).close()


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (IP(src="1.2.3.4", dst="5.6.7.8") / TCP(sport=1, dport=2), (1, 2, 6, 40)),
        (IP(src="1.2.3.4", dst="5.6.7.8", options=[(b"\x94\x04\0\0")]) / UDP(sport=3, dport=4),
         (3, 4, 17, 32)),
        (IP(src="1.2.3.4", dst="5.6.7.8", frag=9, proto=6) / Raw(b"12345678"), (0, 0, 6, 28)),
        (IPv6(src="::1", dst="::2") / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()
         / TCP(sport=1, dport=2), (1, 2, 6, 76)),
        (IPv6(src="::1", dst="::2") / IPv6ExtHdrFragment(offset=0, nh=17) / UDP(sport=5, dport=6),
         (5, 6, 17, 56)),
        (IPv6(src="::1", dst="::2") / IPv6ExtHdrFragment(offset=8, nh=17) / Raw(b"123"),
         (0, 0, 17, 51)),
    ],
)  # fmt: skip
def test_headers_are_read(packet: Any, expected: tuple[int, int, int, int]) -> None:
    """Options, extension headers and later fragments, against packets made by scapy."""
    found = read_packet(memoryview(bytes(packet)))
    assert found is not None
    assert (found.source, found.destination) == (packet.src, packet.dst)
    ports = found.source_port, found.destination_port
    assert (*ports, found.protocol, found.length) == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=160), st.sampled_from([0x45, 0x4F, 0x60, 0x6F]))
def test_a_hostile_packet_is_survived(data: bytes, first: int) -> None:
    """Any bytes give a packet or none; ports are ports."""
    found = read_packet(memoryview(bytes([first]) + data))
    assert found is None or 0 <= found.source_port <= 0xFFFF


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=160))
def test_a_hostile_message_is_survived(data: bytes) -> None:
    """Any attributes give an event, none, or a malformed message."""
    try:
        read_blocked(attributes(memoryview(data)), 0.0)
    except MalformedError:
        return
