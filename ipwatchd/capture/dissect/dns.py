r"""DNS (RFC 1035), mDNS (RFC 6762) and LLMNR (RFC 4795) messages → events.

Names keep the case they had on the wire (RFC 4343); bytes that can't be shown are written \DDD.
"""

from __future__ import annotations

import re
import socket
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ipwatchd.capture.dissect.step import BAD, MORE, Step
from ipwatchd.records.event import Dns

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["parse", "step"]

MAX_JUMPS: Final = 32
"""Compression pointers followed for one name. Stops a pointer loop from holding the thread."""
MAX_NAME: Final = 255
"""Octets of a name (RFC 1035, 3.1). Stops pointers from unfolding one packet into megabytes."""
MAX_QUESTIONS: Final = 16
MAX_ANSWERS: Final = 64
"""Records read of one message. Stops a packet of 4,000 tiny records from costing 4,000 names."""

TYPES: Final = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT",
    17: "RP", 18: "AFSDB", 24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC", 33: "SRV", 35: "NAPTR",
    36: "KX", 37: "CERT", 38: "A6", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP",
    45: "IPSECKEY", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3",
    51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 59: "CDS", 60: "CDNSKEY",
    61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF", 249: "TKEY",
    250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "ANY", 256: "URI", 257: "CAA", 32768: "TA",
}  # fmt: skip
"""IANA dns-parameters, resource record types."""

RCODES: Final = (
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
    "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI", "12", "13", "14", "15",
)  # fmt: skip

# IN, CH, HS, NONE, ANY; the top bit asks for unicast in mDNS (RFC 6762, 5.4).
_CLASSES: Final = frozenset({1, 3, 4, 254, 255})
_HEADER: Final = struct.Struct("!6H")
_PAIR: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")
_LENGTH: Final = struct.Struct("!H")
_FIRST_NAME: Final = b"\xc0\x0c"
_ODD: Final = re.compile(rb"[^!-\[\]-~]|[.\\]")


class _MalformedError(Exception):
    """The bytes are no DNS name."""


_BROKEN: Final = (IndexError, struct.error, _MalformedError)


def parse(data: bytes) -> list[Dns]:
    """Return the events of one message, one a question; none where the bytes are no DNS message.

    A response whose records are cut off gives the answers that could be read.
    """
    if len(data) < 12:
        return []
    ident, flags, questions, answers, authority, additional = _HEADER.unpack_from(data)
    opcode = flags >> 11 & 15
    response = flags >= 0x8000
    if opcode > 6 or questions > MAX_QUESTIONS or (questions == 0 and not response):
        return []
    if answers + authority + additional > len(data) // 11 + 1 and not response:
        return []
    try:
        asked, place = _questions(data, questions)
    except _BROKEN:
        return []
    if not response:
        return [Dns(ts=0.0, name=name, qtype=kind, id=ident) for name, kind in asked]
    return _response(data, place, ident, RCODES[flags & 15], asked, answers)


def step(data: bytes) -> Step:
    """Return the events of the first message of a TCP stream (RFC 1035, 4.2.2) and its length."""
    if len(data) < 2:
        return MORE
    (length,) = _LENGTH.unpack_from(data)
    if length < 12:
        return BAD
    if len(data) < 2 + length:
        return MORE
    events = parse(data[2 : 2 + length])
    return Step(events, 2 + length) if events else BAD


def _questions(data: bytes, count: int) -> tuple[list[tuple[str, str]], int]:
    """Return (name, type) of each question and where the answers start."""
    asked: list[tuple[str, str]] = []
    place = 12
    for _ in range(count):
        name, place = _question_name(data, place)
        kind, family = _PAIR.unpack_from(data, place)
        if family & 0x7FFF not in _CLASSES:
            raise _MalformedError
        place += 4
        asked.append((name, TYPES.get(kind) or str(kind)))
    return asked, place


def _response(
    data: bytes, place: int, ident: int, rcode: str, asked: list[tuple[str, str]], count: int
) -> list[Dns]:
    first = asked[0][0] if asked else ""
    owner, owner_type, found, ttl = _answers(data, place, first, count)
    if not asked:
        # A multicast response repeats no question (RFC 6762, 6); a refusal may leave it out.
        if not owner and (rcode == "NOERROR" or len(data) > 512):
            return []
        asked = [(owner, owner_type)]
    return [
        Dns(
            ts=0.0, name=name, qtype=kind, rcode=rcode, response=True, answers=found, ttl=ttl,
            id=ident,
        )
        for name, kind in asked
    ]  # fmt: skip


def _answers(
    data: bytes, place: int, first: str, count: int
) -> tuple[str, str, tuple[str, ...], int]:
    """Return the first owner and type, the addresses and names given, and the least TTL."""
    owner = owner_type = ""
    found: list[str] = []
    least = -1
    size = len(data)
    try:
        for _ in range(min(count, MAX_ANSWERS)):
            if first and data[place : place + 2] == _FIRST_NAME:
                name, place = first, place + 2
            else:
                name, place = _name(data, place)
            kind, _family, ttl, length = _RECORD.unpack_from(data, place)
            place += 10
            if not owner:
                owner, owner_type = name, TYPES.get(kind) or str(kind)
            reader = _DATA.get(kind)
            if reader is not None and place + length <= size:
                text = reader(data, place, length)
                # Root as a target means "none" (RFC 7505) or "the owner" (RFC 9460, 2.5).
                if text not in {"", "."}:
                    found.append(text)
            if ttl < least or least < 0:
                least = ttl
            place += length
    except _BROKEN:
        pass
    return owner, owner_type, tuple(found), max(least, 0)


def _question_name(data: bytes, place: int) -> tuple[str, int]:
    """Return a name that is seldom compressed and comes again in the response."""
    end = data.find(b"\0", place) + 1
    name = _whole_name(data[place:end]) if place < end <= place + MAX_NAME else ""
    return (name, end) if name else _name(data, place)


@lru_cache(maxsize=4096)
def _whole_name(field: bytes) -> str:
    """Return the name of a field without pointers; "" where it is something else."""
    try:
        name, end = _name(field, 0)
    except _BROKEN:
        return ""
    return name if end == len(field) else ""


def _name(data: bytes, place: int) -> tuple[str, int]:
    """Return the name that starts at `place`, root as ".", and where the field ends."""
    labels: list[bytes] = []
    end = -1
    jumps = 0
    size = 1
    while length := data[place]:
        if length >= 0xC0:
            if end < 0:
                end = place + 2
            jumps += 1
            if jumps > MAX_JUMPS:
                raise _MalformedError
            place = (length & 0x3F) << 8 | data[place + 1]
            continue
        size += length + 1
        label = data[place + 1 : place + 1 + length]
        if length > 63 or size > MAX_NAME or len(label) < length:
            raise _MalformedError
        labels.append(label)
        place += length + 1
    return _text(labels), end if end >= 0 else place + 1


def _text(labels: list[bytes]) -> str:
    if not labels:
        return "."
    joined = b".".join(labels)
    if not _ODD.search(joined.replace(b".", b"", len(labels) - 1)):
        return joined.decode("ascii")
    return ".".join(_label(label) for label in labels)


def _label(label: bytes) -> str:
    r"""Return a label with "." and "\" escaped and what can't be shown as \DDD (RFC 4343, 2.1)."""
    try:
        text = label.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable():
        return text.replace("\\", "\\\\").replace(".", "\\.")
    return "".join(
        f"\\{chr(one)}" if one in b".\\" else chr(one) if 32 < one < 127 else f"\\{one:03d}"
        for one in label
    )


def _a(data: bytes, place: int, length: int) -> str:
    return _address_4(data[place : place + 4]) if length == 4 else ""


_address_4 = lru_cache(maxsize=8192)(socket.inet_ntoa)


def _aaaa(data: bytes, place: int, length: int) -> str:
    return socket.inet_ntop(socket.AF_INET6, data[place : place + 16]) if length == 16 else ""


def _after(skip: int) -> Callable[[bytes, int, int], str]:
    """Return a reader of a name behind `skip` bytes of numbers."""

    def read(data: bytes, place: int, length: int) -> str:
        return _name(data, place + skip)[0] if length > skip else ""

    return read


_DATA: Final[dict[int, Callable[[bytes, int, int], str]]] = {
    1: _a, 2: _after(0), 5: _after(0), 12: _after(0), 15: _after(2), 28: _aaaa, 33: _after(6),
    39: _after(0), 64: _after(2), 65: _after(2),
}  # fmt: skip
