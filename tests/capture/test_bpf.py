"""The kernel's filter: what dissectors want passes, most of the rest does not."""

from __future__ import annotations

import ctypes
import operator
import socket
import struct
from collections.abc import Callable  # noqa: TC003 - tables of functions are annotated with it
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE

from ipwatchd.capture.bpf import RAW, metadata_filter, snap_filter
from ipwatchd.capture.bpf_program import Program, packed
from ipwatchd.lab.netns import veth
from tests.capture.compare_filter import compare_all

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ipwatchd.capture.bpf_program import Instruction
    from ipwatchd.lab.netns import Namespace


_MASK = 0xFFFF_FFFF
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
_ALU: dict[int, Callable[[int, int], int]] = {
    0x00: operator.add, 0x10: operator.sub, 0x50: operator.and_, 0x60: operator.lshift,
    0x70: operator.rshift,
}  # fmt: skip
_TESTS: dict[int, Callable[[int, int], int]] = {
    0x10: operator.eq, 0x20: operator.gt, 0x30: operator.ge, 0x40: operator.and_,
}  # fmt: skip


class Machine:
    """Classic BPF after linux/filter.h: what the kernel would answer to a packet."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.a = self.x = 0
        self.memory: dict[int, int] = {}

    def load(self, code: int, k: int) -> bool:
        """Do LD; False where it goes beyond the packet."""
        if code & 0xE0 == 0x60:
            self.a = self.memory[k]
            return True
        size, place = _SIZES[code & 0x18], k + (self.x if code & 0xE0 == 0x40 else 0)
        self.a = int.from_bytes(self.packet[place : place + size], "big")
        return place + size <= len(self.packet)

    def set(self, code: int, k: int) -> None:
        """Do LDX, ST, ALU, TAX, TXA."""
        kind = code & 7
        if kind == 1:
            self.x = self.memory[k] if code & 0xE0 == 0x60 else k
        elif kind == 2:
            self.memory[k] = self.a
        elif kind == 4:
            self.a = _ALU[code & 0xF0](self.a, self.x if code & 8 else k) & _MASK
        elif code & 0x80:
            self.a = self.x
        else:
            self.x = self.a

    def jump(self, one: Instruction) -> int:
        """Return how far to jump."""
        if one.code & 0xF0 == 0:
            return one.k
        true = _TESTS[one.code & 0xF0](self.a, self.x if one.code & 8 else one.k)
        return one.jt if true else one.jf


def run(program: Sequence[Instruction], packet: bytes) -> int:
    """Return how many bytes the filter keeps; a load beyond the packet ends it with 0."""
    machine, at = Machine(packet), 0
    while True:
        one = program[at]
        at += 1
        kind = one.code & 7
        if kind == 6:
            return machine.a if one.code & 0x18 == 0x10 else one.k
        if kind == 5:
            at += machine.jump(one)
        elif kind == 0:
            if not machine.load(one.code, one.k):
                return 0
        else:
            machine.set(one.code, one.k)


ALL = "02:00:00:00:00:01"
LINK = Ether(dst=ALL, src=ALL)
FILTER = metadata_filter(2048)
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"
INITIAL = b"\xc3\x00\x00\x00\x01\x08abcdefgh\x00\x00\x44\xd0" + bytes(40)


def _udp(port: int, data: bytes = bytes(20), source: int = 40_000) -> Any:
    return IP() / UDP(sport=source, dport=port) / data


def _tcp(data: bytes, port: int = 9000, flags: str = "PA", **options: Any) -> Any:
    return IP() / TCP(sport=40_000, dport=port, flags=flags, **options) / data


def _sctp(chunks: bytes) -> Any:
    return IP(proto=132) / (b"\x9c\x40\0\x50" + bytes(8) + chunks)


WANTED = {
    "dns": _udp(53),
    "mdns": _udp(5353),
    "llmnr": _udp(5355),
    "dhcp": _udp(67),
    "dhcp6": _udp(547),
    "answer": _udp(40_000, source=53),
    "sip": _udp(5060),
    "radius": _udp(1812),
    "ike": _udp(500),
    "kerberos": _udp(88),
    "sip elsewhere": _udp(6000, b"INVITE sip:a SIP/2.0"),
    "quic": _udp(443, INITIAL),
    "quic 2": _udp(8443, b"\xd3\x6b\x33\x43\xcf" + bytes(20)),
    "wireguard": _udp(5, b"\1\0\0\0" + bytes(144)),
    "dtls": _udp(9, b"\x16\xfe\xfd" + bytes(20)),
    "ike over nat": _udp(4500, bytes(21) + b"\x20" + bytes(9)),
    "openvpn": _udp(1194, b"\x38" + bytes(13)),
    "hello": _tcp(HELLO),
    "hello behind options": _tcp(HELLO, options=[("Timestamp", (1, 2))]),
    "rest of a hello": _tcp(b"k" * 400, 443),
    "get": _tcp(b"GET / HTTP/1.1\r\n"),
    "status": _tcp(b"HTTP/1.1 200 OK"),
    "ssh": _tcp(b"SSH-2.0-x"),
    "ssh, encrypted": _tcp(b"\x9d" * 52, 22),
    "sip tcp": _tcp(b"REGISTER sip:x"),
    "dns tcp": _tcp(b"\0\x1dxxxx", 53),
    "syn": _tcp(b"", flags="S"),
    "syn, ack": _tcp(b"", flags="SA"),
    "refusal": _tcp(b"", flags="RA", seq=0),
    "null scan": _tcp(b"", flags=0),
    "xmas scan": _tcp(b"", flags="FPU"),
    "empty datagram": _udp(7000, b""),
    "dns elsewhere": _udp(5300, b"\x12\x34\1\0\0\1\0\0\0\0\0\0\1a\2de\0\0\1\0\1"),
    "dns answer elsewhere": _udp(6000, b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0\1a\2de\0", 5300),
    "ssdp": _udp(1900, b"M-SEARCH * HTTP/1.1\r\n"),
    "http over sctp": _sctp(b"\0\3\0\x20" + bytes(12) + b"GET / HTTP/1.1\r\n"),
    "sip over sctp": _sctp(b"\3\0\0\x10" + bytes(12) + b"\0\3\0\x20" + bytes(12) + b"INVITE sip:"),
    "rdp": _tcp(b"\3\0\0\x13\x0e\xe0\0\0\0"),
    "smb2": _tcp(b"\0\0\0\x80\xfeSMB" + bytes(8) + b"\1\0\0\0"),
    "smb1": _tcp(b"\0\0\0\x80\xffSMB\x73" + bytes(8)),
    "ldap": _tcp(b"\x30\x0c\2\1\1\x60\7\2\1\3"),
    "ldap, long": _tcp(b"\x30\x84\0\0\0\x10\2\1\1\x61\7\n\1\0"),
}
UNWANTED = {
    "data": _tcp(b"x" * 1400),
    "ack": _tcp(b"", flags="A"),
    "fin": _tcp(b"", flags="FA"),
    "reset": _tcp(b"", flags="R", seq=7),
    "sctp data": _sctp(b"\0\3\0\x20" + bytes(12) + bytes(16)),
    "sctp heartbeat": _sctp(b"\4\0\0\x10" + bytes(12)),
    "dns of two questions": _udp(5300, b"\x12\x34\1\0\0\2" + bytes(20)),
    "tls record": _tcp(b"\x17\x03\x03\x00\x20" + bytes(32), 443),
    "upload": _tcp(b"u" * 1400, 443, "A"),
    "rtp": _udp(16384, b"\x80\0" + bytes(160)),
    "quic short": _udp(443, b"\x43" + bytes(40)),
    "quic handshake": _udp(443, b"\xe3\0\0\0\1" + bytes(30)),
    "esp": _udp(4500, b"\1\2\3\4" + bytes(30)),
    "wireguard data": _udp(51820, b"\4\0\0\0" + bytes(60)),
    "openvpn data": _udp(1194, b"\x48" + bytes(60)),
    "ping": IP() / ICMP(),
    "gre": IP(proto=47) / (b"x" * 8),
    "smb2 read": _tcp(b"\0\0\0\x80\xfeSMB" + bytes(8) + b"\x08\0\0\0"),
    "later fragment": IP(frag=10) / bytes(40),
}


def framed(packet: Any) -> list[bytes]:
    """Return an IPv4 packet in every frame that the filter knows."""
    made = [
        LINK / packet,
        LINK / Dot1Q(vlan=5) / packet,
        Ether(dst=ALL, src=ALL, type=0x88A8) / Dot1Q(vlan=5) / Dot1Q(vlan=6) / packet,
        LINK / PPPoE() / PPP() / packet,
    ]
    if packet.payload and not packet.frag and packet.proto in {6, 17}:
        made.append(LINK / IPv6() / packet.payload.copy())
    return [bytes(one) for one in made]


@pytest.mark.parametrize("name", WANTED)
def test_metadata_passes(name: str) -> None:
    """Each protocol that a dissector reads passes: tagged, in PPPoE, in IPv6, on bare links."""
    for frame in framed(WANTED[name]):
        assert run(FILTER, frame) == 2048, frame
    assert run(metadata_filter(100, RAW), bytes(WANTED[name])) == 100


@pytest.mark.parametrize("name", UNWANTED)
def test_the_rest_does_not(name: str) -> None:
    """Bulk data, media and what is encrypted stays in the kernel."""
    for frame in framed(UNWANTED[name]):
        assert run(FILTER, frame) == 0, frame
    assert run(metadata_filter(100, RAW), bytes(UNWANTED[name])) == 0


def test_below_ip() -> None:
    """ARP, LLDP and neighbour discovery pass; so does the first fragment of an IPv6 datagram."""
    assert run(FILTER, bytes(LINK / ARP()))
    assert run(FILTER, bytes(Ether(dst=ALL, src=ALL, type=0x88CC) / b"x"))
    assert run(FILTER, bytes(LINK / IPv6() / ICMPv6ND_NS()))
    options = IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()
    assert run(FILTER, bytes(LINK / options / TCP(flags="PA") / HELLO))
    assert not run(FILTER, bytes(LINK / options / TCP(flags="PA") / b"data"))
    whole = UDP(sport=1, dport=53) / bytes(100)
    assert run(FILTER, bytes(LINK / IPv6() / IPv6ExtHdrFragment(m=1, nh=17) / whole))
    assert not run(FILTER, bytes(LINK / IPv6() / IPv6ExtHdrFragment(offset=5, nh=17) / whole))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=120), name=st.sampled_from(sorted(WANTED)), cut=st.integers(0, 200))
def test_any_bytes(data: bytes, name: str, cut: int) -> None:
    """The program ends with a verdict on every packet, cut at any length or made of noise."""
    assert run(FILTER, data) in {0, 2048}
    frame = bytes(LINK / WANTED[name])
    assert run(FILTER, frame[:cut] + data) in {0, 2048}


def test_snap() -> None:
    """The ring's own filter keeps the beginning of all packets."""
    assert run(snap_filter(128), b"") == 128


def test_assembler_refuses() -> None:
    """A jump back and a label twice are mistakes; the kernel would refuse or hang on them."""
    program = Program()
    program.label("here")
    with pytest.raises(ValueError, match="twice"):
        program.label("here")
    program.goto("here")
    with pytest.raises(ValueError, match="goes back"):
        program.assemble()


def test_events_of_real_captures(shared: Path) -> None:
    """With the filter the events of every shared capture are the same; what is lost is known.

    Certificates of servers up to TLS 1.2 (one record over many segments) and what lies in tunnels.
    A fact may be told otherwise: with fewer tries spent on other packets, or a segment later.
    """
    folders = sorted(one for one in shared.glob("pcap/*") if one.name != "encap")
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    total = compare_all(files)
    missing = total.lost - total.gained
    assert total.events.total() > 3000
    for kind, number in total.events.items():
        if kind != "certificate":
            assert missing[kind] <= number // 50 + 1, (kind, number, missing[kind])
    assert missing.total() - missing["certificate"] <= 10
    assert total.passed < total.packets // 2, "beginnings have more of it than a gateway's long run"


def test_the_kernel_agrees(namespace: Callable[[str], Namespace]) -> None:
    """Loaded into a socket on a virtual cable, it lets the same frames through."""
    one, other = namespace("one"), namespace("other")
    veth(one, "eth0", other, "eth0")
    for side in (one, other):
        side.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1")
        side.address("eth0")
    with other.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as taker:
        code = ctypes.create_string_buffer(packed(FILTER))
        pointer = struct.pack("HL", len(FILTER), ctypes.addressof(code))
        taker.setsockopt(socket.SOL_SOCKET, 26, pointer)  # SO_ATTACH_FILTER
        taker.bind(("eth0", 3))
        taker.settimeout(5)
        # PACKET_AUXDATA is not asked for: tags are gone, as they are for the ring.
        sent = [
            frame for name in (*UNWANTED, *WANTED) for frame in framed((UNWANTED | WANTED)[name])
        ]
        with one.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as giver:
            giver.bind(("eth0", 0))
            for frame in sent:
                giver.send(frame.ljust(60, b"\0"))
        expected = [untagged(frame.ljust(60, b"\0")) for frame in sent if run(FILTER, frame)]
        got = [taker.recv(4096) for _ in expected]
        taker.settimeout(0.1)
        with pytest.raises(TimeoutError):
            taker.recv(4096)
    assert got == expected


def untagged(frame: bytes) -> bytes:
    """Return what the kernel leaves in place: the outermost VLAN tag is taken off."""
    return frame[:12] + frame[16:] if frame[12:14] in {b"\x81\x00", b"\x88\xa8"} else frame
