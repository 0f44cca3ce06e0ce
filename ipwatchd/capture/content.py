"""What a payload is by its first bytes, and which payloads a dissector wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.capture.jit import compiled, i64, u64
from ipwatchd.capture.network import ICMP6, TCP
from ipwatchd.capture.octets import be16, be32, octet
from ipwatchd.capture.shape import datagram_kind, framed_kind, quic_initial
from ipwatchd.capture.table import ORIG_B, Table
from ipwatchd.capture.tap import KINDS, Kind
from ipwatchd.records.flow import SERVICES

if TYPE_CHECKING:
    from ipwatchd.capture.octets import Octets

__all__ = [
    "DATAGRAM_TRIES", "STREAM_TRIES", "UNWANTED", "WHOLE", "chunk", "datagram", "put", "stream",
]  # fmt: skip

STREAM_TRIES: Final = 12
"""Payload segments of a direction that are looked at for a known beginning: STARTTLS and a
proxy's CONNECT come after some lines of another protocol."""
DATAGRAM_TRIES: Final = 2
_BUDGET: Final = 32
"""What may be tapped of a direction from a known beginning on; a segment costs 2 and 1 more for
each 256 octets, at most 8: four whole ones, or sixteen small ones."""
_DEAREST: Final = 8
_SSH_SEGMENTS: Final = 48
"""The same of SSH: how long they are tells how a login went (dissect/ssh_login.py)."""
_TOLD: Final = 0x80
"""Of a TLS direction's `left`: its hello was handed over whole; the rest is for a certificate."""
WHOLE: Final = 0x40
"""Added to a Kind: the payload begins with a record that is a whole hello, and that is wanted."""
_RETRY: Final = 0xCF21AD74
"""How the random of a HelloRetryRequest begins (RFC 8446, 4.1.3)."""
_HEAD_END: Final = 0x0D0A0D0A
_CHUNKS: Final = 4
"""Chunks of an SCTP packet that are looked at for one with data."""
UNWANTED: Final = 255
"""`tap` of a stream that has shown nothing known."""
_LONGEST: Final = 16_384
"""Bytes tapped of one payload: reassembled segments of the receiving card can hold 64 KiB."""


def _service(name: str) -> int:
    return SERVICES.index(name)


_SERVICE_OF_KIND: Final = np.array(
    [_service(name) if name in SERVICES else 0 for name in KINDS], np.uint8
)
_STUN: Final = _service("stun")

_NONE: Final = Kind.NONE
_ARP: Final = Kind.ARP
_DNS: Final = Kind.DNS
_SIP: Final = Kind.SIP
_TLS: Final = Kind.TLS
_HTTP: Final = Kind.HTTP
_SSH: Final = Kind.SSH
_QUIC: Final = Kind.QUIC
_FIRST_FRAMED: Final = Kind.KERBEROS


def _word(text: str) -> int:
    return int.from_bytes(text.encode("ascii"), "big")


_HTTP_WORDS: Final = np.array(
    [
        _word(word)
        for word in ("GET ", "POST", "HTTP", "HEAD", "PUT ", "DELE", "OPTI", "PATC", "CONN",
                     "TRAC", "PROP", "MKCO", "REPO", "SEAR", "COPY", "MOVE", "LOCK", "UNLO")
    ],
    np.int64,
)  # fmt: skip
_SIP_WORDS: Final = np.array(
    [
        _word(word)
        for word in ("SIP/", "INVI", "REGI", "ACK ", "BYE ", "CANC", "OPTI", "SUBS", "NOTI",
                     "MESS", "INFO", "PRAC", "REFE", "UPDA", "PUBL")
    ],
    np.int64,
)  # fmt: skip
_SSH_WORD: Final = _word("SSH-")
_UPPER: Final = 0x41
_UPPER_END: Final = 0x5B


@compiled
def _sip_uri(data: Octets, at: int, end: int) -> bool:
    """Tell whether "sip:", "sips:" or "tel:" follows a request's method, or SIP/2.0 begins."""
    if be32(data, at, end) == 0x5349502F:
        return True
    for _ in range(12):
        if at >= end:  # a segment that ends within the method
            return True
        if octet(data, at, end) == 0x20:
            if at + 5 > end:
                return True
            word = be32(data, at + 1, end) | 0x20202020
            return word in (0x7369703A, 0x73697073, 0x74656C3A)
        at += 1
    return False


@compiled
def _text_kind(data: Octets, at: int, end: int, word: int) -> int:
    for i in range(len(_SIP_WORDS)):
        if word == _SIP_WORDS[i] and _sip_uri(data, at, end):
            return i64(_SIP)
    for i in range(len(_HTTP_WORDS)):
        if word == _HTTP_WORDS[i]:
            return i64(_HTTP)
    return i64(_NONE)


@compiled
def _short_kind(data: Octets, at: int, end: int) -> int:
    """Return what a segment of less than a word may begin: HTTP's method, TLS's record."""
    if octet(data, at, end) == 0x16:
        return i64(_TLS if at + 1 == end or octet(data, at + 1, end) == 3 else _NONE)
    shift = 8 * (4 - (end - at))
    word = i64(0)
    for place in range(at, end):
        word = (word << 8) | octet(data, place, end)
    for i in range(len(_HTTP_WORDS)):
        if word == _HTTP_WORDS[i] >> shift:
            return i64(_HTTP)
    return i64(_NONE)


@compiled
def _stream_kind(data: Octets, at: int, end: int) -> int:
    first = octet(data, at, end)
    if end - at < 4:
        return _short_kind(data, at, end)
    if first == 0x16:
        # A TLS record of type handshake holding a ClientHello or ServerHello (RFC 8446, 5.1).
        hello = end - at < 6 or octet(data, at + 5, end) in (1, 2)
        return i64(_TLS if hello and octet(data, at + 1, end) == 3 else _NONE)
    if first < _UPPER or first >= _UPPER_END:
        return i64(_NONE)
    word = be32(data, at, end)
    if word == _SSH_WORD:
        return i64(_SSH)
    return _text_kind(data, at, end, word)


@compiled
def _no_hello(left: Any, side: int, data: Octets, at: int, end: int) -> bool:
    """Tell a segment of a TLS stream that is not wanted, and what comes behind the handshake."""
    first = octet(data, at, end)
    if first in (0x14, 0x15, 0x17) and octet(data, at + 1, end) == 3:
        # ChangeCipherSpec, an alert, data (RFC 8446, 5.1): no more is in clear.
        left[side] = i64(left[side]) & _TOLD
        return True
    if left[side] & _TOLD == 0:
        return left[side] == 0 and first != 0x16
    return left[side] == _TOLD or (
        first == 0x16 and octet(data, at + 5, end) in (1, 2) and octet(data, at + 1, end) == 3
    )


@compiled
def _record(data: Octets, at: int, end: int) -> int:
    """Return where the record ends that is one whole hello, or 0."""
    record = at + 5 + be16(data, at + 3, end)
    if record > end or record != at + 9 + (be32(data, at + 5, end) & 0xFFFFFF):
        return i64(0)
    return record


@compiled
def _whole(row: Any, side: int, data: Octets, at: int, end: int, record: int) -> int:
    """Return how to tap a whole hello, and note what else is wanted of its side."""
    left = row["left"]
    if octet(data, at + 5, end) == 2:
        if be32(data, at + 11, end) == _RETRY:
            return i64(_NONE)
        if record < end and octet(data, record, end) == 0x16:
            left[side] = _BUDGET - min(2 + ((end - at) >> 8), _DEAREST)
            return i64(_TLS)
        # What follows in a segment of its own may be a certificate.
        left[side] = _TOLD if record < end else _TOLD | _BUDGET
    else:
        left[side] = _TOLD
    if left[0] == _TOLD and left[1] == _TOLD:
        row["tap"] = UNWANTED
    return i64(_TLS | WHOLE)


@compiled
def _begin(row: Any, side: int, data: Octets, at: int, end: int, seen: int) -> None:
    """Note that a direction begins a message: what service it shows, how much more is wanted."""
    left = row["left"]
    budget = _SSH_SEGMENTS if seen == _SSH else _BUDGET
    if row["tap"] != seen:
        row["tap"] = seen
        row["service"] = _SERVICE_OF_KIND[seen]
        left[1 - side] = budget
    left[side] = budget
    if seen == _HTTP and end - at >= 16 and be32(data, end - 4, end) == _HEAD_END:
        left[side] = 0  # the next head is known by its own first words


@compiled
def stream(row: Any, side: int, data: Octets, at: int, end: int) -> int:
    """Return the Kind under which to tap this TCP payload, or 0; note what service it shows."""
    kind = i64(row["tap"])
    left = row["left"]
    if kind in (UNWANTED, _DNS) or (kind == _TLS and _no_hello(left, side, data, at, end)):
        return kind if kind == _DNS else i64(_NONE)
    # SSH's one line a side comes first: what follows is not looked at.
    within = kind == _SSH or (kind != _NONE and end - at < 4)
    seen = i64(_NONE) if within else _stream_kind(data, at, end)
    if seen == _NONE and (kind == _NONE or kind >= _FIRST_FRAMED):
        seen = framed_kind(data, at, end)
    if seen != _NONE:
        kind = seen
        _begin(row, side, data, at, end, seen)
        record = _record(data, at, end) if seen == _TLS else i64(0)
        if record > 0:
            return _whole(row, side, data, at, end, record)
    elif left[side] == 0:
        return i64(_NONE)
    cost = i64(1)
    if kind not in (_NONE, _SSH):
        cost = min(2 + ((end - at) >> 8), _DEAREST)
    told = i64(left[side]) & _TOLD
    left[side] = told | max((i64(left[side]) & ~_TOLD) - cost, 0)
    if kind == _NONE and left[side] == 0:
        row["tap"] = UNWANTED
    return kind


@compiled
def datagram(row: Any, side: int, data: Octets, at: int, end: int) -> int:
    """Return the Kind of a datagram on no known port, or 0; note what service it shows."""
    if row["tap"] == _SIP:
        return i64(_SIP)
    first = octet(data, at, end)
    if first >= 0xC0 and quic_initial(first, be32(data, at + 1, end)):
        row["service"] = _SERVICE_OF_KIND[_QUIC]
        return i64(_QUIC)
    if row["left"][side] == 0:
        return i64(_NONE)
    row["left"][side] -= 1
    kind = i64(_NONE)
    if be32(data, at + 4, end) == 0x2112A442 and first < 4:  # STUN's cookie (RFC 8489, 5)
        row["service"] = _STUN
    elif _UPPER <= first < _UPPER_END and _text_kind(data, at, end, be32(data, at, end)) == _SIP:
        row["tap"] = _SIP
        kind = i64(_SIP)
    else:
        kind = datagram_kind(data, at, end)
    if kind != _NONE:
        row["service"] = _SERVICE_OF_KIND[kind]
    return kind


@compiled
def chunk(row: Any, side: int, data: Octets, header: Any) -> int:
    """Return the Kind of the first SCTP DATA chunk (RFC 9260, 3.3.1), or 0.

    Where there is one `at` and `end` of `header` are set to the user's data in it.
    """
    at = i64(header["at"])
    end = i64(header["end"])
    for _ in range(_CHUNKS):
        length = be16(data, at + 2, end)
        if at + 16 > end or length < 4:
            break
        if octet(data, at, end) == 0:
            if row["left"][side] == 0:
                break
            row["left"][side] -= 1
            header["at"] = at + 16
            header["end"] = min(end, at + max(length, 16))
            kind = _text_kind(data, at + 16, end, be32(data, at + 16, end))
            if kind != _NONE:
                row["service"] = _SERVICE_OF_KIND[kind]
            return kind
        at += (length + 3) & ~3
    return i64(_NONE)


@compiled
def put(
    table: Table, packet: Any, header: Any, place: int, side: int, kind: int, data: Octets
) -> None:
    """Copy the payload from `header`'s `at` to `end`; one that finds no room is counted and lost.

    `place` is the flow's row and `side` who sent; `place` is -1 where there is no flow (ARP).
    """
    state = table.state[0]
    at = i64(header["at"])
    size = min(i64(header["end"]) - at, _LONGEST)
    if kind & WHOLE:
        size = min(size, 5 + be16(data, at + 3, at + size))
    if len(table.tap_index) == 0 or size <= 0:
        return
    slot = i64(state["taps"])
    offset = i64(state["tap_bytes"])
    if slot >= len(table.tap_index) or offset + size > len(table.tap_data):
        state["events_shed"] += 1
        return
    state["taps"] = slot + 1
    state["tap_bytes"] = offset + size
    for i in range(size):
        table.tap_data[offset + i] = data[at + i]
    tap = table.tap_index[slot]
    tap["ts"] = packet["ts"]
    tap["offset"] = offset
    tap["length"] = size
    tap["iface"] = packet["iface"]
    tap["vlan"] = header["vlan"]
    tap["kind"] = kind & ~WHOLE
    tap["whole"] = 1 if kind & WHOLE else 0
    if place < 0:
        _no_flow(tap)
    else:
        row = table.rows[place]
        _five_tuple(tap, row)
        tap["from_orig"] = side == (1 if row["bits"] & ORIG_B else 0)
        tap["seq"] = header["seq"] if row["proto"] == TCP else 0


@compiled
def _no_flow(tap: Any) -> None:
    tap["orig_hi"] = tap["orig_lo"] = tap["resp_hi"] = tap["resp_lo"] = u64(0)
    tap["orig_port"] = tap["resp_port"] = 0
    tap["seq"] = 0
    tap["proto"] = 0
    tap["from_orig"] = 1


@compiled
def _five_tuple(tap: Any, row: Any) -> None:
    ported = row["proto"] != ICMP6
    tap["proto"] = row["proto"]
    if row["bits"] & ORIG_B:
        tap["orig_hi"] = row["b_hi"]
        tap["orig_lo"] = row["b_lo"]
        tap["orig_port"] = row["b_port"] if ported else 0
        tap["resp_hi"] = row["a_hi"]
        tap["resp_lo"] = row["a_lo"]
        tap["resp_port"] = row["a_port"] if ported else 0
    else:
        tap["orig_hi"] = row["a_hi"]
        tap["orig_lo"] = row["a_lo"]
        tap["orig_port"] = row["a_port"] if ported else 0
        tap["resp_hi"] = row["b_hi"]
        tap["resp_lo"] = row["b_lo"]
        tap["resp_port"] = row["b_port"] if ported else 0
