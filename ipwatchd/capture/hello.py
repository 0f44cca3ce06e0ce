"""Whole TLS hellos out of the tap, in one compiled pass: where the name is, what tells a client.

A client's `key` is what its fingerprint is made of: five numbers of 16 bits (version, how many
ciphers, extensions and signature algorithms, octets of ALPN), then these lists; GREASE (RFC 8701)
is left out, and extensions, which browsers shuffle, are sorted. The same software gives the same
key, so what is made of it (capture/dissect/hellos.py) is made once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.capture.jit import compiled, i64, inlined
from ipwatchd.capture.octets import be16, octet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.capture.octets import Octets

__all__ = ["CLIENT", "FOUND", "MAX_LISTED", "SERVER", "read_hellos"]

FOUND: Final = np.dtype(
    [
        ("at", "<i8", (4,)),
        ("end", "<i8", (4,)),
        ("key_at", "<i8"),
        ("key_end", "<i8"),
        ("what", "u1"),
    ]
)
"""Of one tap: the octets of its lists in the taps' data, name first, the key's in the keys, and
what it is."""

CLIENT: Final = 1
SERVER: Final = 2
MAX_LISTED: Final = 128
"""Numbers of a list that a key holds. Stops a hello of 8,000 extensions from being sorted."""
_HEAD: Final = 10
_NAME: Final = 0
_SIGNED: Final = 1
_ALPN: Final = 2
_VERSIONS: Final = 3


@inlined
def _grease(number: int) -> bool:
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


@inlined
def _write(keys: Octets, at: int, number: int) -> int:
    keys[at] = number >> 8
    keys[at + 1] = number & 0xFF
    return at + 2


@compiled
def _copy(keys: Octets, to: int, data: Octets, at: int, end: int) -> int:
    """Add a list of numbers without GREASE to a key; returns its new end."""
    for place in range(at, end - 1, 2):
        number = be16(data, place, end)
        if not _grease(number):
            to = _write(keys, to, number)
    return to


@compiled
def _sorted_in(keys: Octets, start: int, end: int, number: int) -> int:
    """Put a number where it belongs among the sorted ones of a key; returns its new end."""
    place = end
    while place > start and be16(keys, place - 2, end) > number:
        keys[place] = keys[place - 2]
        keys[place + 1] = keys[place - 1]
        place -= 2
    _write(keys, place, number)
    return end + 2


@compiled
def _highest(data: Octets, at: int, end: int, legacy: int) -> int:
    """Return the highest version of the list that is offered, or the old field's."""
    highest = i64(-1)
    for place in range(at + 1, end - 1, 2):
        number = be16(data, place, end)
        if not _grease(number):
            highest = max(highest, number)
    return highest if highest >= 0 else legacy


@inlined
def _number(kind: int) -> int:
    """Return where in `FOUND` an extension is noted (RFC 6066, RFC 8446, RFC 7301), or -1."""
    if kind == 0:
        return i64(_NAME)
    if kind == 13:
        return i64(_SIGNED)
    if kind == 16:
        return i64(_ALPN)
    return i64(_VERSIONS if kind == 43 else -1)


@compiled
def _extensions(data: Octets, place: int, end: int, keys: Octets, to: int, found: Any) -> int:
    """Add the sorted types of the extensions to a key; returns its new end, or -1.

    Noted in `found` are those that are read, and as `key_end` where the last one ends.
    """
    start = to
    while place + 4 <= end:
        kind = be16(data, place, end)
        value = place + 4
        place = value + be16(data, place + 2, end)
        if place > end or to - start >= 2 * MAX_LISTED:
            return i64(-1)
        if not _grease(kind):
            to = _sorted_in(keys, start, to, kind)
        number = _number(kind)
        if number >= 0 and found["at"][number] == 0:
            found["at"][number] = value
            found["end"][number] = place
    found["key_end"] = place
    return to


@compiled
def _client(data: Octets, at: int, end: int, keys: Octets, to: int, found: Any) -> int:
    """Read the body of a ClientHello (RFC 8446, 4.1.2); returns the end of its key, or -1.

    -1 leaves it to the reader in Python (dissect/tls.py), which knows the odd ones.
    """
    legacy = be16(data, at, end)
    place = at + 35 + octet(data, at + 34, end)
    length = be16(data, place, end)
    ciphers = place + 2
    place = ciphers + length
    if legacy >> 8 != 3 or length == 0 or length & 1 or place >= end or length > 2 * MAX_LISTED:
        return i64(-1)
    place += 1 + octet(data, place, end)
    if place + 2 > end or place + 2 + be16(data, place, end) != end:
        return i64(-1)
    start = to + _HEAD
    kinds = _copy(keys, start, data, ciphers, ciphers + length)
    signed = _extensions(data, place + 2, end, keys, kinds, found)
    lists, ends = found["at"], found["end"]
    alpn, alpn_end = lists[_ALPN], ends[_ALPN]
    if signed < 0 or found["key_end"] != end or ends[_SIGNED] - lists[_SIGNED] > 2 * MAX_LISTED:
        return i64(-1)
    if alpn_end - alpn > 2 * MAX_LISTED:
        return i64(-1)
    after = signed
    if lists[_SIGNED]:
        after = _copy(keys, signed, data, lists[_SIGNED] + 2, ends[_SIGNED])
    if lists[_VERSIONS]:
        legacy = _highest(data, lists[_VERSIONS], ends[_VERSIONS], legacy)
    _write(keys, to, legacy)
    _write(keys, to + 2, (kinds - start) >> 1)
    _write(keys, to + 4, (signed - kinds) >> 1)
    _write(keys, to + 6, (after - signed) >> 1)
    _write(keys, to + 8, alpn_end - alpn)
    for one in range(alpn, alpn_end):
        keys[after] = octet(data, one, end)
        after += 1
    _name(data, end, found)
    return after


@compiled
def _name(data: Octets, end: int, found: Any) -> None:
    """Narrow what was noted of the server name list (RFC 6066, 3) to its first host name."""
    at = found["at"][_NAME]
    stop = found["end"][_NAME]
    if stop - at < 5 or octet(data, at + 2, end) != 0:
        found["end"][_NAME] = at
    else:
        found["at"][_NAME] = at + 5
        found["end"][_NAME] = min(at + 5 + be16(data, at + 3, end), stop)


@compiled
def _server(data: Octets, at: int, end: int, keys: Octets, to: int, found: Any) -> int:
    """Read the body of a ServerHello (RFC 8446, 4.1.3): version, cipher, ALPN; or -1."""
    version = be16(data, at, end)
    place = at + 35 + octet(data, at + 34, end)
    if version >> 8 != 3 or place + 3 > end:
        return i64(-1)
    cipher = be16(data, place, end)
    place += 5
    after = to + 4
    # The types go into the key's room, to be overwritten.
    if _extensions(data, place, end, keys, after, found) < 0:
        return i64(-1)
    lists, ends = found["at"], found["end"]
    if lists[_VERSIONS]:
        if ends[_VERSIONS] - lists[_VERSIONS] != 2:
            return i64(-1)
        version = be16(data, lists[_VERSIONS], end)
    value = lists[_ALPN]
    if ends[_ALPN] - value > 256:
        return i64(-1)
    if ends[_ALPN] - value > 3:
        for one in range(value + 3, min(value + 3 + octet(data, value + 2, end), ends[_ALPN])):
            keys[after] = octet(data, one, end)
            after += 1
    _write(keys, to, version)
    _write(keys, to + 2, cipher)
    return after


@compiled
def read_hellos(index: NDArray[np.void], data: Octets, keys: Octets, found: Any) -> None:
    """Fill `found`, zeroed, for the taps that are `whole`; a key is no longer than its hello.

    What does not lie in `data`, or finds no room in `keys`, is left as it is.
    """
    to = i64(0)
    for i in range(len(index)):
        tap = index[i]
        at = i64(tap["offset"])
        end = at + i64(tap["length"])
        if tap["whole"] == 0 or end > len(data) or end - at < 47 or to + end - at > len(keys):
            continue
        row = found[i]
        what = octet(data, at + 5, end)
        if what == CLIENT:
            after = _client(data, at + 9, end, keys, to, row)
        else:
            after = _server(data, at + 9, end, keys, to, row)
        if after >= 0 and what in (CLIENT, SERVER):
            row["what"] = what
            row["key_at"] = to
            row["key_end"] = after
            to = after
