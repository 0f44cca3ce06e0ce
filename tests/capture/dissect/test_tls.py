"""TLS ClientHello: names, versions and the JA4 fingerprint."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.dissect import tls
from ipwatchd.capture.dissect.ja4 import ja4
from ipwatchd.records.event import Tls

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE_CIPHERS = (
    0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC013, 0xC014, 0x009C,
    0x009D, 0x002F, 0x0035,
)  # fmt: skip
EXAMPLE_EXTENSIONS = (
    0x001B, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002D, 0x000D, 0x0005, 0x0023, 0x0012, 0x002B,
    0xFF01, 0x000B, 0x000A, 0x0015,
)  # fmt: skip
EXAMPLE_SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)


def test_ja4_of_the_description() -> None:
    """The worked example of FoxIO's technical description comes out, GREASE or not."""
    expected = "t13d1516h2_8daaf6152771_e5627efa2ab1"
    grease = (0x0A0A,)
    assert ja4("t", 0x0304, EXAMPLE_CIPHERS, EXAMPLE_EXTENSIONS, EXAMPLE_SIGNATURES, b"h2") == (
        expected
    )
    assert (
        ja4(
            "t", 0x0304, grease + EXAMPLE_CIPHERS, (*EXAMPLE_EXTENSIONS, 0xFAFA),
            EXAMPLE_SIGNATURES, b"h2",
        )
        == expected
    )  # fmt: skip


def test_ja4_without_signatures() -> None:
    """Without signature algorithms the second hash is over the extensions alone."""
    text = ja4("t", 0x0304, EXAMPLE_CIPHERS, EXAMPLE_EXTENSIONS, (), b"h2")
    assert text.endswith("_6d807ffa2a79")


@pytest.mark.parametrize(
    ("protocol", "ends"),
    [
        (b"", "00"),
        (b"h2", "h2"),
        (b"http/1.1", "h1"),
        (b"h", "hh"),
        (b"\xab", "ab"),
        (b"\xab\xcd", "ad"),
        (b"\x30\xab", "3b"),
        (b"\x30\x31\xab\xcd", "3d"),
        (b"\x30\xab\xcd\x31", "01"),
    ],
)
def test_ja4_protocol_ends(protocol: bytes, ends: str) -> None:
    """The ALPN part is the description's: hex where an end is not alphanumeric."""
    assert ja4("q", 0x0304, (0x1301,), (), (), protocol) == f"q13i0100{ends}_{_digest()}_{'0' * 12}"


def _digest() -> str:
    return ja4("q", 0x0304, (0x1301,), (), (), b"").split("_")[1]


def test_ja4_of_nothing() -> None:
    """Empty lists are zeros, not the hash of nothing; counts stop at 99; other versions are 00."""
    assert ja4("t", 0x7F1C, (), (), (), b"") == f"t00i000000_{'0' * 12}_{'0' * 12}"
    assert ja4("t", 0x0303, range(0x1000, 0x1100), (), (), b"").startswith("t12i9900")


def test_hello(hello: Callable[..., bytes], records: Callable[..., bytes]) -> None:
    """A ClientHello gives the server's name, the protocols and the highest version offered."""
    step = tls.step(records(hello()))
    assert step.done
    (event,) = step.events
    assert isinstance(event, Tls)
    assert (event.name, event.alpn, event.version) == (
        "www.example.com", ("h2", "http/1.1"), "TLS 1.3",
    )  # fmt: skip
    assert event.ja4.startswith("t13d0304h2_")


def test_hello_without_extensions(hello: Callable[..., bytes]) -> None:
    """A hello of the years before extensions is a hello too."""
    message = hello(b"", alpn=(), versions=(), signatures=(), legacy=0x0301)
    event = tls.client_hello(message[4:-2])
    assert event is not None
    assert (event.name, event.version) == ("", "TLS 1.0")
    assert event.ja4.startswith("t10i030000_")


def test_large_hello_over_records_and_segments(
    hello: Callable[..., bytes], records: Callable[..., bytes]
) -> None:
    """A hello with a post-quantum key share is whole over any records and at no earlier byte."""
    stream = records(hello(more=[(51, bytes(1300)), (21, bytes(400))]), 500)
    assert len(stream) > 1700
    for end in range(len(stream)):
        assert tls.step(stream[:end]).wait, end
    (event,) = tls.step(stream).events
    assert isinstance(event, Tls)
    assert event.name == "www.example.com"


def test_cut_hello_gives_its_name_but_no_fingerprint(
    hello: Callable[..., bytes], records: Callable[..., bytes]
) -> None:
    """Where the rest never comes, the name is given and JA4 is not: it would be another's."""
    stream = records(hello(more=[(51, bytes(1300))]))
    (event,) = tls.step(stream[:600], final=True).events
    assert isinstance(event, Tls)
    assert (event.name, event.ja4) == ("www.example.com", "")


def test_server_hello_is_left(records: Callable[..., bytes]) -> None:
    """A ServerHello ends the reading of its direction and is not malformed."""
    step = tls.step(records(b"\x02\0\0\x26" + bytes(38)))
    assert step.done
    assert not step.bad
    assert not step.events


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\0\0\0\0",
        b"\x16\x03\x01\xff\xff" + bytes(10),
        b"\x16\x03\x01\0\x04\x01\xff\xff\xff",
        b"\x17\x03\x03\0\x05hello",
        b"\x16\x03\x01\0\x08\x01\0\0\x04\0\0\0\0",
    ],
)
def test_what_is_no_tls(data: bytes) -> None:
    """What is no record of a ClientHello is said to be bad at once."""
    assert tls.step(data).bad


def test_name_is_made_fit_to_show(
    hello: Callable[..., bytes], records: Callable[..., bytes]
) -> None:
    """A server name may hold any bytes: none of them reaches a terminal."""
    (event,) = tls.step(records(hello(b"a\x1b]0;x\x07\xff"))).events
    assert isinstance(event, Tls)
    assert event.name == r"a\x1b]0;x\x07\xff"


def test_dtls(hello: Callable[..., bytes]) -> None:
    """A DTLS hello has a cookie, and versions that count down (RFC 9147, 5.3)."""
    body = hello(b"dtls.example", versions=(0xFEFD, 0xFEFC), legacy=0xFEFD)[4:]
    body = body[:67] + b"\x02ck" + body[67:]
    handshake = (
        b"\x01" + len(body).to_bytes(3, "big") + b"\0\0\0\0\0" + len(body).to_bytes(3, "big")
    )
    record = b"\x16\xfe\xfd" + bytes(8) + struct.pack("!H", len(handshake) + len(body))
    event = tls.datagram(record + handshake + body)
    assert event is not None
    assert (event.name, event.version) == ("dtls.example", "DTLS 1.3")
    assert event.ja4.startswith("dd3d")


@given(
    name=st.from_regex(r"[a-z0-9-]{1,60}(\.[a-z0-9-]{1,60}){0,3}", fullmatch=True),
    alpn=st.lists(st.sampled_from([b"h2", b"http/1.1", b"dot", b"\xff"]), max_size=4),
    ciphers=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=120),
    size=st.integers(1, 3000),
)
@settings(max_examples=150, deadline=None)
def test_round_trip(
    hello: Callable[..., bytes],
    records: Callable[..., bytes],
    name: str,
    alpn: list[bytes],
    ciphers: list[int],
    size: int,
) -> None:
    """A hello that was built is read back, however it is cut into records."""
    (event,) = tls.step(records(hello(name.encode(), alpn=alpn, ciphers=ciphers), size)).events
    assert isinstance(event, Tls)
    assert event.name == name
    assert event.alpn == tuple("\\xff" if one == b"\xff" else one.decode() for one in alpn)
    assert len(event.ja4) == 36
