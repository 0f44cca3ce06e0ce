"""Link headers → EtherType and where the network layer starts.

Link types are the numbers of https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.capture.jit import compiled, i64, inlined
from ipwatchd.capture.octets import be16, be32, le16, le32, octet
from ipwatchd.capture.ppp import ppp_header
from ipwatchd.capture.rare_link import RARE_LINKS, hdlc_header, rare_link
from ipwatchd.capture.wlan import wlan_header

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = [
    "ARP", "ETHERNET", "IPV4", "IPV6", "LINK_TYPES", "LLDP", "MPLS", "NOTHING", "NSH", "PPP_FRAME",
    "link_header", "unwrap", "version_of",
]  # fmt: skip

ETHERNET: Final = 1
LINK_TYPES: Final = RARE_LINKS | frozenset(
    (0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 127, 149, 192, 228, 229, 239, 258, 276)
)
"""BSD loopback, Ethernet, PPP, raw IP (three numbers), PPP in HDLC, PPPoE, raw IP, Cisco HDLC,
802.11, OpenBSD loopback, cooked v1, radiotap, USER2 as PKTAP (Apple), PPI, IPv4, IPv6, NFLOG,
PKTAP, cooked v2, and the rare ones."""

NOTHING: Final = -1
IPV4: Final = 0x0800
ARP: Final = 0x0806
IPV6: Final = 0x86DD
LLDP: Final = 0x88CC
MPLS: Final = 0x8847
PPP_FRAME: Final = 0x880B
NSH: Final = 0x894F
_MAX_TAGS: Final = 8


@inlined
def version_of(data: Octets, at: int, end: int) -> int:
    """Return the EtherType of a bare IP packet by its version, or NOTHING."""
    version = octet(data, at, end) >> 4
    if version == 4:
        return i64(IPV4)
    if version == 6:
        return i64(IPV6)
    return i64(NOTHING)


@compiled
def _loopback(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read a BSD address family, in either byte order."""
    family = le32(data, at, end)
    if family > 0xFFFF:
        family = be32(data, at, end)
    if family == 2:
        return i64(IPV4), at + 4
    if family in (10, 24, 28, 30):  # AF_INET6 of Linux, NetBSD, FreeBSD, Darwin
        return i64(IPV6), at + 4
    return i64(NOTHING), at


@compiled
def _nflog(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Find the payload attribute (NFULA_PAYLOAD, 9) of an NFLOG record."""
    at += 4
    for _ in range(32):
        length = le16(data, at, end)
        if length < 4 or at + 4 > end:
            break
        if le16(data, at + 2, end) & 0x7FFF == 9:
            return version_of(data, at + 4, end), at + 4
        at += (length + 3) & ~3
    return i64(NOTHING), at


@compiled
def _wrapped(data: Octets, at: int, end: int, link: int) -> tuple[int, int]:
    """Step over a pseudo-header before another link type: radiotap, PPI and Apple's PKTAP."""
    if link == 127:
        return i64(105), at + le16(data, at + 2, end)
    if link == 192:
        return le32(data, at + 4, end), at + le16(data, at + 2, end)
    return le32(data, at + 8, end), at + le32(data, at, end)


@compiled
def _rare_link(  # noqa: PLR0911 - a table of link types
    data: Octets, at: int, end: int, link: int
) -> tuple[int, int]:
    if link in (0, 108):
        return _loopback(data, at, end)
    if link == 113:  # Linux cooked v1
        return be16(data, at + 14, end), at + 16
    if link == 276:  # Linux cooked v2
        return be16(data, at, end), at + 20
    if link in (9, 50, 104):
        if link == 104 or octet(data, at, end) in (0x0F, 0x8F):  # Cisco HDLC, also in PPP's place
            return hdlc_header(data, at, end)
        return ppp_header(data, at, end)
    if link == 51:
        return i64(0x8864), at
    if link == 105:
        return wlan_header(data, at, end)
    if link == 239:
        return _nflog(data, at, end)
    if link in (12, 14, 101, 228, 229):
        return version_of(data, at, end), at
    return rare_link(data, at, end, link)


@inlined
def link_header(data: Octets, at: int, end: int, link: int) -> tuple[int, int]:
    """Return the EtherType behind the link header and where its payload starts."""
    if link in (127, 149, 192, 258):
        link, at = _wrapped(data, at, end, link)
    if link == ETHERNET:
        if at + 14 > end:
            return i64(NOTHING), at
        return be16(data, at + 12, end), at + 14
    return _rare_link(data, at, end, link)


@compiled
def _mpls(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Step over a label stack (RFC 3032); what follows is IP, or Ethernet behind a zero word."""
    for _ in range(_MAX_TAGS):
        label = be32(data, at, end)
        at += 4
        if label & 0x100 or at >= end:
            break
    if be32(data, at, end) >> 28 == 0 and at + 18 <= end:  # control word (RFC 4385)
        return be16(data, at + 16, end), at + 18
    return version_of(data, at, end), at


@compiled
def _nsh(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read a network service header (RFC 8300, 2)."""
    following = octet(data, at + 3, end)
    at += (be16(data, at, end) & 0x3F) * 4
    if following == 3 and at + 14 <= end:
        return be16(data, at + 12, end), at + 14
    if following == 5:
        return i64(MPLS), at
    return version_of(data, at, end), at


@compiled
def _tagged(data: Octets, at: int, end: int, kind: int) -> tuple[int, int]:
    """Step over a tag that carriers and data centres put before the frame or its type.

    802.1ah, Cisco's VN-Tag, 802.1BR, Cisco's metadata, MACsec without encryption (IEEE 802.1AE),
    B.A.T.M.A.N.'s unicast, TRILL (RFC 6325), FabricPath. NOTHING where it is none of them.
    """
    length = i64(-1)
    if kind == 0x88E7:  # a provider's backbone: service tag, then the customer's frame
        length = i64(16)
    elif kind == 0x8926:
        length = i64(4)
    elif kind == 0x893F:
        length = i64(6)
    elif kind == 0x8909:
        length = 2 + 4 * octet(data, at + 1, end)
    elif kind == 0x88E5 and octet(data, at, end) & 0x0C == 0:
        length = i64(14 if octet(data, at, end) & 0x20 else 6)
    elif kind == 0x4305 and octet(data, at, end) == 0x40:
        length = i64(22)
    elif kind == 0x22F3:
        length = 18 + 4 * ((be16(data, at, end) >> 6) & 0x1F)
    elif kind == 0x8903:
        length = i64(14)
    if length < 0:
        return i64(NOTHING), at
    return be16(data, at + length, end), at + length + 2


@compiled
def unwrap(  # noqa: C901 - a table of EtherTypes
    data: Octets, at: int, end: int, kind: int, header: Any
) -> tuple[int, int]:
    """Step over VLAN tags (the outermost is kept), MPLS, PPPoE, LLC and other tags to the network.

    What is none of those is returned as it is.
    """
    for _ in range(_MAX_TAGS):
        if kind in (IPV4, IPV6):
            break
        if kind in (0x8100, 0x88A8, 0x9100) and at + 4 <= end:
            if header["vlan"] == 0:
                header["vlan"] = be16(data, at, end) & 0xFFF
            kind = be16(data, at + 2, end)
            at += 4
        elif kind in (MPLS, 0x8848):
            kind, at = _mpls(data, at, end)
        elif kind == 0x8864:  # PPPoE session (RFC 2516)
            kind, at = ppp_header(data, at + 6, end)
        elif kind == PPP_FRAME:
            kind, at = ppp_header(data, at, end)
        elif kind == NSH:
            kind, at = _nsh(data, at, end)
        elif 0 < kind <= 1500 and be32(data, at, end) == 0xAAAA0300:  # LLC and SNAP (RFC 1042)
            kind = be16(data, at + 6, end)
            at += 8
        else:
            behind, place = _tagged(data, at, end, kind)
            if behind == NOTHING:
                break
            kind, at = behind, place
    return kind, at
