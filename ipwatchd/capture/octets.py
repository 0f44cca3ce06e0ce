"""Guarded loads: every byte of a packet that the packet loop sees comes through here.

`end` is one past the last captured byte and never greater than `len(data)`; `at` is never
negative. A load that would pass `end` gives 0, so no hostile length makes a read outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.jit import i64, inlined, u64

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Octets = NDArray[np.uint8]

__all__ = ["be16", "be32", "be64", "le16", "le32", "octet"]

_ONE: Final = u64(1)
_TWO: Final = u64(2)
_THREE: Final = u64(3)


@inlined
def octet(data: Octets, at: int, end: int) -> int:
    """Return one byte."""
    if at >= end:
        return i64(0)
    return i64(data[u64(at)])


@inlined
def be16(data: Octets, at: int, end: int) -> int:
    """Return two bytes, big-endian."""
    if at + 2 > end:
        return i64(0)
    i = u64(at)
    return (i64(data[i]) << 8) | i64(data[i + _ONE])


@inlined
def be32(data: Octets, at: int, end: int) -> int:
    """Return four bytes, big-endian."""
    if at + 4 > end:
        return i64(0)
    i = u64(at)
    high = (i64(data[i]) << 24) | (i64(data[i + _ONE]) << 16)
    return high | (i64(data[i + _TWO]) << 8) | i64(data[i + _THREE])


@inlined
def be64(data: Octets, at: int, end: int) -> int:
    """Return eight bytes, big-endian, unsigned."""
    return (u64(be32(data, at, end)) << u64(32)) | u64(be32(data, at + 4, end))


@inlined
def le16(data: Octets, at: int, end: int) -> int:
    """Return two bytes, little-endian."""
    if at + 2 > end:
        return i64(0)
    i = u64(at)
    return i64(data[i]) | (i64(data[i + _ONE]) << 8)


@inlined
def le32(data: Octets, at: int, end: int) -> int:
    """Return four bytes, little-endian."""
    if at + 4 > end:
        return i64(0)
    i = u64(at)
    high = (i64(data[i + _THREE]) << 24) | (i64(data[i + _TWO]) << 16)
    return high | (i64(data[i + _ONE]) << 8) | i64(data[i])
