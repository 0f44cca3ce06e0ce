"""Link types and tunnels: the inner connection is the flow, whatever it travels in.

Headers are written out here from their RFCs and https://www.tcpdump.org/linktypes.html, so that no
other program's idea of them is taken over.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from ipwatchd.capture import read_files
from ipwatchd.capture.link import LINK_TYPES
from ipwatchd.capture.meter import Meter
from ipwatchd.capture.packet import PACKET, Batch
from ipwatchd.config import CaptureSettings
from ipwatchd.records.address import address_text

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = CaptureSettings(flows=1024)
V4 = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=40_000, dport=443) / b"inside")
V6 = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=40_000, dport=4433) / b"inside")
MACS = bytes.fromhex("020000000001020000000002")
SNAP = b"\xaa\xaa\x03\0\0\0"


def ethertype(packet: bytes) -> bytes:
    """Return the EtherType of a bare packet."""
    return b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd"


def ether(packet: bytes, kind: bytes = b"") -> bytes:
    """Return an Ethernet frame."""
    return MACS + (kind or ethertype(packet)) + packet


def ppp(packet: bytes) -> bytes:
    """Return a PPP frame without address and control."""
    return (b"\0\x21" if packet[0] >> 4 == 4 else b"\0\x57") + packet


def snap(packet: bytes) -> bytes:
    """Return a packet behind LLC and SNAP."""
    return SNAP + ethertype(packet) + packet


def wlan(packet: bytes) -> bytes:
    """Return an 802.11 data frame with quality of service."""
    return b"\x88\x01\0\0" + bytes(20) + b"\0\0" + snap(packet)


def version(packet: bytes, four: int, six: int) -> int:
    """Return one of two numbers by the packet's version."""
    return four if packet[0] >> 4 == 4 else six


LINKS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "loopback": (0, lambda p: struct.pack("<I", version(p, 2, 30)) + p),
    "loopback, other order": (0, lambda p: struct.pack(">I", version(p, 2, 24)) + p),
    "Ethernet": (1, ether),
    "Token Ring": (6, lambda p: b"\x10\x40" + MACS + snap(p)),
    "Token Ring, routed": (
        6, lambda p: b"\x10\x40" + MACS[:6] + b"\x82" + MACS[7:] + b"\x06\x30\0\x11\0\x20" + snap(p)
    ),
    "ARCNET, BSD": (7, lambda p: bytes((1, 2, version(p, 0xD4, 0xC4), 0, 0, 1)) + p),
    "SLIP": (8, lambda p: bytes(16) + p),
    "PPP": (9, lambda p: b"\xff\x03" + ppp(p)),
    "FDDI": (10, lambda p: b"\x50" + MACS + snap(p)),
    "raw, 12": (12, bytes),
    "raw, 14": (14, bytes),
    "PPP in HDLC": (50, lambda p: b"\xff\x03" + ppp(p)),
    "PPPoE": (51, lambda p: struct.pack(">BBHH", 0x11, 0, 7, len(p) + 2) + ppp(p)),
    "ATM": (100, snap),
    "raw": (101, bytes),
    "Cisco HDLC": (104, lambda p: b"\x0f\0" + ethertype(p) + p),
    "802.11": (105, wlan),
    "frame relay": (107, lambda p: b"\x18\x41\x03" + bytes([version(p, 0xCC, 0x8E)]) + p),
    "frame relay, SNAP": (107, lambda p: b"\x18\x41\x03\0\x80\0\0\0" + ethertype(p) + p),
    "frame relay, Cisco": (107, lambda p: b"\x18\x41" + ethertype(p) + p),
    "OpenBSD loopback": (108, lambda p: struct.pack(">I", version(p, 2, 24)) + p),
    "OpenBSD IPsec": (109, lambda p: bytes(12) + p),
    "Linux cooked": (113, lambda p: bytes(14) + ethertype(p) + p),
    "OpenBSD filter log": (117, lambda p: b"\x3d" + bytes(63) + p),
    "Prism": (119, lambda p: struct.pack("<II", 0x44, 144) + bytes(136) + wlan(p)),
    "Fibre Channel": (122, lambda p: bytes(16) + snap(p)),
    "SunATM": (123, lambda p: b"\x02\0\0\x05" + snap(p)),
    "radiotap": (127, lambda p: b"\0\0\x09\0\x02\0\0\0\0" + wlan(p)),
    "ARCNET, Linux": (129, lambda p: bytes((1, 2, 0, 0, version(p, 0xD4, 0xC4), 0, 0, 1)) + p),
    "IEEE 1394": (138, lambda p: bytes(16) + ethertype(p) + p),
    "PKTAP, USER2": (149, lambda p: struct.pack("<III", 108, 1, 1) + bytes(96) + ether(p)),
    "AVS": (163, lambda p: struct.pack(">II", 0x80211001, 64) + bytes(56) + wlan(p)),
    "pppd": (166, lambda p: b"\1\x03" + ppp(p)),
    "PPI": (192, lambda p: struct.pack("<BBHI", 0, 0, 8, 1) + ether(p)),
    "PPP, direction": (204, lambda p: b"\1\xff\x03" + ppp(p)),
    "Cisco HDLC, direction": (205, lambda p: b"\1\x0f\0" + ethertype(p) + p),
    "frame relay, direction": (206, lambda p: b"\0\x18\x41" + ethertype(p) + p),
    "ipnet": (226, lambda p: b"\1" + bytes(23) + p),
    "IPv4": (228, bytes),
    "IPv6": (229, bytes),
    "NFLOG": (239, lambda p: b"\2\0\0\0" + struct.pack("<HH", len(p) + 4, 9) + p),
    "netANALYZER": (240, lambda p: b"\1\4\0\0" + ether(p) + bytes(4)),
    "netANALYZER, transparent": (241, lambda p: bytes(12) + ether(p)),
    "PKTAP": (258, lambda p: struct.pack("<III", 108, 1, 1) + bytes(96) + ether(p)),
    "802.3br": (274, lambda p: b"\x55" * 7 + b"\xd5" + ether(p)),
    "Linux cooked v2": (276, lambda p: ethertype(p) + bytes(18) + p),
}  # fmt: skip


def mpls(packet: bytes, labels: int = 2) -> bytes:
    """Return a label stack before a packet."""
    stack = [0x64000 | (0x100 if one == labels - 1 else 0) | 64 for one in range(labels)]
    return struct.pack(f">{labels}I", *stack) + packet


def nsh(packet: bytes) -> bytes:
    """Return a network service header with four context words before a packet (RFC 8300)."""
    return struct.pack(">BBBBI", 0x0F, 0xC6, 1, version(packet, 1, 2), 0x1FF) + bytes(16) + packet


ETHERNET: dict[str, Callable[[bytes], bytes]] = {
    "802.1Q": lambda p: ether(b"\0\5" + ethertype(p) + p, b"\x81\0"),
    "QinQ": lambda p: ether(b"\0\5\x81\0\0\6" + ethertype(p) + p, b"\x88\xa8"),
    "MPLS": lambda p: ether(mpls(p), b"\x88\x47"),
    "VLAN, MPLS": lambda p: ether(b"\0\5\x88\x47" + mpls(p), b"\x81\0"),
    "MPLS, pseudowire": lambda p: ether(mpls(bytes(4) + ether(p), 1), b"\x88\x47"),
    "QinQ, PPPoE": lambda p: ether(
        b"\0\5\x81\0\0\6\x88\x64" + struct.pack(">BBHH", 0x11, 0, 7, len(p) + 2) + ppp(p),
        b"\x88\xa8",
    ),
    "802.1ah": lambda p: ether(bytes(4) + ether(p), b"\x88\xe7"),
    "VN-Tag": lambda p: MACS + b"\x89\x26\0\0\0\1" + ethertype(p) + p,
    "802.1BR": lambda p: MACS + b"\x89\x3f\0\0\0\1\0\0" + ethertype(p) + p,
    "metadata": lambda p: MACS + b"\x89\x09\x01\x01\0\1\0\5" + ethertype(p) + p,
    "MACsec in clear": lambda p: MACS + b"\x88\xe5\0\0\0\0\0\1" + ethertype(p) + p + bytes(16),
    "NSH": lambda p: ether(nsh(p), b"\x89\x4f"),
    "TRILL": lambda p: ether(b"\0\1\0\1\0\2" + ether(p), b"\x22\xf3"),
    "FabricPath": lambda p: ether(b"\4\x20" + ether(p), b"\x89\x03"),
    "B.A.T.M.A.N.": lambda p: ether(b"\x40\x0f\x40\0" + MACS[:6] + ether(p), b"\x43\x05"),
    "LLC, SNAP": lambda p: ether(snap(p), struct.pack(">H", len(p) + 8)),
    "padding, trailer": lambda p: ether(p) + bytes(64),
}


def over_ip(proto: int, payload: bytes) -> bytes:
    """Return an outer IPv4 packet."""
    return bytes(IP(src="192.0.2.1", dst="192.0.2.2", proto=proto) / payload)


def over_udp(port: int, payload: bytes, source: int = 50_000) -> bytes:
    """Return an outer datagram."""
    head = struct.pack(">HHHH", source, port, len(payload) + 8, 0)
    return over_ip(17, head + payload)


def gre(kind: bytes, payload: bytes, flags: int = 0) -> bytes:
    """Return a GRE packet with the optional words that the flags announce."""
    words = sum(bool(flags & bit) for bit in (0x8000, 0x2000, 0x1000))
    return over_ip(47, struct.pack(">H", flags) + kind + bytes(4 * words) + payload)


def authenticated(packet: bytes) -> bytes:
    """Return an authentication header before a packet in tunnel mode (RFC 4302)."""
    head = bytes((version(packet, 4, 41), 4, 0, 0)) + bytes(8) + bytes(12)
    return over_ip(51, head + packet)


L2TP = b"\0\5\0\6"
TUNNELS: dict[str, Callable[[bytes], bytes]] = {
    "IP in IP, 6in4": lambda p: over_ip(version(p, 4, 41), p),
    "GRE": lambda p: gre(ethertype(p), p),
    "GRE, checksum": lambda p: gre(ethertype(p), p, 0x8000),
    "GRE, key and sequence": lambda p: gre(ethertype(p), p, 0x3000),
    "GRE, all": lambda p: gre(ethertype(p), p, 0xB000),
    "NVGRE": lambda p: gre(b"\x65\x58", ether(p), 0x2000),
    "GRE, MPLS": lambda p: gre(b"\x88\x47", mpls(p)),
    "PPTP": lambda p: over_ip(
        47, struct.pack(">HHHH", 0x3081, 0x880B, len(p) + 2, 1) + bytes(8) + ppp(p)
    ),
    "ERSPAN I": lambda p: gre(b"\x88\xbe", ether(p)),
    "ERSPAN II": lambda p: gre(b"\x88\xbe", b"\x10\0\0\0" + bytes(4) + ether(p), 0x1000),
    "ERSPAN III": lambda p: gre(b"\x22\xeb", b"\x20\0\0\0" + bytes(8) + ether(p), 0x1000),
    "ERSPAN III, more": lambda p: gre(
        b"\x22\xeb", b"\x20\0\0\0" + bytes(7) + b"\1" + bytes(8) + ether(p), 0x1000
    ),
    "WCCP": lambda p: gre(b"\x88\x3e", bytes(4) + p),
    "VXLAN": lambda p: over_udp(4789, b"\x08\0\0\0\0\0\7\0" + ether(p)),
    "VXLAN-GPE": lambda p: over_udp(4790, bytes((12, 0, 0, version(p, 1, 2), 0, 0, 7, 0)) + p),
    "VXLAN-GPE, Ethernet": lambda p: over_udp(4790, b"\x0c\0\0\3\0\0\7\0" + ether(p)),
    "VXLAN-GPE, NSH": lambda p: over_udp(4790, b"\x0c\0\0\4\0\0\7\0" + nsh(p)),
    "GENEVE": lambda p: over_udp(6081, b"\0\0\x65\x58\0\0\7\0" + ether(p)),
    "GENEVE, options": lambda p: over_udp(6081, b"\2\0\x65\x58\0\0\7\0" + bytes(8) + ether(p)),
    "GENEVE, IP": lambda p: over_udp(6081, b"\0\0" + ethertype(p) + b"\0\0\7\0" + p),
    "L2TP": lambda p: over_udp(1701, b"\0\2" + L2TP + b"\xff\x03" + ppp(p)),
    "L2TP, length": lambda p: over_udp(1701, b"\x40\2\0\0" + L2TP + ppp(p)),
    "L2TP, all": lambda p: over_udp(
        1701, b"\x4a\2\0\0" + L2TP + b"\0\1\0\2\0\3abc" + ppp(p), 1701
    ),
    "GTP-U": lambda p: over_udp(2152, b"\x30\xff\0\0\0\0\0\1" + p),
    "GTP-U, sequence": lambda p: over_udp(2152, b"\x32\xff\0\0\0\0\0\1\0\1\0\0" + p),
    "GTP-U, extension": lambda p: over_udp(
        2152, b"\x34\xff\0\0\0\0\0\1\0\0\0\x85\1\x10\1\0" + p
    ),
    "MPLS in UDP": lambda p: over_udp(6635, mpls(p)),
    "GRE in UDP": lambda p: over_udp(4754, b"\0\0" + ethertype(p) + p),
    "LISP": lambda p: over_udp(4341, bytes(8) + p),
    "TZSP": lambda p: over_udp(37008, b"\1\0\0\1\x0a\1\0\1" + ether(p)),
    "AH": authenticated,
    "EtherIP": lambda p: over_ip(97, b"\x30\0" + ether(p)),
    "MPLS in IP": lambda p: over_ip(137, mpls(p)),
}  # fmt: skip


def found(wire: Any, link: int = 1) -> tuple[str, int, str, int, int]:
    """Return the only flow: addresses, ports, bytes."""
    source = read_files([wire.write(link=link)], SETTINGS, dissect=False)
    (flow,) = np.concatenate([one.flows for one in source])
    return (
        address_text(int(flow["orig_hi"]), int(flow["orig_lo"])), int(flow["orig_port"]),
        address_text(int(flow["resp_hi"]), int(flow["resp_lo"])), int(flow["resp_port"]),
        int(flow["orig_bytes"]),
    )  # fmt: skip


def inside(packet: bytes) -> tuple[str, int, str, int, int]:
    """Return what `found` says of the bare packet."""
    if packet == V4:
        return "10.0.0.1", 40_000, "10.0.0.2", 443, len(V4)
    return "2001:db8::1", 40_000, "2001:db8::2", 4433, len(V6)


@pytest.mark.parametrize("name", LINKS)
def test_link_types(wire: Any, name: str) -> None:
    """A packet of every link type is the flow it would be on Ethernet."""
    link, make = LINKS[name]
    for packet in (V4, V6):
        if link != 228 + (packet == V4):
            wire.packets.clear()
            wire.frame(0.0, make(packet))
            assert found(wire, link) == inside(packet)


def test_every_link_type_is_tested() -> None:
    """No link type is claimed that no test reads."""
    assert {link for link, _ in LINKS.values()} == LINK_TYPES


@pytest.mark.parametrize("packet", [V4, V6])
@pytest.mark.parametrize("name", ETHERNET)
def test_tags(wire: Any, name: str, packet: bytes) -> None:
    """What stands between Ethernet and IP is stepped over."""
    wire.frame(0.0, ETHERNET[name](packet))
    assert found(wire) == inside(packet)


@pytest.mark.parametrize("packet", [V4, V6])
@pytest.mark.parametrize("name", TUNNELS)
def test_tunnels(wire: Any, name: str, packet: bytes) -> None:
    """Inside a tunnel the inner connection is the flow."""
    wire.frame(0.0, ether(TUNNELS[name](packet)))
    assert found(wire) == inside(packet)


@pytest.mark.parametrize("head", [
    b"", b"\0\1\2\2abcd" + bytes(9), bytes(8), b"\0\1\0\0" + bytes(9) + bytes(8)
])  # fmt: skip
def test_teredo(wire: Any, head: bytes) -> None:
    """Teredo's indications come before the packet (RFC 4380, 5.1.1), from either side's port."""
    wire.frame(0.0, ether(over_udp(3544, head + V6)))
    assert found(wire) == inside(V6)
    wire.packets.clear()
    wire.frame(0.0, ether(over_udp(50_000, head + V6, 3544)))
    assert found(wire) == inside(V6)


def test_authenticated_transport(wire: Any) -> None:
    """What AH only signs is the connection; what is encrypted behind it stays AH."""
    head = b"\x06\4\0\0" + bytes(20)
    wire.frame(0.0, ether(over_ip(51, head + V4[20:])))
    assert found(wire)[1::2] == (40_000, 443)
    wire.packets.clear()
    wire.frame(0.0, ether(over_ip(51, b"\x32" + head[1:] + b"secret")))
    assert found(wire)[1::2] == (0, 0)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(TUNNELS)), max_size=4), st.sampled_from(sorted(ETHERNET)),
    st.booleans(), st.integers(0, 400),
)  # fmt: skip
def test_stacks(tunnels: list[str], below: str, six: bool, cut: int) -> None:
    """Tunnels in tunnels are entered, and cut anywhere they make at most one flow."""
    packet = V6 if six else V4
    for name in tunnels:
        packet = TUNNELS[name](packet)
    if len(packet) > 1400:
        return
    frame = ETHERNET[below](packet)
    data = np.frombuffer(frame, np.uint8).copy()
    meter = Meter(SETTINGS, taps=False)
    packets = np.zeros(1, PACKET)
    packets["captured"], packets["wire"], packets["link"] = len(frame), len(frame), 1
    meter.feed(Batch(data, packets))
    meter.flush()
    (flow,) = meter.drain().flows()
    assert int(flow["resp_port"]) == (4433 if six else 443)
    packets["captured"] = min(cut, len(frame))
    meter.feed(Batch(data, packets))
    meter.flush()
    assert len(meter.drain().rows) <= 1
