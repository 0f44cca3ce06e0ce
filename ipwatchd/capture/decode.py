"""Bytes of one packet → HEADER of its innermost IP packet. Pure, bounded, never raising."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.capture.jit import compiled, i64
from ipwatchd.capture.link import ARP, IPV4, IPV6, LLDP, link_header, unwrap
from ipwatchd.capture.network import ipv4, ipv6, transport
from ipwatchd.capture.tunnel import inner

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["FOUND_ARP", "FOUND_IP", "FOUND_LLDP", "MALFORMED", "NOT_IP", "decode"]

NOT_IP: Final = 0
FOUND_IP: Final = 1
FOUND_ARP: Final = 2
MALFORMED: Final = 3
FOUND_LLDP: Final = 4

_MAX_NESTING: Final = 8
"""IP packets in IP packets: a hostile chain costs no more than this many headers."""


@compiled
def decode(data: Octets, start: int, end: int, wire: int, link: int, header: Any) -> int:
    """Fill `header` from bytes `start` to `end` and return what was found.

    `header["vlan"]` is the tag known so far (0 is none). FOUND_ARP and FOUND_LLDP set `at` to
    what is behind the link header.
    """
    kind, at = link_header(data, start, end, link)
    found = i64(NOT_IP)
    header["tunnel"] = 0
    for depth in range(_MAX_NESTING):
        kind, at = unwrap(data, at, end, kind, header)
        if kind == IPV4:
            readable = ipv4(data, at, end, wire - (at - start), header)
        elif kind == IPV6:
            readable = ipv6(data, at, end, wire - (at - start), header)
        else:
            if kind in (ARP, LLDP) and depth == 0:
                header["at"] = at
                header["end"] = end
                return i64(FOUND_ARP if kind == ARP else FOUND_LLDP)
            return found
        if not readable:
            return found if depth > 0 else i64(MALFORMED)
        found = i64(FOUND_IP)
        header["tunnel"] = depth
        transport(data, header)
        kind, at = inner(data, header)
        if kind < 0:
            return found
        end = i64(header["end"])
    return found
