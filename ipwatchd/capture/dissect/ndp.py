"""Neighbour discovery (RFC 4861) → events: which address a link-layer address claims."""

from __future__ import annotations

import socket
from typing import Final

from ipwatchd.records.event import Ndp

__all__ = ["parse"]

OPERATIONS: Final = {
    133: "router-solicitation", 134: "router-advertisement", 135: "solicitation",
    136: "advertisement",
}  # fmt: skip
MAX_OPTIONS: Final = 16
"""Options walked. Stops a packet of empty options from costing a step each."""

_FIXED: Final = {133: 8, 134: 16, 135: 24, 136: 24}
_SOURCE, _TARGET = 1, 2
_UNSPECIFIED: Final = "::"


def parse(data: bytes, sender: str) -> Ndp | None:
    """Return the binding that a message from `sender` claims, or None where it is malformed.

    A solicitation without a link-layer address (a probe, RFC 4862) has an empty `mac`.
    """
    kind = data[0] if data else 0
    start = _FIXED.get(kind)
    if start is None or len(data) < start or data[1] != 0:
        return None
    target = socket.inet_ntop(socket.AF_INET6, data[8:24]) if kind > 134 else ""
    wanted = _TARGET if kind == 136 else _SOURCE
    address = target if kind == 136 else sender
    return Ndp(
        ts=0.0,
        operation=OPERATIONS[kind],
        mac=_link_address(data, start, wanted),
        address="" if address == _UNSPECIFIED else address,
        target=target,
    )


def _link_address(data: bytes, place: int, wanted: int) -> str:
    """Return the link-layer address option (4.6.1); of Ethernet's eight bytes six are it."""
    for _ in range(MAX_OPTIONS):
        if place + 8 > len(data):
            break
        size = data[place + 1] * 8
        if size == 0:
            break
        if data[place] == wanted and place + size <= len(data):
            return data[place + 2 : place + min(size, 22)].hex(":")
        place += size
    return ""
