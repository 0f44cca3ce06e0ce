"""The server's side of TLS: what it chose, and its certificate where that is in clear."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.capture.dissect import Dissector
from ipwatchd.capture.dissect.tls_server import server_hello, step
from ipwatchd.capture.tap import Kind
from ipwatchd.records.event import Tls

if TYPE_CHECKING:
    from collections.abc import Callable

LEAF = b"\x30\x82" + bytes(1500)
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
ASKED = ("", "www.example.com")


def message(kind: int, body: bytes) -> bytes:
    """Return a handshake message."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def hello(
    version: int = 0x0303, *, chosen: int = 0, alpn: bytes = b"", random: bytes = bytes(32)
) -> bytes:
    """Return a ServerHello (RFC 8446, 4.1.3)."""
    extensions = b""
    if chosen:
        extensions += struct.pack("!HHH", 43, 2, chosen)
    if alpn:
        extensions += struct.pack("!HHHB", 16, 3 + len(alpn), 1 + len(alpn), len(alpn)) + alpn
    body = struct.pack("!H", version) + random + b"\0" + struct.pack("!HB", 0xC02F, 0)
    return message(2, body + struct.pack("!H", len(extensions)) + extensions)


def certificates(*ders: bytes) -> bytes:
    """Return a Certificate message (RFC 5246, 7.4.2)."""
    chain = b"".join(len(der).to_bytes(3, "big") + der for der in ders)
    return message(11, len(chain).to_bytes(3, "big") + chain)


@pytest.mark.parametrize("size", [16_384, 700, 100])
def test_hello_and_certificate(records: Callable[..., bytes], size: int) -> None:
    """The choice is told with the name asked for, the leaf goes to the child, however cut."""
    data = records(hello(alpn=b"h2") + certificates(LEAF, bytes(900)), size)
    for end in range(0, len(data), 7):
        assert not step(data[:end], ASKED).bad
    found = step(data, ASKED)
    (event,) = found.events
    assert isinstance(event, Tls)
    assert (event.name, event.version, event.alpn, event.cipher, event.response) == (
        "www.example.com", "TLS 1.2", ("h2",), "0xc02f", True,
    )  # fmt: skip
    assert found.done
    assert found.rich == (("certificate", LEAF),)


def test_later_certificates_are_not_waited_for(records: Callable[..., bytes]) -> None:
    """The leaf is handed on as soon as it is whole: a chain may be longer than what is tapped."""
    data = records(hello() + certificates(LEAF, bytes(9000)))
    assert step(data[:2000], ASKED).rich == (("certificate", LEAF),)


def test_version_1_3_has_no_certificate_in_clear(records: Callable[..., bytes]) -> None:
    """Of TLS 1.3 the hello is all; a request to try again is no choice yet."""
    found = step(records(hello(chosen=0x0304)), ASKED)
    assert [event.version for event in found.events if isinstance(event, Tls)] == ["TLS 1.3"]
    assert found.done
    assert step(records(hello(chosen=0x0304, random=RETRY)), ASKED).events == ()


def test_resumed_session(records: Callable[..., bytes]) -> None:
    """A resumed session shows no certificate: ChangeCipherSpec follows the hello at once."""
    data = records(hello()) + b"\x14\x03\x03\0\x01\x01"
    assert len(step(data, ASKED).events) == 1
    assert step(records(hello()), ASKED).wait
    assert len(step(records(hello()), ASKED, final=True).events) == 1


def test_both_sides_of_a_stream(
    taps: Any,
    packet: Any,
    keeping_door: Any,
    hello: Callable[..., bytes],
    records: Callable[..., bytes],
) -> None:
    """Both hellos of a connection are told, and the certificate handed over, in segments."""
    answer = records(server()) + records(certificates(LEAF))
    door = keeping_door()
    events = Dissector(rich=door).feed(
        taps(
            [
                packet(Kind.TLS, records(hello()), seq=1, port=443),
                *(
                    packet(Kind.TLS, answer[at : at + 600], seq=9 + at, port=443, from_orig=False)
                    for at in (600, 0, 1200)
                ),
            ]
        )
    )
    assert [event.response for event in events if isinstance(event, Tls)] == [False, True]
    assert {event.name for event in events if isinstance(event, Tls)} == {"www.example.com"}
    assert door.given == [("certificate", LEAF)]


server = hello


def test_cut_hello() -> None:
    """A hello that is cut off anywhere gives nothing or what it holds."""
    body = hello(chosen=0x0304, alpn=b"h3")[4:]
    for end in range(len(body)):
        server_hello(body[:end])
    assert server_hello(b"\x04" + body[1:]) is None
