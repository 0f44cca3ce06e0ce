"""Netlink datagrams of connection tracking → rows of dtype ENTRY, compiled.

Every load is guarded (octets). A message whose lengths lie is counted and left out; attributes that
are not known are stepped over, as newer kernels have more. Little-endian machines only, as the
wheels of numba are. Attribute numbers: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.capture.conntrack_entry import (
    COUNTED,
    DESTROYED,
    STARTED,
    STOPPED,
    TIMED,
)
from ipwatchd.capture.jit import compiled, i64, inlined, u64
from ipwatchd.capture.octets import be16, be32, be64, le16, le32, octet
from ipwatchd.records.address import V4_PREFIX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.capture.octets import Octets

__all__ = ["read_datagrams"]

_HEADER: Final = 16
_GENERAL: Final = 20
_MESSAGE_NEW: Final = 0x100
_MESSAGE_DELETE: Final = 0x102
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_TYPE: Final = 0x3FFF
_V4: Final = u64(V4_PREFIX)
_CLOSE_INIT: Final = 0x04  # IP_CT_TCP_FLAG_CLOSE_INIT
_BOTH: Final = 3
_ONE: Final = u64(1)
_TUPLES: Final = u64(1 << 1 | 1 << 2)
_COUNTERS: Final = u64(1 << 9 | 1 << 10)


@inlined
def _length(data: Octets, at: int, end: int) -> int:
    """Return the length of the attribute at `at`; 0 where it does not lie within `end`."""
    length = le16(data, at, end)
    if length < 4 or at + length > end:
        return i64(0)
    return length


@inlined
def _next(at: int, length: int) -> int:
    """Return where the attribute after this one begins (NLA_ALIGN)."""
    return at + ((length + 3) & ~3)


@compiled
def _blank(entry: Any) -> None:
    for side in range(2):
        entry["packets"][side] = 0
        entry["bytes"][side] = 0
        entry["told_packets"][side] = 0
        entry["told_bytes"][side] = 0
    entry["start"] = entry["stop"] = entry["since"] = entry["last"] = 0
    entry["id"] = entry["status"] = entry["timeout"] = entry["hash"] = 0
    entry["orig_sport"] = entry["orig_dport"] = entry["reply_sport"] = entry["reply_dport"] = 0
    entry["bits"] = entry["proto"] = entry["tcp"] = entry["closer"] = entry["spare"] = 0
    entry["icmp_type"] = entry["icmp_code"] = 0


@compiled
def _address(data: Octets, at: int, end: int, entry: Any, reply: bool, which: int) -> int:
    """Store one address of a tuple: `which` is its CTA_IP_; returns 1 source, 2 destination, 0."""
    size = 4 if which <= 2 else 16
    if which < 1 or which > 4 or end - at != size:
        return i64(0)
    hi = u64(0)
    lo = _V4 | u64(be32(data, at, end))
    if size == 16:
        hi = be64(data, at, end)
        lo = be64(data, at + 8, end)
    source = which in (1, 3)
    if reply:
        if source:
            entry["reply_src_hi"] = hi
            entry["reply_src_lo"] = lo
        else:
            entry["reply_dst_hi"] = hi
            entry["reply_dst_lo"] = lo
    elif source:
        entry["orig_src_hi"] = hi
        entry["orig_src_lo"] = lo
    else:
        entry["orig_dst_hi"] = hi
        entry["orig_dst_lo"] = lo
    return i64(1) if source else i64(2)


@compiled
def _addresses(data: Octets, at: int, end: int, entry: Any, reply: bool) -> bool:
    """Read CTA_TUPLE_IP; True where both ends were there."""
    found = i64(0)
    while at + 4 <= end:
        length = _length(data, at, end)
        if length == 0:
            return False
        which = le16(data, at + 2, end) & _TYPE
        found |= _address(data, at + 4, at + length, entry, reply, which)
        at = _next(at, length)
    return found == _BOTH


@compiled
def _part(entry: Any, which: int, value: int) -> None:
    """Store one CTA_PROTO_ of the original tuple: an ICMP id takes the source port's place."""
    if which == 1:
        entry["proto"] = value
    elif which in (2, 4, 7):
        entry["orig_sport"] = value
    elif which == 3:
        entry["orig_dport"] = value
    elif which in (5, 8):
        entry["icmp_type"] = value
    elif which in (6, 9):
        entry["icmp_code"] = value


@compiled
def _ports(data: Octets, at: int, end: int, entry: Any, reply: bool) -> bool:
    """Read CTA_TUPLE_PROTO; True where the protocol was there."""
    found = False
    while at + 4 <= end:
        length = _length(data, at, end)
        if length == 0:
            return False
        which = le16(data, at + 2, end) & _TYPE
        wide = which in (2, 3, 4, 7)
        if 1 <= which <= 9 and length != (6 if wide else 5):
            return False
        value = be16(data, at + 4, end) if wide else octet(data, at + 4, end)
        found = found or which == 1
        if not reply:
            _part(entry, which, value)
        elif which == 2:
            entry["reply_sport"] = value
        elif which == 3:
            entry["reply_dport"] = value
        at = _next(at, length)
    return found


@compiled
def _tuple(data: Octets, at: int, end: int, entry: Any, reply: bool) -> bool:
    """Read CTA_TUPLE_ORIG or CTA_TUPLE_REPLY; True where it was whole."""
    addresses = False
    ports = False
    while at + 4 <= end:
        length = _length(data, at, end)
        if length == 0:
            return False
        which = le16(data, at + 2, end) & _TYPE
        if which == 1:
            addresses = _addresses(data, at + 4, at + length, entry, reply)
        elif which == 2:
            ports = _ports(data, at + 4, at + length, entry, reply)
        at = _next(at, length)
    return addresses and ports


@compiled
def _counters(data: Octets, at: int, end: int, entry: Any, side: int) -> bool:
    """Read CTA_COUNTERS_ORIG or _REPLY; True where both numbers were there."""
    found = i64(0)
    while at + 4 <= end:
        length = _length(data, at, end)
        if length == 0:
            return False
        which = le16(data, at + 2, end) & _TYPE
        if which in (1, 2):
            if length != 12:
                return False
            if which == 1:
                entry["packets"][side] = be64(data, at + 4, end)
            else:
                entry["bytes"][side] = be64(data, at + 4, end)
            found |= which
        at = _next(at, length)
    return found == _BOTH


@compiled
def _times(data: Octets, at: int, end: int, entry: Any) -> bool:
    """Read CTA_TIMESTAMP."""
    while at + 4 <= end:
        length = _length(data, at, end)
        if length == 0:
            return False
        which = le16(data, at + 2, end) & _TYPE
        if which in (1, 2):
            # Beyond 2^62 it is no time: the year 2116.
            if length != 12 or octet(data, at + 4, end) >= 0x40:
                return False
            value = i64(be64(data, at + 4, end))
            if which == 1:
                entry["start"] = value
                entry["bits"] |= STARTED
            else:
                entry["stop"] = value
                entry["bits"] |= STOPPED
        at = _next(at, length)
    return True


@compiled
def _tcp(data: Octets, at: int, end: int, entry: Any) -> bool:
    """Read CTA_PROTOINFO_TCP: the state, and who closed first where it says so."""
    while at + 4 <= end:
        length = _length(data, at, end)
        if length == 0:
            return False
        which = le16(data, at + 2, end) & _TYPE
        value = octet(data, at + 4, at + length)
        if which == 1:
            entry["tcp"] = value
        elif which in (4, 5) and value & _CLOSE_INIT:
            entry["closer"] = which - 3
        at = _next(at, length)
    return True


@compiled
def _protocol(data: Octets, at: int, end: int, entry: Any) -> bool:
    """Read CTA_PROTOINFO."""
    while at + 4 <= end:
        length = _length(data, at, end)
        if length == 0:
            return False
        if le16(data, at + 2, end) & _TYPE == 1 and not _tcp(data, at + 4, at + length, entry):
            return False
        at = _next(at, length)
    return True


@compiled
def _number(data: Octets, at: int, length: int, entry: Any, which: int) -> bool:
    """Read an attribute of 32 bits: CTA_STATUS, CTA_TIMEOUT, CTA_ID."""
    if length != 8:
        return False
    value = be32(data, at + 4, at + length)
    if which == 3:
        entry["status"] = value
    elif which == 7:
        entry["timeout"] = value
        entry["bits"] |= TIMED
    else:
        entry["id"] = value
    return True


@compiled
def _attribute(data: Octets, at: int, length: int, entry: Any, which: int) -> bool:
    """Read one attribute of a connection; those not named here are of no use to us."""
    stop = at + length
    good = True
    if which in (1, 2):
        good = _tuple(data, at + 4, stop, entry, which == 2)
    elif which in (3, 7, 12):
        good = _number(data, at, length, entry, which)
    elif which == 4:
        good = _protocol(data, at + 4, stop, entry)
    elif which in (9, 10):
        good = _counters(data, at + 4, stop, entry, which - 9)
    elif which == 20:
        good = _times(data, at + 4, stop, entry)
    return good


@compiled
def _entry(data: Octets, at: int, end: int, entry: Any) -> bool:
    """Read the attributes of one connection; False where it is not whole."""
    _blank(entry)
    seen = u64(0)
    while at + 4 <= end:
        length = _length(data, at, end)
        if length == 0:
            return False
        which = le16(data, at + 2, end) & _TYPE
        if not _attribute(data, at, length, entry, which):
            return False
        if which < 64:
            seen |= _ONE << u64(which)
        at = _next(at, length)
    if seen & _COUNTERS == _COUNTERS:
        entry["bits"] |= COUNTED
    return seen & _TUPLES == _TUPLES


@compiled
def _datagram(
    data: Octets, at: int, end: int, entries: NDArray[np.void], filled: int, counts: Any
) -> int:
    """Read the messages of one datagram; returns how many rows are filled now."""
    while at + _HEADER <= end:
        length = le32(data, at, end)
        if length < _HEADER or length > end - at:
            break
        kind = le16(data, at + 4, end)
        stop = at + length
        if kind in (_MESSAGE_NEW, _MESSAGE_DELETE):
            counts["messages"] += 1
            if _entry(data, at + _GENERAL, stop, entries[filled]):
                if kind == _MESSAGE_DELETE:
                    entries[filled]["bits"] |= DESTROYED
                filled += 1
            else:
                counts["malformed"] += 1
        elif kind in (_NLMSG_ERROR, _NLMSG_DONE):
            counts["done"] = 1
            # An int of 0 or -errno; NLMSG_DONE may have none.
            counts["errno"] = (-le32(data, at + _HEADER, stop)) & 0xFFFF
        at = _next(at, length)
    if at < end:
        counts["malformed"] += 1
    return filled


@compiled
def read_datagrams(
    data: Octets,
    slot: int,
    sizes: NDArray[np.uint32],
    first: int,
    entries: NDArray[np.void],
    counts: Any,
) -> tuple[int, int]:
    """Read datagrams first, first + 1 …: each begins at a multiple of `slot` and has `sizes` bytes.

    `counts` is a row of dtype READ. Returns how many rows of `entries` are filled and the next
    datagram to read, which is len(sizes) unless `entries` could not hold it.
    """
    filled = i64(0)
    for i in range(first, len(sizes)):
        size = min(i64(sizes[i]), slot)
        at = i * slot
        if filled + size // _GENERAL + 1 > len(entries):
            return filled, i
        filled = _datagram(data, at, min(at + size, len(data)), entries, filled, counts)
    return filled, len(sizes)
