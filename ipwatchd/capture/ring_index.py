"""Where the packets of a ring's block lie (tpacket_block_desc, tpacket3_hdr: linux/if_packet.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.capture.jit import compiled, i64
from ipwatchd.capture.octets import le16, le32

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["index_block"]

_VLAN_VALID: Final = 1 << 4


@compiled
def index_block(
    data: Octets, base: int, size: int, at: int, left: int, link: int, iface: int, packets: Any
) -> tuple[int, int, int]:
    """Note where the packets of a ring block lie; `at` and `left` go on within it, -1 begins.

    Returns how many were found, where to go on and how many are left. Little-endian machines
    only, as the wheels of numba are. The kernel is trusted to fill the ring, its lengths are
    still held within the block.
    """
    end = min(base + size, len(data))
    if left < 0:
        left = le32(data, base + 12, end)
        at = base + le32(data, base + 16, end)
    count = i64(0)
    while count < len(packets) and left > 0 and at + 48 <= end:
        packet = packets[count]
        seconds = le32(data, at + 4, end)
        packet["ts"] = seconds * 1_000_000_000 + le32(data, at + 8, end)
        start = at + le16(data, at + 24, end)
        packet["at"] = start
        packet["captured"] = max(min(le32(data, at + 12, end), end - start), 0)
        packet["wire"] = le32(data, at + 16, end)
        packet["link"] = link
        packet["iface"] = iface
        tagged = le32(data, at + 20, end) & _VLAN_VALID
        packet["vlan"] = le16(data, at + 32, end) & 0xFFF if tagged else 0
        count += 1
        left -= 1
        step = le32(data, at, end)
        if step == 0:
            left = i64(0)
        at += step
    if count < len(packets):
        left = i64(0)
    return count, at, left
