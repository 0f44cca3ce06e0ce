"""Where the packets of a block of bytes lie, and what decoding found in one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HEADER", "MAX_CAPTURED", "PACKET", "Batch"]

MAX_CAPTURED: Final = 262_144
"""The longest packet a capture file may hold (libpcap's MAXIMUM_SNAPLEN): a hostile length above
it would make us skip or hold that much."""

PACKET: Final = np.dtype(
    [
        ("ts", "<i8"),
        ("at", "<i8"),
        ("captured", "<u4"),
        ("wire", "<u4"),
        ("link", "<u2"),
        ("iface", "<u2"),
        ("vlan", "<u2"),
        ("spare", "<u2"),
    ]
)
"""One packet in a block: `ts` epoch ns, bytes `at` to `at + captured`, `wire` its length on the
wire, `link` a LINKTYPE_ number, `vlan` a tag that the kernel took off, or 0."""

HEADER: Final = np.dtype(
    [
        ("src_hi", "<u8"),
        ("src_lo", "<u8"),
        ("dst_hi", "<u8"),
        ("dst_lo", "<u8"),
        ("at", "<i8"),
        ("end", "<i8"),
        ("ip_bytes", "<i8"),
        ("seq", "<u4"),
        ("src_port", "<u2"),
        ("dst_port", "<u2"),
        ("vlan", "<u2"),
        ("proto", "u1"),
        ("tcp_flags", "u1"),
        ("icmp_type", "u1"),
        ("icmp_code", "u1"),
        ("later_fragment", "u1"),
        ("tunnel", "u1"),
    ]
)
"""What `decode` fills: the innermost IP packet. `at` to `end` is the transport's captured payload
without link padding, `ip_bytes` the IP total length, `tunnel` the number of tunnels around it."""


class Batch(NamedTuple):
    """Packets of dtype PACKET that lie in `data` (uint8), in the order of capture."""

    data: NDArray[np.uint8]
    packets: NDArray[np.void]
