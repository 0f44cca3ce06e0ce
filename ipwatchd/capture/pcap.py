"""Classic pcap: the file header, and where the packets of a block lie.

https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap (micro- and nanoseconds, both byte orders).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ipwatchd.capture.jit import compiled, i64
from ipwatchd.capture.octets import be32, le32
from ipwatchd.capture.packet import MAX_CAPTURED

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["DAMAGED", "HEADER_BYTES", "SHORT", "PcapHeader", "index_pcap", "read_header"]

HEADER_BYTES: Final = 24
_RECORD: Final = 16

SHORT: Final = 0
"""The block ends within a record, or `packets` is full."""
DAMAGED: Final = 1
"""A length no writer would write: nothing behind it can be trusted."""

_MAGIC: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x34\xcd\xb2\xa1": ("<", 1000),  # Kuznetzov's patched libpcap: longer record headers
    b"\xa1\xb2\xcd\x34": (">", 1000),
}


class PcapHeader(NamedTuple):
    """What a file header says: byte order, ns a time unit, link type, bytes of a record header."""

    big: bool
    unit: int
    link: int
    record: int


def read_header(head: bytes) -> PcapHeader | None:
    """Read the first 24 bytes; None where they are not pcap's."""
    known = _MAGIC.get(head[:4])
    if known is None or len(head) < HEADER_BYTES:
        return None
    order, unit = known
    (link,) = struct.unpack_from(f"{order}I", head, 20)
    patched = head[:4] in {b"\x34\xcd\xb2\xa1", b"\xa1\xb2\xcd\x34"}
    # The upper 16 bits hold the length of a frame check sequence and reserved bits.
    return PcapHeader(order == ">", unit, link & 0xFFFF, 24 if patched else _RECORD)


@compiled
def _load32(data: Octets, at: int, end: int, big: bool) -> int:
    return be32(data, at, end) if big else le32(data, at, end)


@compiled
def index_pcap(
    data: Octets, at: int, end: int, big: bool, unit: int, link: int, record: int, packets: Any
) -> tuple[int, int, int]:
    """Note where packets lie from `at` on; returns how many, where it stopped, and why."""
    count = 0
    while count < len(packets) and at + record <= end:
        captured = _load32(data, at + 8, end, big)
        if captured > MAX_CAPTURED:
            return count, at, i64(DAMAGED)
        if at + record + captured > end:
            break
        packet = packets[count]
        seconds = _load32(data, at, end, big)
        packet["ts"] = seconds * 1_000_000_000 + _load32(data, at + 4, end, big) * unit
        packet["at"] = at + record
        packet["captured"] = captured
        packet["wire"] = max(_load32(data, at + 12, end, big), captured)
        packet["link"] = link
        packet["iface"] = 0
        packet["vlan"] = 0
        count += 1
        at += record + captured
    return count, at, i64(SHORT)
