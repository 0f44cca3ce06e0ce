"""The compiled reader of whole hellos says what the reader in Python says."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.dissect import Dissector, tls
from ipwatchd.capture.dissect.hellos import NAMES, Names, hellos
from ipwatchd.capture.dissect.tls_server import server_hello
from ipwatchd.capture.tap import TAP, Kind, Taps
from ipwatchd.records.event import Tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.event import AnyEvent

SHORTS = st.lists(
    st.sampled_from([0x0A0A, 0xFAFA, 0x1301, 0xC02B, 0x0303, 0x0304, 0x0403])
    | st.integers(0, 65535),
    max_size=20,
)
WORDS = st.binary(max_size=12)


def whole(*records: tuple[bytes, bool]) -> Taps:
    """Return taps of whole hellos, each the first of its side of one connection."""
    index = np.zeros(len(records), TAP)
    data = b""
    for row, (record, client) in zip(index, records, strict=True):
        row["ts"], row["kind"], row["proto"], row["whole"] = 10**18, Kind.TLS, 6, 1
        row["offset"], row["length"], row["from_orig"] = len(data), len(record), client
        data += record
    return Taps(index, np.frombuffer(data, np.uint8))


def record(message: bytes) -> bytes:
    """Return a handshake message in a record of its own."""
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message


def read(one: bytes, *, client: bool = True) -> Any:
    """Return what the compiled reader says of a record."""
    taps = whole((one, client))
    return hellos(taps, taps.data.tobytes())[0]


def said(event: Tls) -> tuple[Any, ...]:
    """Return the same of an event."""
    return (True, event.name, event.version, event.alpn, event.ja4)


@settings(max_examples=200, deadline=None)
@given(name=WORDS, alpn=st.lists(WORDS, max_size=20), versions=SHORTS, ciphers=SHORTS,
       signatures=SHORTS, more=st.lists(st.tuples(st.integers(0, 65535), WORDS), max_size=6),
       legacy=st.sampled_from([0x0301, 0x0303, 0x0304, 0xFEFD, 0x0203]),
       flips=st.data())  # fmt: skip
def test_as_the_reader_in_python(
    hello: Callable[..., bytes], name: bytes, alpn: list[bytes], versions: list[int],
    ciphers: list[int], signatures: list[int], more: list[tuple[int, bytes]], legacy: int,
    flips: Any,
) -> None:  # fmt: skip
    """Of any hello, also one with changed octets, it says the same or leaves it to Python's."""
    message = bytearray(
        hello(name, alpn=alpn, versions=versions[:100], ciphers=ciphers, signatures=signatures,
              more=more, legacy=legacy)
    )  # fmt: skip
    for at in flips.draw(st.lists(st.integers(4, len(message) - 1), max_size=2)):
        message[at] ^= flips.draw(st.integers(0, 255))
    expected = tls.client_hello(bytes(message[4:]))
    found = read(record(bytes(message)))
    if found is not None:
        assert expected is not None
        assert found == said(expected)


def test_an_ordinary_hello_is_read(hello: Callable[..., bytes]) -> None:
    """What a browser sends is read by the compiled reader, whatever order its extensions have."""
    one = read(record(hello()))
    expected = tls.client_hello(hello()[4:])
    assert expected is not None
    assert one == said(expected)
    shuffled = read(record(hello(more=[(51, b"a"), (21, b"b")])))
    assert shuffled == read(record(hello(more=[(21, b"c"), (51, b"d")])))


@settings(max_examples=200, deadline=None)
@given(version=st.sampled_from([0x0303, 0x0304, 0x0301, 0x0203]), chosen=st.none() | WORDS,
       alpn=st.none() | WORDS, cipher=st.integers(0, 65535), cut=st.integers(0, 9))  # fmt: skip
def test_servers_as_the_reader_in_python(
    version: int, chosen: bytes | None, alpn: bytes | None, cipher: int, cut: int
) -> None:
    """A ServerHello gives the same version, protocol and cipher, or is left to Python's reader."""
    extensions = b""
    for kind, value in ((43, chosen), (16, alpn)):
        if value is not None:
            extensions += struct.pack("!HH", kind, len(value)) + value
    body = struct.pack("!H", version) + bytes(32) + b"\0" + struct.pack("!HB", cipher, 0)
    body += struct.pack("!H", len(extensions)) + extensions
    body = body[: len(body) - cut]
    found = read(record(b"\x02" + len(body).to_bytes(3, "big") + body), client=False)
    expected = server_hello(body)
    if found is not None:
        assert expected is not None
        event = expected[0]
        assert found == (False, "", event.version, event.alpn, event.cipher)


def test_server_is_told_with_the_name_asked_for(hello: Callable[..., bytes]) -> None:
    """Two whole hellos give two events, the second with the first's name, without any stream."""
    body = b"\x03\x03" + bytes(32) + b"\0\x13\x01\0\0\x06" + struct.pack("!HHH", 43, 2, 0x0304)
    answer = record(b"\x02" + len(body).to_bytes(3, "big") + body)
    dissector = Dissector()
    events: list[AnyEvent] = dissector.feed(whole((record(hello()), True), (answer, False)))
    asked, chosen = (one for one in events if isinstance(one, Tls))
    assert (asked.name, asked.response) == ("www.example.com", False)
    assert (chosen.name, chosen.version, chosen.response) == ("www.example.com", "TLS 1.3", True)
    assert dissector.counters.streams_live == 0


def test_odd_hellos_reach_the_reader_in_python(hello: Callable[..., bytes]) -> None:
    """A hello of before extensions is not the compiled reader's, and is told all the same."""
    message = hello(b"", alpn=(), versions=(), signatures=(), legacy=0x0301)[:-2]
    message = b"\x01" + (len(message) - 4).to_bytes(3, "big") + message[4:]
    assert read(record(message)) is None
    (event,) = Dissector().feed(whole((record(message), True)))
    assert isinstance(event, Tls)
    assert event.ja4.startswith("t10i030000_")


def test_names_are_bounded() -> None:
    """Hellos without an answer push out the oldest."""
    names = Names()
    for number in range(NAMES + 1):
        names.put(number, str(number))
    assert names.take(0) is None
    assert names.take(NAMES) == str(NAMES)
    assert names.take(NAMES) is None
