"""pcapng: sections, interfaces, and where the packets of a run of blocks lie.

https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng. Packet blocks are walked by compiled
code; sections and interfaces, which are few, by plain Python.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.capture.jit import compiled, i64, u64
from ipwatchd.capture.octets import be16, be32, le16, le32
from ipwatchd.capture.packet import MAX_CAPTURED

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = [
    "BLOCK", "DAMAGED", "MAX_BLOCK", "SECTION", "SHORT", "Section", "byte_order", "index_pcapng",
]  # fmt: skip

SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_OLD_PACKET: Final = 2
_SIMPLE_PACKET: Final = 3
_ENHANCED_PACKET: Final = 6

SHORT: Final = 0
DAMAGED: Final = 1
BLOCK: Final = 2
"""A section or interface block is next: read it with `Section`, then go on behind it."""

MAX_BLOCK: Final = 1 << 21
"""The longest block: a hostile length above it would make us hold that much."""

_MAX_INTERFACES: Final = 4096
"""Interfaces of a section: a hostile file could describe one in every 20 bytes."""

_LONGEST_NAME: Final = 64

_IFACE: Final = np.dtype(
    [("link", "<u2"), ("binary", "u1"), ("exponent", "u1"), ("snap", "<u4"), ("offset", "<i8")]
)
_LATEST: Final = u64(1 << 62)
_BILLION: Final = u64(1_000_000_000)


def byte_order(block: bytes) -> str | None:
    """Return struct's sign for a section header's byte order; None where it is none."""
    magic = block[8:12]
    return {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(magic)


class Section:
    """The interfaces of the current section."""

    def __init__(self, order: str) -> None:
        self.order = order
        self.count = 0
        self.interfaces = np.zeros(16, _IFACE)
        self.names: list[str] = []

    @property
    def big(self) -> bool:
        """True where numbers are big-endian."""
        return self.order == ">"

    def add(self, block: bytes) -> bool:
        """Take in an interface description block; False where it is none or one too many."""
        if len(block) < 20 or self.count >= _MAX_INTERFACES:
            return False
        if self.count == len(self.interfaces):
            self.interfaces = np.concatenate([self.interfaces, np.zeros(self.count, _IFACE)])
        link, _, snap = struct.unpack_from(f"{self.order}HHI", block, 8)
        iface = self.interfaces[self.count]
        iface["link"], iface["snap"], iface["exponent"] = link, snap, 6
        self.names.append("")
        for code, value in self._options(block):
            if code == 2:  # if_name
                self.names[-1] = value.decode("utf-8", "replace")[:_LONGEST_NAME]
            elif code == 9 and value:  # if_tsresol
                iface["binary"], iface["exponent"] = value[0] >> 7, value[0] & 0x7F
            elif code == 14 and len(value) == 8:  # if_tsoffset, seconds
                iface["offset"] = struct.unpack(f"{self.order}q", value)[0]
        self.count += 1
        return True

    def _options(self, block: bytes) -> list[tuple[int, bytes]]:
        options = []
        at = 16
        while at + 4 <= len(block) - 4:
            code, length = struct.unpack_from(f"{self.order}HH", block, at)
            if code == 0 or at + 4 + length > len(block) - 4:
                break
            options.append((code, block[at + 4 : at + 4 + length]))
            at += 4 + (length + 3) // 4 * 4
        return options


@compiled
def _time(iface: Any, high: int, low: int) -> int:
    """Return a time stamp in epoch ns, held within what a signed number can say."""
    ticks = (u64(high) << u64(32)) | u64(low)
    exponent = u64(iface["exponent"])
    if iface["binary"]:
        shift = min(exponent, u64(63))
        whole = min(ticks >> shift, u64(1 << 33)) * _BILLION
        rest = ticks & ((u64(1) << shift) - u64(1))
        if shift > u64(32):
            rest >>= shift - u64(32)
            shift = u64(32)
        ns = whole + ((rest * _BILLION) >> shift)
    else:
        ns = ticks
        if exponent > u64(9):
            for _ in range(min(i64(exponent) - 9, 20)):
                ns //= u64(10)
        else:
            for _ in range(9 - i64(exponent)):
                ns = min(ns, _LATEST) * u64(10) if ns < _LATEST // u64(10) else _LATEST
    offset = min(max(i64(iface["offset"]), -(1 << 32)), 1 << 32)
    return i64(min(ns, _LATEST)) + offset * 1_000_000_000


@compiled
def _packet(
    data: Octets, at: int, last: int, kind: int, big: bool, interfaces: Any, count: int, out: Any
) -> bool:
    """Describe the packet of one block; False where the block lies."""
    body = at + 8
    out["iface"] = 0
    if kind == _SIMPLE_PACKET:
        wire = be32(data, body, last) if big else le32(data, body, last)
        start = body + 4
        captured = min(wire, last - 4 - start)
        snap = i64(interfaces[0]["snap"]) if count > 0 else 0
        if snap > 0:
            captured = min(captured, snap)
        out["ts"] = 0
    else:
        if kind == _OLD_PACKET:
            iface = be16(data, body, last) if big else le16(data, body, last)
        else:
            iface = be32(data, body, last) if big else le32(data, body, last)
        if iface >= count:
            return False
        high = be32(data, body + 4, last) if big else le32(data, body + 4, last)
        low = be32(data, body + 8, last) if big else le32(data, body + 8, last)
        captured = be32(data, body + 12, last) if big else le32(data, body + 12, last)
        wire = be32(data, body + 16, last) if big else le32(data, body + 16, last)
        start = body + 20
        out["ts"] = _time(interfaces[iface], high, low)
        out["iface"] = iface
    if count == 0 or captured < 0 or captured > MAX_CAPTURED or start + captured > last - 4:
        return False
    out["link"] = interfaces[out["iface"]]["link"]
    out["at"] = start
    out["captured"] = captured
    out["wire"] = max(wire, captured)
    out["vlan"] = 0
    return True


@compiled
def index_pcapng(
    data: Octets, at: int, end: int, big: bool, interfaces: Any, count: int, packets: Any
) -> tuple[int, int, int]:
    """Note where packets lie from `at` on; returns how many, where it stopped, and why."""
    found = 0
    while found < len(packets) and at + 12 <= end:
        kind = be32(data, at, end) if big else le32(data, at, end)
        if kind in (SECTION, _INTERFACE):
            return found, at, i64(BLOCK)
        length = be32(data, at + 4, end) if big else le32(data, at + 4, end)
        if length < 12 or length > MAX_BLOCK or length & 3:
            return found, at, i64(DAMAGED)
        if at + length > end:
            break
        if kind in (_ENHANCED_PACKET, _SIMPLE_PACKET, _OLD_PACKET):
            out = packets[found]
            if not _packet(data, at, at + length, kind, big, interfaces, count, out):
                return found, at, i64(DAMAGED)
            found += 1
        at += length
    return found, at, i64(SHORT)
