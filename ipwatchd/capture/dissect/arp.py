"""ARP (RFC 826), reverse ARP (RFC 903) and inverse ARP (RFC 2390) → events."""

from __future__ import annotations

import socket
import struct
from typing import Final

from ipwatchd.records.event import Arp

__all__ = ["parse"]

OPERATIONS: Final = {
    1: "request", 2: "reply", 3: "reverse-request", 4: "reverse-reply", 8: "inverse-request",
    9: "inverse-reply",
}  # fmt: skip
"""IANA arp-parameters, operation codes."""

_HEADER: Final = struct.Struct("!HHBBH")
_IPV4: Final = 0x0800


def parse(data: bytes) -> Arp | None:
    """Return the binding an ARP packet for IPv4 claims, or None."""
    if len(data) < 8:
        return None
    _hardware, protocol, width, size, code = _HEADER.unpack_from(data)
    if protocol != _IPV4 or size != 4 or not 1 <= width <= 20 or len(data) < 16 + 2 * width:
        return None
    sender = 8 + width
    target = sender + 4 + width
    return Arp(
        ts=0.0,
        operation=OPERATIONS.get(code) or str(code),
        mac=data[8:sender].hex(":"),
        address=socket.inet_ntoa(data[sender : sender + 4]),
        target=socket.inet_ntoa(data[target : target + 4]),
    )
