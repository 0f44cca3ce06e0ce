"""Link types that are seldom met → EtherType and where the network layer starts.

The numbers and headers are those of https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.jit import compiled, i64
from ipwatchd.capture.octets import be16, be32, le32, octet
from ipwatchd.capture.ppp import ppp_header
from ipwatchd.capture.wlan import wlan_header

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["RARE_LINKS", "hdlc_header", "rare_link", "version_at"]

RARE_LINKS: Final = frozenset(
    (6, 7, 8, 10, 100, 107, 109, 117, 119, 122, 123, 129, 138, 163, 166, 204, 205, 206, 226, 240,
     241, 274)
)  # fmt: skip
"""Token Ring, ARCNET (BSD), SLIP, FDDI, ATM in LLC, frame relay, OpenBSD's IPsec and filter log,
Prism, IP over Fibre Channel, SunATM, ARCNET (Linux), IP over IEEE 1394, AVS, pppd's, PPP, Cisco
HDLC and frame relay with a direction before, ipnet, netANALYZER (two), IEEE 802.3br."""

_NOTHING: Final = -1
_SNAP: Final = 0xAAAA0300


@compiled
def version_at(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Return the EtherType of a bare IP packet by its version."""
    version = octet(data, at, end) >> 4
    if version == 4:
        return i64(0x0800), at
    if version == 6:
        return i64(0x86DD), at
    return i64(_NOTHING), at


@compiled
def _snap(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read LLC and SNAP (RFC 1042)."""
    if be32(data, at, end) == _SNAP:
        return be16(data, at + 6, end), at + 8
    return i64(_NOTHING), at


@compiled
def hdlc_header(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read Cisco's HDLC header."""
    return be16(data, at + 2, end), at + 4


@compiled
def _arcnet(data: Octets, at: int, end: int, kind_at: int) -> tuple[int, int]:
    """Read an ARCNET header's type (RFC 1051, 1201); an exception packet is longer by four."""
    kind = octet(data, kind_at, end)
    if kind in (0xF0, 0xF1):
        return i64(0x0800 if kind == 0xF0 else 0x0806), kind_at + 1
    at = kind_at + 4
    if octet(data, kind_at + 1, end) == 0xFF:
        at += 4
    if kind == 0xD4:
        return i64(0x0800), at
    if kind == 0xC4:
        return i64(0x86DD), at
    return i64(0x0806 if kind == 0xD5 else _NOTHING), at


@compiled
def _frame_relay(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read an address of 2 to 4 bytes and the multiprotocol header (RFC 2427), or Cisco's."""
    for _ in range(4):
        at += 1
        if octet(data, at - 1, end) & 1:
            break
    if octet(data, at, end) != 3:
        return be16(data, at, end), at + 2
    at += 1
    if octet(data, at, end) == 0:
        at += 1
    kind = octet(data, at, end)
    if kind == 0xCC:
        return i64(0x0800), at + 1
    if kind == 0x8E:
        return i64(0x86DD), at + 1
    if kind == 0x80:
        return be16(data, at + 4, end), at + 6
    return i64(_NOTHING), at


@compiled
def _token_ring(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Step over the header and the route that a set bit in the source announces."""
    route = octet(data, at + 14, end) & 0x1F if octet(data, at + 8, end) & 0x80 else i64(0)
    return _snap(data, at + 14 + route, end)


@compiled
def _ether_behind(data: Octets, at: int, end: int) -> tuple[int, int]:
    if at + 14 > end:
        return i64(_NOTHING), at
    return be16(data, at + 12, end), at + 14


@compiled
def _radio(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Step over Prism's or AVS's header, whose length is in the byte order of its maker."""
    avs = be32(data, at, end) >> 12 == 0x80211
    length = be32(data, at + 4, end) if avs else le32(data, at + 4, end)
    return wlan_header(data, at + length, end)


@compiled
def rare_link(  # noqa: C901, PLR0911, PLR0912 - a table of link types
    data: Octets, at: int, end: int, link: int
) -> tuple[int, int]:
    """Return the EtherType behind a header of RARE_LINKS and where its payload starts."""
    if link == 6:
        return _token_ring(data, at, end)
    if link == 7:
        return _arcnet(data, at, end, at + 2)
    if link == 129:
        return _arcnet(data, at, end, at + 4)
    if link == 10:
        return _snap(data, at + 13, end)
    if link == 100:
        return _snap(data, at, end)
    if link == 122:
        return _snap(data, at + 16, end)
    if link == 123:
        return _snap(data, at + 4, end)
    if link in (107, 206):
        return _frame_relay(data, at + (1 if link == 206 else 0), end)
    if link in (119, 163):
        return _radio(data, at, end)
    if link == 138:
        return be16(data, at + 16, end), at + 18
    if link == 166:
        return ppp_header(data, at + 2, end)
    if link == 204:
        return ppp_header(data, at + 1, end)
    if link == 205:
        return hdlc_header(data, at + 1, end)
    if link in (240, 241, 274):
        return _ether_behind(data, at + (4 if link == 240 else 12 if link == 241 else 8), end)
    if link == 117:  # its length without padding, then padded to words
        return version_at(data, at + ((octet(data, at, end) + 3) & ~3), end)
    if link in (8, 109, 226):
        return version_at(data, at + (16 if link == 8 else 12 if link == 109 else 24), end)
    return i64(_NOTHING), at
