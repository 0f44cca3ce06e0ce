"""Classic BPF (linux/filter.h): the kernel keeps from us what carries no metadata; pure.

Where connection tracking counts, the ring need not see every packet. The filter has no memory: it
knows a message by its port or its first bytes. What only a stream's history would show is lost:
continuations other than those of a ClientHello, certificates of TLS 1.2, what lies in a tunnel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.bpf_program import Program

if TYPE_CHECKING:
    from ipwatchd.capture.bpf_program import Instruction

__all__ = ["ETHERNET", "RAW", "metadata_filter", "snap_filter"]

ETHERNET: Final = 1
RAW: Final = 101

# Scratch memory.
_PROTO, _SIZE, _L4, _HEAD, _PAYLOAD, _NUMBER = 0, 1, 2, 3, 4, 5

_VLAN: Final = (0x8100, 0x88A8, 0x9100)
_UDP_PORTS: Final = (
    53, 5353, 5355, 67, 68, 546, 547, 5060, 88, 500, 1812, 1813, 1645, 1646, 3799,
)  # fmt: skip
_TCP_PORTS: Final = (53, 88)
_TLS_PORTS: Final = (443, 465, 563, 587, 636, 853, 989, 990, 992, 993, 995, 3389, 5061, 8443)


def _words(text: str) -> tuple[int, ...]:
    return tuple(int.from_bytes(word.encode("ascii"), "big") for word in text.split("|"))


_SIP: Final = _words("SIP/|INVI|REGI|ACK |BYE |CANC|OPTI|SUBS|NOTI|MESS|INFO|PRAC|REFE|UPDA|PUBL")
_TEXT: Final = (
    *_SIP,
    *_words("SSH-|GET |POST|HTTP|HEAD|PUT |DELE|PATC|CONN|TRAC"),
    *_words("PROP|MKCO|REPO|SEAR|COPY|MOVE|LOCK|UNLO"),
)
_SMB1: Final = 0xFF534D42
_SMB2: Final = 0xFE534D42
_QUIC_2: Final = 0x6B3343CF


def snap_filter(snap: int) -> list[Instruction]:
    """Return the program that keeps the first `snap` bytes of every packet."""
    program = Program()
    program.keep(snap)
    return program.assemble()


def metadata_filter(snap: int, link: int = ETHERNET) -> list[Instruction]:
    """Return the program that keeps packets which dissectors want, as (code, jt, jf, k).

    `link` is the LINKTYPE_ of the socket's packets: ETHERNET, or RAW (tunnels, PPP). VLAN tags,
    PPPoE, first fragments of both versions; no other IPv6 extension headers.
    """
    program = Program()
    if link == RAW:
        _raw(program)
    else:
        _ethernet(program)
    _ipv4(program)
    _ipv6(program)
    _transport(program)
    _udp(program)
    _tcp(program)
    _continuation(program)
    program.label("accept")
    program.keep(snap)
    program.label("drop")
    program.keep(0)
    return program.assemble()


def _raw(program: Program) -> None:
    program.set_x(0)
    program.byte(0)
    program.and_(0xF0)
    program.goto_if(0x40, "ipv4")
    program.goto_if(0x60, "ipv6")
    program.goto("drop")


def _ethernet(program: Program) -> None:
    """Leave X at the network header. A tag that the kernel did not strip is stepped over."""
    program.set_x(14)
    program.half(12)
    for number in range(2):
        program.goto_unless_any(_VLAN, f"untagged{number}")
        program.half(2, indirect=True)
        program.store(_NUMBER)
        program.step(4)
        program.load(_NUMBER)
        program.label(f"untagged{number}")
    program.goto_if_any((0x0806, 0x88CC), "accept")
    program.goto_if(0x0800, "ipv4")
    program.goto_if(0x86DD, "ipv6")
    program.goto_unless(0x8864, "drop")
    program.half(6, indirect=True)
    program.store(_NUMBER)
    program.step(8)
    program.load(_NUMBER)
    program.goto_if(0x0021, "ipv4")
    program.goto_if(0x0057, "ipv6")
    program.goto("drop")


def _ipv4(program: Program) -> None:
    """Leave X at the transport header, its protocol and bytes in scratch memory."""
    program.label("ipv4")
    program.half(6, indirect=True)
    program.goto_if_set(0x1FFF, "drop")
    program.byte(9, indirect=True)
    program.store(_PROTO)
    program.half(2, indirect=True)
    program.store(_SIZE)
    program.byte(0, indirect=True)
    program.and_(0x0F)
    program.shift_left(2)
    program.store(_HEAD)
    program.add_x()
    program.store(_L4)
    program.load(_SIZE)
    program.load_x(_HEAD)
    program.subtract_x()
    program.store(_SIZE)
    program.load_x(_L4)
    program.goto("transport")


def _ipv6(program: Program) -> None:
    program.label("ipv6")
    program.byte(6, indirect=True)
    program.store(_PROTO)
    program.half(4, indirect=True)
    program.store(_SIZE)
    program.step(40)
    program.load(_PROTO)
    program.goto_unless(44, "whole")
    program.half(2, indirect=True)
    program.goto_if_set(0xFFF8, "drop")
    program.byte(0, indirect=True)
    program.store(_PROTO)
    program.step(8)
    program.label("whole")
    program.copy_x()
    program.store(_L4)


def _transport(program: Program) -> None:
    program.label("transport")
    program.load(_PROTO)
    program.goto_if(17, "udp")
    program.goto_if(6, "tcp")
    program.goto_unless(58, "drop")
    program.byte(0, indirect=True)
    program.goto_if_any((133, 134, 135, 136, 137), "accept")
    program.goto("drop")


def _udp(program: Program) -> None:
    """Known ports whole; elsewhere what opens QUIC, DTLS, a VPN or a SIP dialogue."""
    program.label("udp")
    for end in (0, 2):
        program.half(end, indirect=True)
        program.goto_if_any(_UDP_PORTS, "accept")
    program.word(8, indirect=True)
    program.goto_if_any((0x01000000, 0x02000000, *_SIP), "accept")
    program.goto_if(0, "ike")
    program.shift_right(8)
    program.goto_if_any((0x16FEFD, 0x16FEFF), "accept")
    program.byte(8, indirect=True)
    program.goto_if(0x38, "accept")  # OpenVPN: P_CONTROL_HARD_RESET_CLIENT_V2
    program.goto_below(0xC0, "drop")
    _quic(program)
    program.label("ike")
    program.byte(8 + 21, indirect=True)
    program.goto_if_any((0x10, 0x20), "accept")
    program.goto("drop")


def _quic(program: Program) -> None:
    """Long headers of type Initial (RFC 9000, 17.2.2; RFC 9369, 3.2), versions of shape.py."""
    program.word(9, indirect=True)
    program.goto_if(_QUIC_2, "second")
    program.goto_if(1, "first")
    program.and_(0x0F0F0F0F)
    program.goto_if(0x0A0A0A0A, "first")
    program.word(9, indirect=True)
    program.shift_right(8)
    program.goto_if(0xFF0000, "first")
    program.shift_right(8)
    program.goto_unless(0x5430, "drop")
    program.label("first")
    program.byte(8, indirect=True)
    program.and_(0x30)
    program.goto_if(0, "accept")
    program.goto("drop")
    program.label("second")
    program.byte(8, indirect=True)
    program.and_(0x30)
    program.goto_if(0x10, "accept")
    program.goto("drop")


def _tcp(program: Program) -> None:
    """A SYN, which tells who opens; then payloads that begin a message."""
    program.label("tcp")
    program.byte(13, indirect=True)
    program.and_(0x17)
    program.goto_if(0x02, "accept")
    program.byte(12, indirect=True)
    program.and_(0xF0)
    program.shift_right(2)
    program.store(_HEAD)
    program.load(_SIZE)
    program.load_x(_HEAD)
    program.subtract_x()
    program.store(_PAYLOAD)
    program.goto_if(0, "drop")
    program.load_x(_L4)
    for end in (0, 2):
        program.half(end, indirect=True)
        program.goto_if_any(_TCP_PORTS, "accept")
    program.load(_HEAD)
    program.add_x()
    program.move_to_x()
    program.byte(0, indirect=True)
    program.goto_if(0x16, "handshake")
    program.goto_if(0x00, "counted")
    program.goto_if(0x30, "ldap")
    program.goto_if(0x03, "tpkt")
    program.word(0, indirect=True)
    program.goto_if_any(_TEXT, "accept")
    program.goto("continuation")
    _handshake(program)
    _counted(program)
    _ldap(program)
    program.label("tpkt")
    program.byte(1, indirect=True)
    program.goto_unless(0, "continuation")
    program.byte(5, indirect=True)
    program.goto_if(0xE0, "accept")
    program.goto("continuation")


def _handshake(program: Program) -> None:
    """A TLS record of type handshake with a ClientHello or ServerHello."""
    program.label("handshake")
    program.byte(1, indirect=True)
    program.goto_unless(3, "continuation")
    program.byte(5, indirect=True)
    program.goto_if_any((1, 2), "accept")
    program.goto("continuation")


def _counted(program: Program) -> None:
    """What starts with its length: SMB's session setup, Kerberos, a DNS query, OpenVPN."""
    program.label("counted")
    program.word(4, indirect=True)
    program.goto_if(_SMB2, "smb2")
    program.goto_if(_SMB1, "smb1")
    program.shift_right(24)
    program.goto_if_any((0x6A, 0x6B, 0x6C, 0x6D, 0x7E), "accept")
    program.half(0, indirect=True)
    program.store(_NUMBER)
    program.byte(2, indirect=True)
    program.goto_if(0x38, "fills")
    program.word(6, indirect=True)
    program.goto_unless(0x10000, "continuation")
    program.label("fills")
    # The length before the message is that of the rest of the segment.
    program.load(_NUMBER)
    program.add(2)
    program.load_x(_PAYLOAD)
    program.goto_if_x("accept")
    program.goto("continuation")
    program.label("smb2")
    program.byte(16, indirect=True)
    program.goto_if(1, "accept")
    program.goto("drop")
    program.label("smb1")
    program.byte(8, indirect=True)
    program.goto_if(0x73, "accept")
    program.goto("drop")


def _ldap(program: Program) -> None:
    """A bind or an extended operation (RFC 4511, 4.2 and 4.12), lengths of up to four bytes."""
    program.label("ldap")
    program.byte(1, indirect=True)
    program.goto_below(0x80, "short")
    program.and_(0x7F)
    program.add_x()
    program.move_to_x()
    program.label("short")
    program.byte(2, indirect=True)
    program.goto_unless(2, "continuation")
    program.byte(3, indirect=True)
    program.goto_above(4, "continuation")
    program.add_x()
    program.move_to_x()
    program.byte(4, indirect=True)
    program.goto_if_any((0x60, 0x61, 0x77, 0x78), "accept")


def _continuation(program: Program) -> None:
    """The rest of a ClientHello, which fills more than a segment by now (hybrid key shares).

    Towards a TLS port, the end of a write (PSH), no record's beginning. Of an upload that is a
    segment a write at the most; what clients send in small pieces begins with a record.
    """
    program.label("continuation")
    program.load_x(_L4)
    program.half(2, indirect=True)
    program.goto_unless_any(_TLS_PORTS, "drop")
    program.byte(13, indirect=True)
    program.goto_unless_set(0x08, "drop")
    program.load(_HEAD)
    program.add_x()
    program.move_to_x()
    program.half(0, indirect=True)
    program.goto_if_any((0x1403, 0x1503, 0x1603, 0x1703), "drop")
