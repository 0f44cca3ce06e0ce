"""Connections that are rare and right: what RFC 9293 allows and fragments that overlap."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ipwatchd.capture import read_files
from ipwatchd.config import CaptureSettings
from ipwatchd.records.address import address_text
from ipwatchd.records.event import Dns
from ipwatchd.records.flow import STATES

if TYPE_CHECKING:
    from ipwatchd.records.event import AnyEvent

QUERY = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03www\x04good\0\0\x01\0\x01"
OTHER = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x03www\x04evil\0\0\x01\0\x01"


def play(wire: Any, segments: str, start: float = 0.0) -> None:
    """Add segments: direction and flags, with a data octet where there is an x."""
    for number, line in enumerate(segments.split(", ")):
        way, flags, *data = line.split()
        payload = data[0].encode() if data else b""
        wire.tcp(start + number / 100, flags, back=way == "<", data=payload)


def events(wire: Any) -> list[AnyEvent]:
    """Return the events of a capture."""
    return [event for one in read_files([wire.write()], CaptureSettings()) for event in one.events]


@pytest.mark.parametrize(
    ("rest", "state"), [("", "S1"), (", > FA, < FA, > A, < A", "SF"), (", > RA", "RSTO")]
)
def test_simultaneous_open(wire: Any, rest: str, state: str) -> None:
    """Where both sides send a SYN (RFC 9293, 3.5) it is one connection, the first one's."""
    play(wire, "> S, < S, > SA, < SA, > A x, < A x" + rest)
    (flow,) = wire.flows()
    assert address_text(int(flow["orig_hi"]), int(flow["orig_lo"])) == "10.20.0.5"
    assert STATES[int(flow["state"])] == state


def test_keepalives(wire: Any) -> None:
    """Keepalives (RFC 9293, 3.8.4) hold a flow open beyond its timeout and change no state."""
    play(wire, "> S, < SA, > A, > PA x, < A")
    for number in range(1, 9):
        wire.tcp(250.0 * number, "A", data=b"\0" if number % 2 else b"")
        wire.tcp(250.0 * number + 0.01, "A", back=True)
    flows = wire.flows(tcp_timeout=300.0, active_timeout=86_400.0)
    assert len(flows) == 1
    assert STATES[int(flows[0]["state"])] == "S1"
    assert (flows[0]["orig_packets"], flows[0]["resp_packets"]) == (11, 10)


@pytest.mark.parametrize(
    ("rest", "states"),
    [
        (", > FA, < FA, > A, < R", {"SF"}),
        (", > FA, < FA, > A, > R", {"SF"}),
        (", > FA, < R", {"RSTR"}),
        (", < FA, > R", {"RSTO"}),
    ],
)
def test_reset_behind_fin(wire: Any, rest: str, states: set[str]) -> None:
    """A reset behind both FINs changes nothing; behind one it is what ended the connection."""
    play(wire, "> S, < SA, > A, > PA x, < A" + rest)
    assert wire.state() in states


def test_ports_used_again_at_once(wire: Any) -> None:
    """A SYN on the ports of a connection that was closed or reset a moment ago opens another."""
    play(wire, "> S, < SA, > A, > FA, < FA, > A")
    play(wire, "> S, < SA, > A, > RA", 0.1)
    play(wire, "> S, < SA, > A, > PA x", 0.2)
    flows = sorted(wire.flows(), key=lambda flow: float(flow["start"]))
    assert [STATES[int(flow["state"])] for flow in flows] == ["SF", "RSTO", "S1"]


def test_overlapping_fragments(wire: Any) -> None:
    """What a later fragment lays over the first is not believed; each is counted (RFC 1858)."""
    head = IP(src="10.20.0.5", dst="203.0.113.9", id=7, proto=17, flags="MF")
    datagram = bytes(UDP(sport=40_000, dport=53, len=8 + len(QUERY), chksum=0)) + QUERY
    over = IP(src="10.20.0.5", dst="203.0.113.9", id=7, proto=17, frag=1)
    wire.frame(0, Ether() / head / Raw(datagram))
    wire.frame(0.01, Ether() / over / Raw(OTHER))
    flows = wire.flows()
    assert sum(int(flow["orig_packets"]) for flow in flows) == 2
    assert sum(int(flow["orig_bytes"]) for flow in flows) == 40 + len(datagram) + len(OTHER)
    assert [event.name for event in events(wire) if isinstance(event, Dns)] == ["www.good"]


def test_overlapping_fragments_of_version_6(wire: Any) -> None:
    """The same of IPv6, where they are forbidden (RFC 5722): counted, and not believed."""
    datagram = bytes(UDP(sport=40_000, dport=53, len=8 + len(QUERY), chksum=1)) + QUERY
    for at, offset, more, data in ((0, 0, 1, datagram), (0.01, 1, 0, OTHER)):
        part = IPv6ExtHdrFragment(nh=17, offset=offset, m=more, id=9)
        wire.frame(at, Ether() / IPv6(src="2001:db8::5", dst="2001:db8::9") / part / Raw(data))
    flows = wire.flows()
    assert sum(int(flow["orig_packets"]) for flow in flows) == 2
    assert sum(int(flow["orig_bytes"]) for flow in flows) == 96 + len(datagram) + len(OTHER)
    assert [event.name for event in events(wire) if isinstance(event, Dns)] == ["www.good"]


def test_jumbogram(wire: Any) -> None:
    """An IPv6 packet of over 64 KiB has its length in a hop-by-hop option (RFC 2675)."""
    data = b"x" * 70_000
    segment = bytes(TCP(sport=40_000, dport=443, flags="PA")) + data
    option = b"\x06\x00\xc2\x04" + struct.pack("!I", 8 + len(segment))
    head = bytes(IPv6(src="2001:db8::5", dst="2001:db8::9", nh=0, plen=0))
    wire.frame(0, Raw(bytes(Ether(type=0x86DD)) + head + option + segment))
    (flow,) = wire.flows()
    assert (flow["proto"], flow["orig_port"], flow["resp_port"]) == (6, 40_000, 443)
    assert int(flow["orig_bytes"]) == 40 + 8 + len(segment)


def test_jumbogram_that_lies(wire: Any) -> None:
    """A jumbo length that is not there, or of 4 GiB, is survived and counts the packet once."""
    segment = bytes(TCP(sport=40_000, dport=443, flags="S"))
    for number, length in enumerate((0, 1, 0xFFFF_FFFF)):
        option = bytes(IPv6ExtHdrHopByHop(nh=6))[:2] + b"\xc2\x04" + struct.pack("!I", length)
        head = bytes(IPv6(src="2001:db8::5", dst="2001:db8::9", nh=0, plen=0))
        wire.frame(number, Raw(bytes(Ether(type=0x86DD)) + head + option + segment))
    assert wire.flows()["orig_packets"].sum() <= 3
