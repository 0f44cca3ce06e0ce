"""Tunnels: what an IP packet carries in place of a transport's payload.

A tunnel is entered only where its own header is plausible; the caller falls back to the outer
packet where the inner one can't be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.capture.jit import compiled, i64, inlined
from ipwatchd.capture.link import IPV4, IPV6, MPLS, NOTHING, NSH, PPP_FRAME, version_of
from ipwatchd.capture.network import UDP
from ipwatchd.capture.octets import be16, be32, octet
from ipwatchd.capture.ppp import ppp_header
from ipwatchd.capture.wlan import wlan_header

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["inner"]

_ETHERNET_BRIDGED: Final = 0x6558  # Transparent Ethernet Bridging (RFC 1701)


@compiled
def _ethernet(data: Octets, at: int, end: int) -> tuple[int, int]:
    if at + 14 > end:
        return i64(NOTHING), at
    return be16(data, at + 12, end), at + 14


@compiled
def _gre(  # noqa: PLR0911 - a table of EtherTypes
    data: Octets, at: int, end: int
) -> tuple[int, int]:
    """Read a GRE header (RFC 2784, 2890), PPTP's (RFC 2637) and ERSPAN I to III behind it."""
    flags = be16(data, at, end)
    kind = be16(data, at + 2, end)
    if at + 4 > end or flags & 7 > 1:
        return i64(NOTHING), at
    at += 4
    at += 4 if flags & 0x8000 else 0
    at += 4 if flags & 0x2000 else 0
    at += 4 if flags & 0x1000 else 0
    at += 4 if flags & 7 == 1 and flags & 0x80 else 0
    if kind == _ETHERNET_BRIDGED:
        return _ethernet(data, at, end)
    if kind == 0x88BE:
        return _ethernet(data, at + (8 if flags & 0x1000 else 0), end)
    if kind == 0x22EB:
        return _ethernet(data, at + (20 if octet(data, at + 11, end) & 1 else 12), end)
    if kind & 0xFE0F == 0x8200:  # Aruba's: a frame of 802.11
        return wlan_header(data, at, end)
    if kind == 0x883E:  # WCCP (RFC 3040), version 2 with a header of its own
        at += 0 if octet(data, at, end) >> 4 == 4 else 4
        return version_of(data, at, end), at
    if kind in (IPV4, IPV6, MPLS, 0x8848, 0x8100, PPP_FRAME, NSH):
        return kind, at
    return i64(NOTHING), at


@compiled
def _geneve(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read a GENEVE header (RFC 8926, 3.4)."""
    first = octet(data, at, end)
    kind = be16(data, at + 2, end)
    at += 8 + (first & 0x3F) * 4
    if first >> 6 != 0:
        return i64(NOTHING), at
    if kind == _ETHERNET_BRIDGED:
        return _ethernet(data, at, end)
    return kind, at


@compiled
def _gtp(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read a GTP-U header of a user's packet (3GPP TS 29.281, 5.1) and its extension headers."""
    flags = octet(data, at, end)
    if flags >> 4 != 3 or octet(data, at + 1, end) != 0xFF:
        return i64(NOTHING), at
    following = octet(data, at + 11, end) if flags & 4 else i64(0)
    at += 12 if flags & 7 else 8
    for _ in range(8):
        if following == 0 or at >= end:
            break
        length = octet(data, at, end) * 4
        if length == 0:
            return i64(NOTHING), at
        following = octet(data, at + length - 1, end)
        at += length
    return version_of(data, at, end), at


@compiled
def _capwap(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read a CAPWAP data header (RFC 5415, 4.3) of a whole frame in clear."""
    word = be32(data, at, end)
    offset = be16(data, at + 6, end) >> 3
    if word >> 24 != 0 or offset != 0:
        return i64(NOTHING), at
    at += ((word >> 19) & 0x1F) * 4
    if word & 0x100:
        return wlan_header(data, at, end)
    return _ethernet(data, at, end)


@compiled
def _vxlan_gpe(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read a VXLAN-GPE header (draft-ietf-nvo3-vxlan-gpe, 3.2)."""
    following = octet(data, at + 3, end) if octet(data, at, end) & 4 else i64(3)
    if following in (1, 2):
        return version_of(data, at + 8, end), at + 8
    if following == 3:
        return _ethernet(data, at + 8, end)
    return i64(NSH if following == 4 else MPLS if following == 5 else NOTHING), at + 8


@compiled
def _l2tp(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read the header of an L2TP data message (RFC 2661, 3.1) and PPP behind it."""
    flags = be16(data, at, end)
    if flags & 0x800F != 2:
        return i64(NOTHING), at
    at += 8 if flags & 0x4000 else 6
    at += 4 if flags & 0x0800 else 0
    at += 2 + be16(data, at, end) if flags & 0x0200 else 0
    return ppp_header(data, at, end)


@compiled
def _teredo(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Step over authentication and origin indications (RFC 4380, 5.1.1)."""
    if be16(data, at, end) == 1:
        at += 13 + octet(data, at + 2, end) + octet(data, at + 3, end)
    if be16(data, at, end) == 0:
        at += 8
    return i64(IPV6 if octet(data, at, end) >> 4 == 6 else NOTHING), at


@compiled
def _tzsp(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Step over TaZmen's tags to the Ethernet frame that was sniffed."""
    if be32(data, at, end) not in (0x01000001, 0x01010001):
        return i64(NOTHING), at
    at += 4
    for _ in range(16):
        tag = octet(data, at, end)
        at += 1
        if tag == 1:
            return _ethernet(data, at, end)
        at += 1 + octet(data, at, end) if tag != 0 else 0
    return i64(NOTHING), at


@compiled
def _either(source: int, target: int, port: int) -> bool:
    return port in (source, target)


@compiled
def _over_udp(  # noqa: C901, PLR0911 - a table of ports
    data: Octets, at: int, end: int, source: int, port: int
) -> tuple[int, int]:
    if _either(source, port, 4789) or port == 8472:  # VXLAN (RFC 7348), Linux's old port
        if octet(data, at, end) & 8 and octet(data, at + 7, end) == 0:
            return _ethernet(data, at + 8, end)
    elif _either(source, port, 6081):
        return _geneve(data, at, end)
    elif _either(source, port, 2152):
        return _gtp(data, at, end)
    elif _either(source, port, 5247):
        return _capwap(data, at, end)
    elif _either(source, port, 1701):
        return _l2tp(data, at, end)
    elif _either(source, port, 3544):
        return _teredo(data, at, end)
    elif port == 4790:
        return _vxlan_gpe(data, at, end)
    elif port == 6635:  # MPLS (RFC 7510)
        return i64(MPLS), at
    elif port == 4341:  # LISP (RFC 9300)
        return version_of(data, at + 8, end), at + 8
    elif port == 4754:  # GRE in UDP (RFC 8086)
        return _gre(data, at, end)
    elif _either(source, port, 37008):
        return _tzsp(data, at, end)
    return i64(NOTHING), at


@inlined
def inner(data: Octets, header: Any) -> tuple[int, int]:  # noqa: PLR0911 - a table of protocols
    """Return the EtherType and place of what the packet in `header` tunnels, or NOTHING."""
    proto = i64(header["proto"])
    at = i64(header["at"])
    end = i64(header["end"])
    if proto == 6 or header["later_fragment"]:
        return i64(NOTHING), at
    if proto == UDP:
        return _over_udp(data, at, end, i64(header["src_port"]), i64(header["dst_port"]))
    if proto == 4:
        return i64(IPV4), at
    if proto == 41:
        return i64(IPV6), at
    if proto == 47:
        return _gre(data, at, end)
    if proto == 137:
        return i64(MPLS), at
    if proto == 97 and octet(data, at, end) >> 4 == 3:  # EtherIP (RFC 3378)
        return _ethernet(data, at + 2, end)
    return i64(NOTHING), at
