"""The metadata filter's view of a payload: which datagrams and segments a dissector wants; pure.

Everything here runs behind the network header: X is at the transport's (cell L4), PROTO its
protocol, SIZE the bytes from there to the packet's end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipwatchd.capture.bpf_program import Program

__all__ = ["HEAD", "L4", "NUMBER", "PROTO", "SIZE", "sctp", "tcp", "udp"]

# Scratch memory.
PROTO, SIZE, L4, HEAD, PAYLOAD, NUMBER = 0, 1, 2, 3, 4, 5

_UDP_PORTS: Final = (
    53, 5353, 5355, 67, 68, 546, 547, 5060, 88, 500, 1812, 1813, 1645, 1646, 3799,
)  # fmt: skip
_TCP_PORTS: Final = (22, 53, 88)
"""Whole: DNS, Kerberos, and SSH, of which the sizes of encrypted segments tell how a login went."""
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
_SSDP_SEARCH: Final = 0x4D2D5345
_CHUNKS: Final = 4
"""Chunks of an SCTP packet that are looked at, as in content.py."""


def udp(program: Program) -> None:
    """Known ports whole; elsewhere what opens QUIC, DTLS, a VPN or a SIP dialogue, SSDP and DNS.

    And what carries nothing: scanners knock with it.
    """
    program.label("udp")
    for end in (0, 2):
        program.half(end, indirect=True)
        program.goto_if_any(_UDP_PORTS, "accept")
    program.half(4, indirect=True)
    program.goto_if(8, "accept")
    program.word(8, indirect=True)
    program.goto_if_any((0x01000000, 0x02000000, _SSDP_SEARCH, *_SIP), "accept")
    program.goto_if(0, "ike")
    program.shift_right(8)
    program.goto_if_any((0x16FEFD, 0x16FEFF), "accept")
    program.byte(8, indirect=True)
    program.goto_if(0x38, "accept")  # OpenVPN: P_CONTROL_HARD_RESET_CLIENT_V2
    program.goto_below(0xC0, "dns")
    _quic(program)
    program.label("ike")
    program.byte(8 + 21, indirect=True)
    program.goto_if_any((0x10, 0x20), "accept")
    _dns(program)


def _dns(program: Program) -> None:
    """A standard query of one question or its answer, on any port (shape.py's _dns_message)."""
    program.label("dns")
    program.half(8 + 4, indirect=True)
    program.goto_unless(1, "drop")
    for place, most in ((6, 64), (8, 16), (10, 16)):
        program.half(8 + place, indirect=True)
        program.goto_above(most, "drop")
    program.half(8 + 2, indirect=True)
    program.goto_if_set(0x7840, "drop")
    program.goto_if_set(0x8000, "accept")
    program.goto_if_set(0x008F, "drop")
    for place in (6, 8):
        program.half(8 + place, indirect=True)
        program.goto_unless(0, "drop")
    program.goto("accept")


def sctp(program: Program) -> None:
    """The first chunk with data (RFC 9260, 3.3.1) that begins an HTTP or SIP message."""
    program.label("sctp")
    program.step(12)
    for number in range(_CHUNKS):
        program.byte(0, indirect=True)
        program.goto_unless(0, f"chunk{number}")
        program.word(16, indirect=True)
        program.goto_if_any(_TEXT, "accept")
        program.goto("drop")
        program.label(f"chunk{number}")
        program.half(2, indirect=True)
        program.goto_below(4, "drop")
        program.add(3)
        program.and_(0xFFFC)
        program.add_x()
        program.move_to_x()
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
    program.goto_unless(0x5430, "dns")
    program.label("first")
    program.byte(8, indirect=True)
    program.and_(0x30)
    program.goto_if(0, "accept")
    program.goto("dns")
    program.label("second")
    program.byte(8, indirect=True)
    program.and_(0x30)
    program.goto_if(0x10, "accept")
    program.goto("dns")


def tcp(program: Program) -> None:
    """What opens, answers or refuses; then payloads that begin a message.

    A reset that answers a SYN has the sequence number 0 (RFC 9293, 3.10.7.1). A segment without
    ACK, SYN and RST is a probe: no connection has one.
    """
    program.label("tcp")
    program.byte(13, indirect=True)
    program.and_(0x17)
    program.goto_if_any((0x02, 0x12, 0x00, 0x01), "accept")
    program.goto_unless_set(0x04, "alive")
    program.word(4, indirect=True)
    program.goto_if(0, "accept")
    program.goto("drop")
    program.label("alive")
    program.byte(12, indirect=True)
    program.and_(0xF0)
    program.shift_right(2)
    program.store(HEAD)
    program.load(SIZE)
    program.load_x(HEAD)
    program.subtract_x()
    program.store(PAYLOAD)
    program.goto_if(0, "drop")
    program.load_x(L4)
    for end in (0, 2):
        program.half(end, indirect=True)
        program.goto_if_any(_TCP_PORTS, "accept")
    program.load(HEAD)
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
    _continuation(program)


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
    program.store(NUMBER)
    program.byte(2, indirect=True)
    program.goto_if(0x38, "fills")
    program.word(6, indirect=True)
    program.goto_unless(0x10000, "continuation")
    program.label("fills")
    # The length before the message is that of the rest of the segment.
    program.load(NUMBER)
    program.add(2)
    program.load_x(PAYLOAD)
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
    program.goto("continuation")


def _continuation(program: Program) -> None:
    """The rest of a ClientHello, which fills more than a segment by now (hybrid key shares).

    Towards a TLS port, the end of a write (PSH), no record's beginning. Of an upload that is a
    segment a write at the most; what clients send in small pieces begins with a record.
    """
    program.label("continuation")
    program.load_x(L4)
    program.half(2, indirect=True)
    program.goto_unless_any(_TLS_PORTS, "drop")
    program.byte(13, indirect=True)
    program.goto_unless_set(0x08, "drop")
    program.load(HEAD)
    program.add_x()
    program.move_to_x()
    program.half(0, indirect=True)
    program.goto_if_any((0x1403, 0x1503, 0x1603, 0x1703), "drop")
