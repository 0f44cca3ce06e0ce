"""The kernel's answers to a dump of connection tracking, made here and read by our own reader."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.conntrack_entry import ENTRY, READ
from ipwatchd.capture.conntrack_reader import read_datagrams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["answers"]

_MESSAGES: Final = 100
_NESTED: Final = 0x8000


def _attribute(number: int, data: bytes, *, nested: bool = False) -> bytes:
    head = struct.pack("=HH", 4 + len(data), number | (_NESTED if nested else 0))
    return head + data + bytes(-len(data) % 4)


def _tuple(number: int, source: bytes, target: bytes, ports: tuple[int, int]) -> bytes:
    ip = _attribute(1, _attribute(1, source) + _attribute(2, target), nested=True)
    parts = _attribute(1, b"\x06")
    parts += b"".join(_attribute(2 + i, struct.pack(">H", port)) for i, port in enumerate(ports))
    return _attribute(number, ip + _attribute(2, parts, nested=True), nested=True)


def _message(packets: int) -> tuple[bytes, list[int]]:
    """Return one established TCP connection, and where the client's address stands in it."""
    client, server = b"\xaa\xbb\xcc\xdd", b"\x2d\0\0\1"
    count = struct.pack(">Q", packets)
    counters = _attribute(1, count) + _attribute(2, struct.pack(">Q", packets * 600))
    body = b"\x02\0\0\0"
    body += _tuple(1, client, server, (40_000, 443)) + _tuple(2, server, client, (443, 40_000))
    body += _attribute(3, struct.pack(">I", 0x0E)) + _attribute(7, struct.pack(">I", 431_999))
    tcp = _attribute(1, _attribute(1, b"\x03"), nested=True)
    body += _attribute(4, tcp, nested=True)
    body += _attribute(9, counters, nested=True) + _attribute(10, counters, nested=True)
    body += _attribute(12, client)
    start = struct.pack(">Q", 1_699_999_000_000_000_000)
    body += _attribute(20, _attribute(1, start), nested=True)
    whole = struct.pack("=IHHII", 16 + len(body), 0x100, 2, 1, 0) + body
    places = [at for at in range(len(whole)) if whole.startswith(client, at)]
    return whole, places


def answers(count: int, *, packets: int) -> Iterator[NDArray[np.void]]:
    """Yield `count` connections in datagrams as the kernel sends them, read into ENTRYs."""
    one, places = _message(packets)
    data = np.tile(np.frombuffer(one, np.uint8), _MESSAGES)
    entries, counts = np.zeros(len(data) // 20 + 1, ENTRY), np.zeros(1, READ)
    messages = data.reshape(_MESSAGES, -1)
    sizes = np.array([len(data)], np.uint32)
    for first in range(0, count, _MESSAGES):
        numbers = (0x0A000000 + first + np.arange(_MESSAGES)).astype(">u4").view(np.uint8)
        for place in places:
            messages[:, place : place + 4] = numbers.reshape(_MESSAGES, 4)
        filled, _ = read_datagrams(data, len(data), sizes, 0, entries, counts[0])
        if filled != _MESSAGES or counts["malformed"].any():
            raise AssertionError(f"{filled} of {_MESSAGES} messages were read")
        yield entries[:filled]
