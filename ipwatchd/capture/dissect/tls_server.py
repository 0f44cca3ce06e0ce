"""What a TLS server says in clear: its ServerHello, and up to TLS 1.2 its certificate."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.capture.dissect.bounds import MAX_BYTES
from ipwatchd.capture.dissect.step import BAD, DONE, MORE, Step
from ipwatchd.capture.dissect.text import printable
from ipwatchd.capture.dissect.tls import VERSIONS, read_extensions
from ipwatchd.records.event import Tls

if TYPE_CHECKING:
    from ipwatchd.capture.dissect.http import Asked

__all__ = ["server_hello", "step"]

MAX_MESSAGES: Final = 8
_HANDSHAKE: Final = 22
_SERVER_HELLO, _CERTIFICATE = 2, 11
_ALPN, _VERSIONS = 16, 43
_TLS13: Final = 0x0304
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a HelloRetryRequest (RFC 8446, 4.1.3)."""
_HEAD: Final = struct.Struct("!HB")


class _Flight(NamedTuple):
    """Handshake messages as far as they came, and whether no more of them follow in clear."""

    messages: list[tuple[int, bytes]]
    cut: tuple[int, bytes]
    ended: bool


def step(data: bytes, asked: Asked, *, final: bool = False) -> Step:
    """Return the ServerHello, with the name of the client's hello, and the leaf certificate."""
    flight = _flight(data)
    if flight is None:
        return BAD
    over = flight.ended or final
    if (flight.messages[0] if flight.messages else flight.cut)[0] == _CERTIFICATE:
        return _rest(flight, (), over=over)
    if not flight.messages:
        return DONE if over else MORE
    kind, body = flight.messages[0]
    found = server_hello(body, asked[1]) if kind == _SERVER_HELLO else None
    if found is None:
        return DONE
    event, version = found
    events = (event,) if body[2:34] != _RETRY else ()
    return Step(events, done=True) if version >= _TLS13 else _rest(flight, events, over=over)


def _rest(flight: _Flight, events: tuple[Tls, ...], *, over: bool) -> Step:
    """Add the certificate, whose hello may have come in a segment of its own (hellos.py)."""
    leaf = _leaf(flight)
    if leaf is None and not over and len(flight.messages) < 3:
        return MORE
    return Step(events, done=True, rich=(("certificate", leaf),) if leaf else ())


def server_hello(body: bytes, name: str = "") -> tuple[Tls, int] | None:
    """Return the event of a ServerHello (RFC 8446, 4.1.3) and the version chosen, or None."""
    if len(body) < 38 or body[0] != 3:
        return None
    place = 35 + body[34]
    if place + 3 > len(body):
        return None
    cipher, _compression = _HEAD.unpack_from(body, place)
    first = dict(reversed(read_extensions(body, place + 5)))
    version = int.from_bytes(first.get(_VERSIONS) or body[:2], "big")
    protocol = first.get(_ALPN, b"")
    event = Tls(
        ts=0.0,
        name=name,
        version=VERSIONS.get(version) or f"0x{version & 0xFFFF:04x}",
        alpn=(printable(protocol[3 : 3 + protocol[2]]),) if len(protocol) > 3 else (),
        response=True,
        cipher=f"0x{cipher:04x}",
    )
    return event, version


def _flight(data: bytes) -> _Flight | None:
    """Return the handshake messages of the records in clear; None where it is no TLS."""
    bytes_ = bytearray()
    place, ended = 0, False
    while place + 5 <= len(data):
        length = int.from_bytes(data[place + 3 : place + 5], "big")
        if data[place + 1] != 3 or not 0 < length <= 1 << 14:
            return None
        if data[place] != _HANDSHAKE:
            ended = True
            break
        bytes_ += data[place + 5 : place + 5 + length]
        place += 5 + length
    messages: list[tuple[int, bytes]] = []
    at = 0
    while at + 4 <= len(bytes_) and len(messages) < MAX_MESSAGES:
        end = at + 4 + int.from_bytes(bytes_[at + 1 : at + 4], "big")
        if end > len(bytes_):
            break
        messages.append((bytes_[at], bytes(bytes_[at + 4 : end])))
        at = end
    cut = (bytes_[at], bytes(bytes_[at + 4 :])) if at < len(bytes_) else (0, b"")
    return _Flight(messages, cut, ended)


def _leaf(flight: _Flight) -> bytes | None:
    """Return the first certificate of the list (RFC 5246, 7.4.2), which is the server's own."""
    for kind, body in (*flight.messages, flight.cut):
        if kind == _CERTIFICATE and len(body) >= 6:
            length = int.from_bytes(body[3:6], "big")
            if length <= MAX_BYTES and len(body) >= 6 + length:
                return bytes(body[6 : 6 + length])
    return None
