"""IP and transport headers → HEADER. A header that lies leaves what was found before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.capture.jit import compiled, i64, inlined, u64
from ipwatchd.capture.octets import be16, be32, be64, octet

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["AH", "ICMP", "ICMP6", "SCTP", "TCP", "UDP", "UDPLITE", "ipv4", "ipv6", "transport"]

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ESP: Final = 50
AH: Final = 51
ICMP6: Final = 58
SCTP: Final = 132
UDPLITE: Final = 136

_MAPPED: Final = u64(0xFFFF_0000_0000)
_NONE: Final = u64(0)
_MAX_EXTENSIONS: Final = 16


@compiled
def _jumbo(data: Octets, at: int, end: int, length: int) -> int:
    """Return the length of a jumbogram (RFC 2675) from its hop-by-hop options, or 0."""
    place = at + 2
    last = min(end, at + length)
    for _ in range(_MAX_EXTENSIONS):
        if place + 2 > last:
            break
        kind = octet(data, place, end)
        if kind == 0xC2:
            return be32(data, place + 2, end)
        place += 1 if kind == 0 else 2 + octet(data, place + 1, end)
    return i64(0)


@compiled
def _extensions(data: Octets, at: int, end: int, header: Any) -> None:
    """Walk extension headers (RFC 8200, 4) to the transport; note a later fragment."""
    proto = i64(header["proto"])
    for _ in range(_MAX_EXTENSIONS):
        if at + 8 > end:
            break
        if proto in (0, 43, 60, 135, 139, 140):
            length = (octet(data, at + 1, end) + 1) * 8
            if proto == 0 and header["ip_bytes"] == 40:
                header["ip_bytes"] = 40 + _jumbo(data, at, end, length)
        elif proto == AH and octet(data, at, end) != ESP:  # what it authenticates is in clear
            length = (octet(data, at + 1, end) + 2) * 4
        elif proto == 44:
            length = i64(8)
            if be16(data, at + 2, end) & 0xFFF8:
                header["later_fragment"] = 1
        else:
            break
        proto = octet(data, at, end)
        at += length
        if header["later_fragment"]:
            break
    header["proto"] = proto
    header["at"] = at


@inlined
def ipv4(data: Octets, at: int, end: int, on_wire: int, header: Any) -> bool:
    """Read an IPv4 header (RFC 791). `on_wire` stands for a total length of 0 (TSO).

    False leaves `header` as it was: too short, another version or impossible lengths.
    """
    if at + 20 > end:
        return False
    first = octet(data, at, end)
    length = (first & 15) * 4
    total = be16(data, at + 2, end)
    if first >> 4 != 4 or length < 20 or 0 < total < length:
        return False
    header["src_hi"] = _NONE
    header["dst_hi"] = _NONE
    header["src_lo"] = _MAPPED | u64(be32(data, at + 12, end))
    header["dst_lo"] = _MAPPED | u64(be32(data, at + 16, end))
    header["proto"] = octet(data, at + 9, end)
    header["later_fragment"] = be16(data, at + 6, end) & 0x1FFF != 0
    header["ip_bytes"] = total if total > 0 else on_wire
    header["end"] = min(end, at + total) if total > 0 else end
    header["at"] = at + length
    if header["proto"] == AH and not header["later_fragment"]:
        _extensions(data, at + length, i64(header["end"]), header)
    return True


@compiled
def ipv6(data: Octets, at: int, end: int, on_wire: int, header: Any) -> bool:
    """Read an IPv6 header and its extension headers (RFC 8200); else as `ipv4`."""
    if at + 40 > end or octet(data, at, end) >> 4 != 6:
        return False
    header["src_hi"] = be64(data, at + 8, end)
    header["src_lo"] = be64(data, at + 16, end)
    header["dst_hi"] = be64(data, at + 24, end)
    header["dst_lo"] = be64(data, at + 32, end)
    header["later_fragment"] = 0
    payload = be16(data, at + 4, end)
    header["proto"] = octet(data, at + 6, end)
    header["ip_bytes"] = payload + 40
    header["end"] = min(end, at + 40 + payload) if payload > 0 else end
    header["at"] = at + 40
    if header["proto"] not in (TCP, UDP):
        _extensions(data, at + 40, i64(header["end"]), header)
    if payload == 0 and header["ip_bytes"] == 40 and header["proto"] != 59:
        header["ip_bytes"] = max(on_wire, 40)
    return True


@inlined
def _tcp(data: Octets, at: int, end: int, header: Any) -> None:
    header["seq"] = be32(data, at + 4, end)
    header["tcp_flags"] = octet(data, at + 13, end)
    length = (octet(data, at + 12, end) >> 4) * 4
    header["at"] = min(at + max(length, 20), end)


@inlined
def transport(data: Octets, header: Any) -> None:
    """Read ports, TCP flags and sequence number, ICMP type and code; `at` moves to the payload."""
    header["src_port"] = 0
    header["dst_port"] = 0
    header["tcp_flags"] = 0
    header["icmp_type"] = 0
    header["icmp_code"] = 0
    at = i64(header["at"])
    end = i64(header["end"])
    proto = i64(header["proto"])
    if header["later_fragment"]:
        return
    if proto in (TCP, UDP, SCTP, UDPLITE):
        header["src_port"] = be16(data, at, end)
        header["dst_port"] = be16(data, at + 2, end)
        if proto == TCP:
            _tcp(data, at, end, header)
        else:
            header["at"] = min(at + (12 if proto == SCTP else 8), end)
    elif proto in (ICMP, ICMP6):
        header["icmp_type"] = octet(data, at, end)
        header["icmp_code"] = octet(data, at + 1, end)
