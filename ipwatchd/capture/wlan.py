"""IEEE 802.11 data frames in clear → EtherType and where the network layer starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.jit import compiled, i64
from ipwatchd.capture.octets import be16, be32, octet

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["wlan_header"]

_NOTHING: Final = -1


@compiled
def wlan_header(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Step over a data frame's header (IEEE 802.11-2020, 9.3.2) and its LLC and SNAP."""
    kind = octet(data, at, end)
    flags = octet(data, at + 1, end)
    if kind & 3 != 0 and flags & 0x0F == 8:
        # Inside CAPWAP some makers swap the two bytes of the frame control; only version 0 exists.
        kind, flags = flags, kind
    # Type 2 is data; subtype bit 2 (0x40) carries none; flag 0x40 is an encrypted body.
    if kind & 0x4C != 0x08 or flags & 0x40:
        return i64(_NOTHING), at
    length = 30 if flags & 3 == 3 else 24
    if kind & 0x80:
        length += 6 if flags & 0x80 else 2
    if be32(data, at + length, end) != 0xAAAA0300:
        return i64(_NOTHING), at
    return be16(data, at + length + 6, end), at + length + 8
