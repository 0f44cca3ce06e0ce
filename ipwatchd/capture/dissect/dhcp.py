"""DHCP (RFC 2131, options RFC 2132) → events."""

from __future__ import annotations

import socket
import struct
from typing import Final

from ipwatchd.capture.dissect.text import printable
from ipwatchd.records.event import Dhcp

__all__ = ["parse"]

MESSAGES: Final = {
    1: "DISCOVER", 2: "OFFER", 3: "REQUEST", 4: "DECLINE", 5: "ACK", 6: "NAK", 7: "RELEASE",
    8: "INFORM", 9: "FORCERENEW", 10: "LEASEQUERY", 11: "LEASEUNASSIGNED", 12: "LEASEUNKNOWN",
    13: "LEASEACTIVE",
}  # fmt: skip
"""IANA bootp-dhcp-parameters, message type 53 values."""

MAX_LENGTH: Final = 4096
"""Octets that are read. Stops a datagram of 30,000 empty options from costing as many steps."""

_FIXED: Final = struct.Struct("!BBBB")
_LONG: Final = struct.Struct("!I")
_COOKIE: Final = b"\x63\x82\x53\x63"
_NOWHERE: Final = b"\0\0\0\0"
_ROUTER, _HOSTNAME, _REQUESTED, _LEASE, _OVERLOAD, _TYPE, _SERVER, _FQDN = (
    3, 12, 50, 51, 52, 53, 54, 81,
)  # fmt: skip
_WANTED: Final = frozenset(
    (_ROUTER, _HOSTNAME, _REQUESTED, _LEASE, _OVERLOAD, _TYPE, _SERVER, _FQDN)
)
_ROUTERS: Final = 4
"""Routers that are kept of a message, the preferred first (RFC 2132, 3.5)."""


def parse(data: bytes) -> Dhcp | None:
    """Return what a DHCP or BOOTP message says, or None where it is none."""
    if len(data) < 240 or data[236:240] != _COOKIE:
        return None
    data = data[:MAX_LENGTH]
    op, _hardware, width, _hops = _FIXED.unpack_from(data)
    if op not in {1, 2} or width > 16:
        return None
    options: dict[int, bytes] = {}
    _options(data, 240, len(data), options)
    # The boot file and server name fields may hold options too (RFC 2132, 9.3).
    overload = options.get(_OVERLOAD, b"\0")[:1]
    if overload in {b"\1", b"\3"}:
        _options(data, 108, 236, options)
    if overload in {b"\2", b"\3"}:
        _options(data, 44, 108, options)
    kind = options.get(_TYPE, b"")
    message = (
        MESSAGES.get(kind[0]) or str(kind[0]) if kind else ("", "BOOTREQUEST", "BOOTREPLY")[op]
    )
    lease = options.get(_LEASE, b"")
    return Dhcp(
        ts=0.0,
        message=message,
        mac=data[28 : 28 + width].hex(":"),
        address=_address(data[16:20])
        or _address(options.get(_REQUESTED, b""))
        or _address(data[12:16]),
        hostname=_hostname(options),
        server=_address(options.get(_SERVER, b"")),
        lease=_LONG.unpack(lease)[0] if len(lease) == 4 else 0,
        routers=_addresses(options.get(_ROUTER, b"")),
    )


def _options(data: bytes, place: int, end: int, options: dict[int, bytes]) -> None:
    """Add the wanted options between two places; the first of a kind counts."""
    while place + 1 < end:
        code = data[place]
        if code == 255:
            return
        if code == 0:
            place += 1
            continue
        length = data[place + 1]
        value = data[place + 2 : min(place + 2 + length, end)]
        if code in _WANTED and len(value) == length:
            options.setdefault(code, value)
        place += 2 + length


def _address(value: bytes) -> str:
    return socket.inet_ntoa(value) if len(value) == 4 and value != _NOWHERE else ""


def _addresses(value: bytes) -> tuple[str, ...]:
    whole = value[: 4 * _ROUTERS]
    found = (_address(whole[place : place + 4]) for place in range(0, len(whole), 4))
    return tuple(address for address in found if address)


def _hostname(options: dict[int, bytes]) -> str:
    """Return the host name, or that of the FQDN option in its ASCII form (RFC 4702, 2.3.1)."""
    name = options.get(_HOSTNAME, b"").rstrip(b"\0")
    if not name:
        fqdn = options.get(_FQDN, b"")
        name = fqdn[3:] if len(fqdn) > 3 and not fqdn[0] & 4 else b""
    return printable(name)
