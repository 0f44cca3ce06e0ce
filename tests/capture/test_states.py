"""What is said of a connection: originator, state, service, sums. Each test is a transcript."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Dot1Q, Ether

from ipwatchd.records.address import address_text
from ipwatchd.records.flow import SERVICES

SEGMENTS = {
    "S0": ["> S"],
    "S1": ["> S", "< SA", "> A"],
    "SF": ["> S", "< SA", "> A", "> PA x", "< FA", "> FA", "< A"],
    "REJ": ["> S", "< RA"],
    "S2": ["> S", "< SA", "> A", "> FA", "< A"],
    "S3": ["> S", "< SA", "> A", "< FA", "> A"],
    "RSTO": ["> S", "< SA", "> A", "> RA"],
    "RSTR": ["> S", "< SA", "> A", "> PA x", "< R"],
    "RSTOS0": ["> S", "> R"],
    "RSTRH": ["< SA", "< R"],
    "SH": ["> S", "> F"],
    "SHR": ["< SA", "< F"],
    "OTH": ["> A", "< A", "> PA x"],
}


def _play(wire: Any, segments: list[str]) -> None:
    for number, line in enumerate(segments):
        way, flags, *data = line.split()
        payload = data[0].encode() if data else b""
        wire.tcp(number / 100, flags, back=way == "<", data=payload)


@pytest.mark.parametrize("state", SEGMENTS)
def test_tcp_states(wire: Any, state: str) -> None:
    """Each of Zeek's conn_states comes of the segments that its manual describes."""
    _play(wire, SEGMENTS[state])
    assert wire.state() == state


@pytest.mark.parametrize("state", ["RSTRH", "SHR", "OTH"])
def test_originator_without_syn(wire: Any, state: str) -> None:
    """Who answers a SYN that was not captured, or listens on the known port, is the responder."""
    _play(wire, SEGMENTS[state])
    flow = wire.flows()[0]
    assert address_text(int(flow["orig_hi"]), int(flow["orig_lo"])) == "10.20.0.5"
    assert (flow["orig_port"], flow["resp_port"]) == (40_000, 443)


def test_midstream_from_server(wire: Any) -> None:
    """A connection first seen by its server's data has the server as responder."""
    wire.tcp(0, "PA", back=True, data=b"data")
    wire.tcp(0.1, "A")
    flow = wire.flows()[0]
    assert (flow["resp_port"], flow["resp_packets"], flow["orig_packets"]) == (443, 1, 1)


def test_sums_and_flags(wire: Any) -> None:
    """Packets, IP bytes and flags are counted by direction, the link header is not."""
    _play(wire, SEGMENTS["SF"])
    flow = wire.flows()[0]
    assert (flow["orig_packets"], flow["orig_bytes"]) == (4, 4 * 40 + 1)
    assert (flow["resp_packets"], flow["resp_bytes"]) == (3, 3 * 40)
    assert (flow["orig_flags"], flow["resp_flags"]) == (0x1B, 0x13)


@pytest.mark.parametrize(
    ("ways", "state"), [(">", "S0"), ("><", "SF"), (">><", "SF"), (">>>", "S0")]
)
def test_udp_states(wire: Any, ways: str, state: str) -> None:
    """UDP is answered (SF) or not (S0)."""
    for number, way in enumerate(ways):
        wire.udp(number / 10, back=way == "<")
    assert wire.state() == state


def test_echo_is_one_flow(wire: Any) -> None:
    """Echo request and reply are one ICMP flow without ports, typed by the request."""
    for number in range(3):
        wire.icmp(number, 8)
        wire.icmp(number + 0.1, 0, back=True)
    wire.icmp(3, 3, back=True)
    echo, unreachable = sorted(wire.flows(), key=lambda flow: -int(flow["icmp_type"]))
    assert (echo["icmp_type"], echo["orig_packets"], echo["resp_packets"]) == (8, 3, 3)
    assert (echo["orig_port"], echo["resp_port"]) == (0, 0)
    assert (unreachable["icmp_type"], unreachable["orig_packets"]) == (3, 1)


def test_reply_alone(wire: Any) -> None:
    """An echo reply whose request was not captured goes to its originator."""
    wire.icmp(0, 0, back=True)
    flow = wire.flows()[0]
    assert address_text(int(flow["orig_hi"]), int(flow["orig_lo"])) == "10.20.0.5"


def test_new_syn_on_closed(wire: Any) -> None:
    """The same ports used again after a close are a new flow."""
    for base in (0.0, 1.0):
        for number, (flags, back) in enumerate(
            [("S", False), ("SA", True), ("A", False), ("FA", False), ("FA", True), ("A", False)]
        ):
            wire.tcp(base + number / 100, flags, back=back)
    flows = wire.flows()
    assert flows["orig_packets"].tolist() == [4, 4]


@pytest.mark.parametrize(
    ("data", "port", "service"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 12_345, "http"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", 443, "ssh"),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 12_345, "tls"),
        (b"INVITE sip:bob@example.org SIP/2.0\r\n", 12_345, "sip"),
        (b"OPTIONS * HTTP/1.1\r\n", 12_345, "http"),
        (b"nothing known", 25, "smtp"),
        (b"nothing known", 12_345, ""),
    ],
)
def test_service(wire: Any, data: bytes, port: int, service: str) -> None:
    """What the first bytes show is the service, else what the responder's port stands for."""
    wire.tcp(0, "S", port=port)
    wire.tcp(0.1, "SA", port=port, back=True)
    wire.tcp(0.2, "PA", port=port, data=data)
    assert SERVICES[wire.flows()[0]["service"]] == service


def test_vlan(wire: Any) -> None:
    """The outermost VLAN tag is the flow's."""
    inside = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2, flags="S")
    wire.frame(0, Ether(type=0x88A8) / Dot1Q(vlan=101, type=0x8100) / Dot1Q(vlan=7) / inside)
    assert wire.flows()[0]["vlan"] == 101


def test_later_fragments(wire: Any) -> None:
    """Fragments behind the first have no ports and stand in a flow of their own."""
    whole = IP(src="10.0.0.1", dst="10.0.0.2", id=9) / TCP(sport=1, dport=2, flags="A")
    for number, fragment in enumerate((whole / (b"x" * 1000)).fragment(400)):
        wire.frame(number, Ether() / fragment)
    flows = {int(flow["resp_port"]): int(flow["orig_packets"]) for flow in wire.flows()}
    assert flows == {2: 1, 0: 2}
