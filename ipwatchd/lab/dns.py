"""DNS over UDP, just enough to be real (RFC 1035, RFC 3596): messages, a server, a query."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

__all__ = ["QTYPES", "Message", "Resolver", "answer", "ask", "decode", "question"]

QTYPES: Final = {"A": 1, "AAAA": 28}
_HEADER: Final = struct.Struct("!6H")
_RECORD: Final = struct.Struct("!HHIH")
_NXDOMAIN: Final = 3
_MAX_JUMPS: Final = 16
"""Compression pointers followed in one name: a hostile message can point at itself."""


class Message(NamedTuple):
    """A decoded message: one question and the addresses in the answer."""

    id: int
    response: bool
    rcode: int
    name: str
    qtype: int
    addresses: tuple[str, ...]


def _encode_name(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _decode_name(data: bytes, at: int) -> tuple[str, int]:
    """Return the name at an offset and the offset behind it; ValueError where there is none."""
    labels: list[str] = []
    behind = -1
    for _ in range(_MAX_JUMPS + 128):
        if at >= len(data):
            break
        length = data[at]
        if length == 0:
            return ".".join(labels), behind if behind >= 0 else at + 1
        if length >= 0xC0:
            if at + 1 >= len(data):
                break
            behind = behind if behind >= 0 else at + 2
            at = (length & 0x3F) << 8 | data[at + 1]
            continue
        labels.append(data[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    raise ValueError("the DNS message holds a name that doesn't end")


def question(name: str, qtype: int, identity: int) -> bytes:
    """Return a recursive query for one name."""
    return (
        _HEADER.pack(identity, 0x0100, 1, 0, 0, 0)
        + _encode_name(name)
        + struct.pack("!HH", qtype, 1)
    )


def answer(query: bytes, zone: Mapping[str, Sequence[str]]) -> bytes:
    """Return the answer to a query out of name → addresses; ValueError where it is no query."""
    asked = decode(query)
    known = zone.get(asked.name.lower())
    family = 4 if asked.qtype == QTYPES["A"] else 6
    found = [ipaddress.ip_address(one) for one in known or ()]
    packed = [one.packed for one in found if one.version == family and asked.qtype in {1, 28}]
    flags = 0x8180 | (_NXDOMAIN if known is None else 0)
    body = b"".join(
        b"\xc0\x0c" + _RECORD.pack(asked.qtype, 1, 60, len(one)) + one for one in packed
    )
    return (
        _HEADER.pack(asked.id, flags, 1, len(packed), 0, 0)
        + _encode_name(asked.name)
        + struct.pack("!HH", asked.qtype, 1)
        + body
    )


def decode(data: bytes) -> Message:
    """Decode a message of one question; ValueError where it is none."""
    if len(data) < _HEADER.size:
        raise ValueError("the DNS message is shorter than its header")
    identity, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if questions != 1:
        raise ValueError(f"the DNS message holds {questions} questions instead of one")
    name, at = _decode_name(data, _HEADER.size)
    addresses = []
    try:
        (qtype,) = struct.unpack_from("!H", data, at)
        at += 4
        for _ in range(answers):
            _, at = _decode_name(data, at)
            rtype, _, _, length = _RECORD.unpack_from(data, at)
            at += _RECORD.size
            if rtype in {1, 28}:
                addresses.append(str(ipaddress.ip_address(data[at : at + length])))
            at += length
    except struct.error:
        raise ValueError("the DNS message is cut short") from None
    return Message(identity, bool(flags & 0x8000), flags & 0xF, name, qtype, tuple(addresses))


class Resolver(asyncio.DatagramProtocol):
    """A name server for one fixed table."""

    def __init__(self, zone: Mapping[str, Sequence[str]]) -> None:
        self._zone = zone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer what is a query and drop the rest."""
        try:
            reply = answer(data, self._zone)
        except ValueError:
            return
        self._transport.sendto(reply, addr)


async def ask(sock: socket.socket, server: str, name: str, qtype: str) -> Message:
    """Ask a server over a bound socket; TimeoutError where no answer comes."""
    loop = asyncio.get_running_loop()
    identity = secrets.randbelow(1 << 16)
    await loop.sock_connect(sock, (server, 53))
    async with asyncio.timeout(3.0):
        await loop.sock_sendall(sock, question(name, QTYPES[qtype], identity))
        while True:
            reply = decode(await loop.sock_recv(sock, 4096))
            if reply.id == identity and reply.response:
                return reply
