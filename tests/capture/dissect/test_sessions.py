"""Whole sessions through the packet loop: which hellos are told, once, however they come."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from ipwatchd.capture import read_files
from ipwatchd.config import CaptureSettings
from ipwatchd.records.event import Certificate, Http, Quic, Tls

from .test_quic import frame, initial
from .test_tls_server import RETRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.event import AnyEvent

DATA = b"\x17\x03\x03\x00\x40" + bytes(64)
CHANGE = b"\x14\x03\x03\0\x01\x01"


class Talk:
    """A TCP connection whose segments are written in an order of choice."""

    def __init__(self, wire: Any, *, start: float = 0.0, syn: bool = True, port: int = 443) -> None:
        self.wire, self.port, self.at = wire, port, start
        self.sent = {True: 1000, False: 5000}
        if syn:
            self.segment(True, b"", flags="S")
            self.segment(False, b"", flags="SA")
            self.segment(True, b"")

    def segment(self, client: bool, data: bytes, *, flags: str = "PA") -> None:
        """Write the next segment of one side."""
        seq = self.sent[client]
        self.sent[client] += len(data) + ("S" in flags)
        self.at_seq(client, seq, data, flags=flags)

    def at_seq(self, client: bool, seq: int, data: bytes, *, flags: str = "PA") -> None:
        """Write a segment where it belongs."""
        ends = ("10.20.0.5", "203.0.113.9") if client else ("203.0.113.9", "10.20.0.5")
        ports = (40_000, self.port) if client else (self.port, 40_000)
        head = TCP(sport=ports[0], dport=ports[1], seq=seq, flags=flags)
        self.wire.frame(self.at, Ether() / IP(src=ends[0], dst=ends[1]) / head / data)
        self.at += 0.001

    def shuffled(self, client: bool, parts: list[bytes], order: tuple[int, ...]) -> None:
        """Write segments of one side in another order than they were sent."""
        starts = list(itertools.accumulate(map(len, parts), initial=self.sent[client]))
        self.sent[client] = starts[-1]
        for place in order:
            self.at_seq(client, starts[place], parts[place])


def events(wire: Any) -> list[AnyEvent]:
    """Return the events of a capture."""
    return [event for one in read_files([wire.write()], CaptureSettings()) for event in one.events]


def names(wire: Any) -> list[tuple[str, bool]]:
    """Return name and side of the TLS events."""
    return [(event.name, event.response) for event in events(wire) if isinstance(event, Tls)]


def answer(*, chosen: int = 0x0304, random: bytes = bytes(32)) -> bytes:
    """Return the record of a ServerHello."""
    more = struct.pack("!HHH", 43, 2, chosen) if chosen else b""
    body = b"\x03\x03" + random + b"\0\x13\x01\0" + struct.pack("!H", len(more)) + more
    return (
        b"\x16\x03\x03"
        + struct.pack("!HB", len(body) + 4, 2)
        + struct.pack("!I", len(body))[1:]
        + body
    )


@pytest.fixture
def asks(hello: Callable[..., bytes], records: Callable[..., bytes]) -> bytes:
    """Return a ClientHello in one record."""
    return records(hello())


def test_two_events_a_session(wire: Any, asks: bytes) -> None:
    """Each hello is told once, also where it is sent again, and nothing of what follows."""
    talk = Talk(wire)
    talk.segment(True, asks)
    talk.at_seq(True, 1001, asks)
    talk.segment(False, answer() + CHANGE + DATA)
    talk.at_seq(False, 5001, answer() + CHANGE + DATA)
    for client in (True, False, True):
        talk.segment(client, DATA)
    assert names(wire) == [("www.example.com", False), ("www.example.com", True)]


def test_ports_used_again(wire: Any, asks: bytes) -> None:
    """The next connection on the same ports has its own hellos."""
    for start in (0.0, 1.0):
        talk = Talk(wire, start=start)
        talk.segment(True, asks)
        talk.segment(False, answer() + CHANGE)
        talk.segment(True, b"", flags="FA")
        talk.segment(False, b"", flags="FA")
        talk.segment(True, b"", flags="A")
    assert len(names(wire)) == 4


def test_asked_to_try_again(wire: Any, asks: bytes) -> None:
    """Behind a HelloRetryRequest the server's choice is told, and the client's hello once."""
    talk = Talk(wire)
    talk.segment(True, asks)
    talk.segment(False, answer(random=RETRY) + CHANGE)
    talk.segment(True, CHANGE + asks)
    talk.segment(False, answer() + DATA)
    assert names(wire) == [("www.example.com", False), ("www.example.com", True)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_hello_in_any_order(
    wire: Any, hello: Callable[..., bytes], records: Callable[..., bytes], order: tuple[int, ...]
) -> None:
    """A hello of three segments is told in whatever order the network brings them."""
    data = records(hello(more=[(51, bytes(2500))]))
    talk = Talk(wire)
    talk.shuffled(True, [data[:1000], data[1000:2000], data[2000:]], order)
    talk.segment(False, answer() + CHANGE)
    assert names(wire) == [("www.example.com", False), ("www.example.com", True)]


def test_request_in_the_wrong_order(wire: Any) -> None:
    """The end of a request that overtook its beginning is read behind it, on any port."""
    talk = Talk(wire, port=8123)
    talk.shuffled(True, [b"GET / HTTP/1.1\r\nHo", b"st: www.example.com\r\n\r\n"], (1, 0))
    assert [event.name for event in events(wire) if isinstance(event, Http)] == ["www.example.com"]


def test_a_foreign_segment_is_not_taken(wire: Any, asks: bytes) -> None:
    """What was held of another place in the stream is not put behind a beginning."""
    talk = Talk(wire)
    talk.at_seq(True, 900_000, b"\0" * 700)
    talk.segment(True, asks[:100])
    talk.segment(True, asks[100:])
    assert names(wire) == [("www.example.com", False)]


def test_certificate_behind_the_hello(wire: Any, asks: bytes) -> None:
    """Up to TLS 1.2 a certificate in a later segment than the hello is read all the same."""
    talk = Talk(wire)
    talk.segment(True, asks)
    talk.segment(False, answer(chosen=0))
    der = _certificate()
    chain = (len(der)).to_bytes(3, "big") + der
    message = len(chain).to_bytes(3, "big") + chain
    message = b"\x0b" + len(message).to_bytes(3, "big") + message
    data = b"\x16\x03\x03" + struct.pack("!H", len(message)) + message
    talk.segment(False, data[:200])
    talk.segment(False, data[200:])
    found = events(wire)
    assert [event.name for event in found if isinstance(event, Tls)] == ["www.example.com"] * 2
    assert [event.name for event in found if isinstance(event, Certificate)] == ["site.example"]


def _certificate() -> bytes:
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "site.example")])
    first = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), first, first.replace(year=2030)
    ).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.DER)


def test_encrypted_hello(
    wire: Any, hello: Callable[..., bytes], records: Callable[..., bytes]
) -> None:
    """Of an encrypted ClientHello (RFC 9849) the outer name is told, and what the client is."""
    outer = bytes.fromhex("0000010001000020") + bytes(32) + struct.pack("!H", 144) + bytes(144)
    talk = Talk(wire)
    talk.segment(True, records(hello(b"public.example", more=[(0xFE0D, outer)])))
    (event,) = (one for one in events(wire) if isinstance(one, Tls))
    assert event.name == "public.example"
    assert event.ja4.startswith("t13d0305h2_")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_quic_hello_over_packets(
    wire: Any, hello: Callable[..., bytes], order: tuple[int, ...]
) -> None:
    """A QUIC hello over three Initials is told once, in whatever order they come."""
    message = hello(alpn=[b"h3"], more=[(51, bytes(2300))])
    parts = [
        initial(frame(start, message[start : start + 1000]), count=number)
        for number, start in enumerate(range(0, len(message), 1000))
    ]
    assert len(parts) == 3
    for at, place in enumerate(order):
        wire.udp(at / 100, data=parts[place], port=443)
    (event,) = (one for one in events(wire) if isinstance(one, Quic))
    assert (event.name, event.alpn) == ("www.example.com", ("h3",))
