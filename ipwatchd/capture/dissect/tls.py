"""TLS and DTLS ClientHello (RFC 8446, RFC 9147; names RFC 6066, ALPN RFC 7301) → event."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from ipwatchd.capture.dissect.ja4 import GREASE, ja4
from ipwatchd.capture.dissect.step import BAD, DONE, MORE, Step
from ipwatchd.capture.dissect.text import printable
from ipwatchd.records.event import Tls

__all__ = [
    "VERSIONS", "client_hello", "datagram", "protocol_names", "read_extensions", "step",
]  # fmt: skip

VERSIONS: Final = {
    0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3",
    0xFEFF: "DTLS 1.0", 0xFEFD: "DTLS 1.2", 0xFEFC: "DTLS 1.3",
}  # fmt: skip

MAX_HELLO: Final = 1 << 14
"""Octets of a hello waited for; the stream's own bound is lower. Stops a length of 16 MiB."""
MAX_PROTOCOLS: Final = 16
MAX_KNOWN: Final = 256
"""Numbers of a hello whose fingerprint is remembered: a client's come again, long ones are odd."""

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_NAME, _GROUPS_SIGNED, _ALPN, _VERSIONS = 0, 13, 16, 43
_SHORT: Final = struct.Struct("!H")
_EXTENSION: Final = struct.Struct("!HH")


class _Hello(NamedTuple):
    """What a hello offers, in the order offered."""

    version: int
    ciphers: tuple[int, ...]
    extensions: list[tuple[int, bytes]]
    whole: bool


def step(data: bytes, *, final: bool = False) -> Step:
    """Return the ClientHello that a TLS stream starts with, over as many records as it takes.

    With `final` no more bytes will come: a hello that is cut off gives its name, but no JA4.
    """
    gathered = _gather(data)
    if gathered is None:
        return BAD
    hello, place = gathered
    if hello and hello[0] != _CLIENT_HELLO:
        return DONE
    need = _size(hello)
    if need > MAX_HELLO:
        return BAD
    if len(hello) < need:
        return _cut(hello, data) if final else MORE
    event = client_hello(bytes(hello[4:need]))
    return Step((event,), place, done=True) if event else BAD


def _gather(data: bytes) -> tuple[bytearray, int] | None:
    """Return the handshake bytes of the first records and where they end; None where it is no TLS.

    Stops behind the record in which the first handshake message ends (RFC 8446, 5.1).
    """
    hello = bytearray()
    place = 0
    while place + 5 <= len(data) and len(hello) < _size(hello):
        (length,) = _SHORT.unpack_from(data, place + 3)
        if data[place] != _HANDSHAKE or data[place + 1] != 3 or not 0 < length <= MAX_HELLO:
            return None
        hello += data[place + 5 : place + 5 + length]
        place += 5 + length
    return hello, place


def _size(hello: bytearray) -> int:
    """Return how long the first handshake message is, header and all; at least a header."""
    return 4 + int.from_bytes(hello[1:4], "big") if len(hello) >= 4 else 4


def datagram(data: bytes) -> Tls | None:
    """Return the ClientHello of a DTLS record; of a fragmented one what the first piece holds."""
    if len(data) < 25 or data[0] != _HANDSHAKE or data[1] != 0xFE or data[13] != _CLIENT_HELLO:
        return None
    length = int.from_bytes(data[14:17], "big")
    offset = int.from_bytes(data[19:22], "big")
    piece = int.from_bytes(data[22:25], "big")
    if offset:
        return None
    return client_hello(data[25 : 25 + piece], transport="d", whole=piece == length)


def client_hello(body: bytes, *, transport: str = "t", whole: bool = True) -> Tls | None:
    """Return the event of a ClientHello behind its handshake header, or None where it is none.

    `transport` is JA4's letter: t is TCP, q QUIC, d DTLS.
    """
    hello = _read(body, cookie=transport == "d")
    if hello is None:
        return None
    # The first of a kind counts: a hello may hold each extension once (RFC 8446, 4.2).
    first = dict(reversed(hello.extensions))
    protocols = protocol_names(first.get(_ALPN, b""))
    offered = [one for one in _shorts(first.get(_VERSIONS, b"")[1:]) if one not in GREASE]
    known = offered or [hello.version]
    version = min(known) if transport == "d" else max(known)
    print_ = ""
    if whole and hello.whole:
        kinds = tuple(sorted(kind for kind, _ in hello.extensions if kind not in GREASE))
        ciphers = tuple(one for one in hello.ciphers if one not in GREASE)
        signed = _shorts(first.get(_GROUPS_SIGNED, b"")[2:])
        fingerprint = _known_ja4 if len(kinds) + len(ciphers) + len(signed) <= MAX_KNOWN else ja4
        print_ = fingerprint(
            transport, version, ciphers, kinds, signed, protocols[0] if protocols else b""
        )
    return Tls(
        ts=0.0,
        name=_server_name(first.get(_NAME, b"")),
        version=VERSIONS.get(version) or f"0x{version:04x}",
        alpn=tuple(printable(one) for one in protocols),
        ja4=print_,
    )


_known_ja4 = lru_cache(maxsize=1024)(ja4)


def _read(body: bytes, *, cookie: bool) -> _Hello | None:
    """Return the lists of a hello; `whole` is False where bytes are missing at its end."""
    if len(body) < 38:
        return None
    (version,) = _SHORT.unpack_from(body)
    if version >> 8 not in {3, 0xFE}:
        return None
    place = 35 + body[34]
    if cookie and place < len(body):
        place += 1 + body[place]
    if len(body) < place + 2:
        return None
    (length,) = _SHORT.unpack_from(body, place)
    ciphers = _shorts(body[place + 2 : place + 2 + length])
    place += 2 + length
    if length == 0 or length % 2 or place >= len(body):
        return None
    place += 1 + body[place]
    if place + 2 > len(body):
        # No extensions at all is a hello of the years before RFC 3546.
        return _Hello(version, ciphers, [], whole=place == len(body))
    (length,) = _SHORT.unpack_from(body, place)
    extensions = read_extensions(body, place + 2)
    end = place + 2 + sum(4 + len(value) for _, value in extensions)
    return _Hello(version, ciphers, extensions, whole=end == place + 2 + length)


def read_extensions(body: bytes, place: int) -> list[tuple[int, bytes]]:
    """Return type and value of the extensions (RFC 8446, 4.2) that are there in full."""
    found: list[tuple[int, bytes]] = []
    size = len(body)
    while place + 4 <= size:
        kind, length = _EXTENSION.unpack_from(body, place)
        end = place + 4 + length
        if end > size:
            break
        found.append((kind, body[place + 4 : end]))
        place = end
    return found


def _shorts(data: bytes) -> tuple[int, ...]:
    count = len(data) // 2
    return struct.unpack_from(f"!{count}H", data)


def _server_name(value: bytes) -> str:
    """Return the host name of a server name list (RFC 6066, 3), of type 0."""
    if len(value) < 5 or value[2] != 0:
        return ""
    (length,) = _SHORT.unpack_from(value, 3)
    return printable(value[5 : 5 + length])


def protocol_names(value: bytes) -> list[bytes]:
    """Return the names of a protocol name list (RFC 7301, 3.1)."""
    found: list[bytes] = []
    place = 2
    while place < len(value) and len(found) < MAX_PROTOCOLS:
        length = value[place]
        found.append(value[place + 1 : place + 1 + length])
        place += 1 + length
    return found


def _cut(hello: bytearray, data: bytes) -> Step:
    """Return what the first part of a hello says where the rest never came."""
    event = client_hello(bytes(hello[4:]), whole=False) if hello[:1] == b"\x01" else None
    return Step((event,), len(data), done=True) if event else BAD
