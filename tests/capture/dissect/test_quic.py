"""QUIC: Initials that were protected with the keys the RFCs print, and what becomes of them."""

from __future__ import annotations

import itertools
import random
import struct
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.dissect import Dissector
from ipwatchd.capture.dissect.quic import (
    MAX_INITIALS,
    Connections,
    crypto_frames,
    read_header,
    version_name,
)
from ipwatchd.capture.dissect.stream import IDLE
from ipwatchd.capture.tap import Kind
from ipwatchd.records.event import Quic

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET: Final = bytes.fromhex("8394c8f03e515708")
V2: Final = 0x6B3343CF
# RFC 9001, A.1 and RFC 9369, A.1: key, iv and header protection key of that connection ID.
KEYS: Final = {
    1: (
        "1f369613dd76d5467730efcbe3b1a22d",
        "fa044b2f42a3fd3b46fb255c",
        "9f50449e04a0e810283a1e9933adedd2",
    ),
    V2: (
        "8b1a0bc121284290a29e0971b5cd045d",
        "91f73e2351d8fa91660e909f",
        "45b95e15235d6f45a6b19cbcb0294ba9",
    ),
}
KEY: Final = (1, 2, 3, 4, 5, 6, 0, 0)


def number(value: int) -> bytes:
    """Return a variable-length integer of two bytes (RFC 9000, 16)."""
    return struct.pack("!H", 0x4000 | value)


def frame(offset: int, data: bytes) -> bytes:
    """Return a CRYPTO frame."""
    return b"\x06" + number(offset) + number(len(data)) + data


def initial(
    frames: bytes, *, version: int = 1, count: int = 0, token: bytes = b"", target: bytes = TARGET
) -> bytes:
    """Return a protected Initial (RFC 9001, 5) of at least 1,200 bytes."""
    key, iv, mask_key = (bytes.fromhex(text) for text in KEYS[version])
    frames = frames.ljust(1160, b"\0")
    head = bytes([0xC1 if version == 1 else 0xD1]) + struct.pack("!I", version)
    head += bytes([len(target)]) + target + b"\0" + number(len(token)) + token
    head += number(2 + len(frames) + 16) + struct.pack("!H", count)
    nonce = bytes(a ^ b for a, b in zip(iv, count.to_bytes(12, "big"), strict=True))
    sealed = AESGCM(key).encrypt(nonce, frames, head)
    sample = sealed[2:18]
    mask = Cipher(algorithms.AES(mask_key), modes.ECB()).encryptor().update(sample)  # noqa: S305  RFC 9001, 5.4.3
    out = bytearray(head + sealed)
    out[0] ^= mask[0] & 0x0F
    out[len(head) - 2] ^= mask[1]
    out[len(head) - 1] ^= mask[2]
    return bytes(out)


@pytest.mark.parametrize("version", [1, V2])
def test_hello_in_one_packet(hello: Callable[..., bytes], version: int) -> None:
    """Name, ALPN, version and fingerprint of an Initial are read, of QUIC 1 and 2."""
    data = initial(frame(0, hello(alpn=[b"h3"])), version=version, token=b"again")
    found = Connections(4).feed(KEY, data, 0.0, from_orig=True)
    assert isinstance(found, Quic)
    assert (found.name, found.version, found.alpn) == (
        "www.example.com", "1" if version == 1 else "2", ("h3",),
    )  # fmt: skip
    assert found.ja4.startswith("q13d0304h3_")


@given(cuts=st.lists(st.integers(1, 1800), max_size=12), seed=st.integers())
@settings(max_examples=100, deadline=None)
def test_hello_scattered(hello: Callable[..., bytes], cuts: list[int], seed: int) -> None:
    """A hello in pieces, over three packets, in any order and repeated, is read once."""
    message = hello(more=[(51, bytes(1700))])
    ends = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
    # No piece may be longer than a packet holds.
    ends = sorted({*ends, *range(0, len(message), 900)})
    pieces = list(itertools.pairwise(ends))
    random.Random(seed).shuffle(pieces)
    packets: list[bytes] = []
    for start, end in [*pieces, *pieces[:2]]:
        part = frame(start, message[start:end])
        if packets and len(packets[-1]) + len(part) < 1100:
            packets[-1] += b"\x01" + part
        else:
            packets.append(part)
    connections = Connections(4)
    found = [
        connections.feed(KEY, initial(part, count=at), 0.0, from_orig=True)
        for at, part in enumerate(packets)
    ]
    (event,) = [one for one in found if one is not None]
    assert isinstance(event, Quic)
    assert event.name == "www.example.com"


def test_second_connection_id(hello: Callable[..., bytes]) -> None:
    """An Initial sent after the server's answer has its ID, but the keys of the first."""
    message = hello(more=[(51, bytes(1700))])
    connections = Connections(4)
    first = connections.feed(KEY, initial(frame(0, message[:1000])), 0.0, from_orig=True)
    second = initial(frame(1000, message[1000:]), count=1, target=b"server")
    found = connections.feed(KEY, second, 0.0, from_orig=True)
    assert first is None
    assert isinstance(found, Quic)


def test_cut_hello_is_told_when_silent(hello: Callable[..., bytes]) -> None:
    """Of a hello whose rest is lost the name is told when its time is over, without JA4."""
    connections = Connections(4)
    message = hello(more=[(51, bytes(1700))])
    connections.feed(KEY, initial(frame(0, message[:1000])), 5.0, from_orig=True)
    assert connections.idle(5.0 + IDLE - 1) == []
    ((key, last, event),) = connections.idle(5.0 + IDLE)
    assert (key, last) == (KEY, 5.0)
    assert event is not None
    assert (event.name, event.ja4) == ("www.example.com", "")
    assert len(connections) == 0


def test_forged_and_other_side() -> None:
    """What does not decrypt is malformed; the server's Initials are not looked at."""
    connections = Connections(4)
    data = bytearray(initial(frame(0, b"\x01")))
    data[-1] ^= 1
    assert connections.feed(KEY, bytes(data), 0.0, from_orig=True) is False
    assert connections.feed(KEY, bytes(data), 0.0, from_orig=False) is None


def test_bounds() -> None:
    """Connections are bounded, and so are the Initials that are decrypted of one."""
    connections = Connections(4)
    for one in range(10):
        connections.feed((one, *KEY[1:]), initial(frame(0, b"\x01")), 0.0, from_orig=True)
    assert len(connections) == 4
    assert connections.shed == 6
    junk = bytes(initial(b""))[:-1] + b"!"
    told = [connections.feed(KEY, junk, 0.0, from_orig=True) for _ in range(MAX_INITIALS + 5)]
    assert told.count(False) == MAX_INITIALS


def test_frames() -> None:
    """CRYPTO frames stand between PADDING, PING and ACK; what is unknown ends the walk."""
    ack = b"\x02" + number(9) + number(0) + number(1) + number(0) + number(0) + number(0)
    ecn = b"\x03" + ack[1:] + number(1) * 3
    data = (
        b"\0\0\x01"
        + ack
        + frame(0, b"ab")
        + ecn
        + b"\0"
        + frame(2, b"cd")
        + b"\x1c"
        + frame(4, b"x")
    )
    assert crypto_frames(data) == [(0, b"ab"), (2, b"cd")]
    for end in range(len(data)):
        crypto_frames(data[:end])


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_frames(data: bytes) -> None:
    """Whatever was encrypted, the walk ends within the bytes."""
    assert sum(len(part) for _, part in crypto_frames(data)) <= len(data)


def test_hostile_headers(taps: Any, packet: Any, hello: Callable[..., bytes]) -> None:
    """An Initial cut at every length, and with each byte of its header flipped, is survived."""
    data = initial(frame(0, hello()))
    assert all(read_header(data[:end], 0) is None for end in range(len(data)))
    rows = [packet(Kind.QUIC, data[:end], proto=17, orig_port=end + 1) for end in range(60)]
    for at in range(24):
        for new in (0, 0xFF, data[at] ^ 0x40):
            bad = data[:at] + bytes([new]) + data[at + 1 :]
            rows.append(packet(Kind.QUIC, bad, proto=17, orig_port=2000 + len(rows)))
    dissector = Dissector()
    dissector.feed(taps(rows))
    dissector.finish()
    assert dissector.counters.streams_live == 0


def test_version_names() -> None:
    """Versions are written as people write them."""
    assert [version_name(one) for one in (1, V2, 0xFF00001D, 0x0A0A0A0A)] == [
        "1", "2", "draft-29", "0x0a0a0a0a",
    ]  # fmt: skip
