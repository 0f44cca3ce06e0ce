"""PPP frames → EtherType and where the network layer starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.jit import compiled, i64
from ipwatchd.capture.octets import be16, octet

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = ["ppp_header"]

_NOTHING: Final = -1


@compiled
def ppp_header(data: Octets, at: int, end: int) -> tuple[int, int]:
    """Read a PPP header with or without address and control (RFC 1662, 3.1) and compression."""
    if be16(data, at, end) == 0xFF03:
        at += 2
    if octet(data, at, end) & 1:
        protocol = octet(data, at, end)
        at += 1
    else:
        protocol = be16(data, at, end)
        at += 2
    if protocol == 0x21:
        return i64(0x0800), at
    if protocol == 0x57:
        return i64(0x86DD), at
    if protocol == 0x281:
        return i64(0x8847), at
    return i64(_NOTHING), at
