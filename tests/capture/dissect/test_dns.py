"""DNS messages: what is read, and what hostile ones cost."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.dissect import dns

QUESTION = b"\x03www\x07example\x03com\0\0\1\0\1"


def header(flags: int = 0x0100, questions: int = 1, answers: int = 0, ident: int = 0x1234) -> bytes:
    """Return the twelve bytes that a message starts with."""
    return struct.pack("!6H", ident, flags, questions, answers, 0, 0)


def record(kind: int, data: bytes, ttl: int = 60, owner: bytes = b"\xc0\x0c") -> bytes:
    """Return a resource record."""
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def test_query() -> None:
    """A query gives its name, type and id."""
    (event,) = dns.parse(header() + QUESTION)
    assert (event.name, event.qtype, event.id) == ("www.example.com", "A", 0x1234)
    assert not event.response
    assert event.rcode == ""


def test_response_gives_addresses_names_and_the_least_ttl(scapy: Any) -> None:
    """A response by scapy gives what was answered, not the authority or additional records."""
    rr = scapy.dns.DNSRR
    message = bytes(
        scapy.dns.DNS(
            id=7, qr=1, qd=[scapy.dns.DNSQR(qname="a.example", qtype="AAAA")],
            an=[
                rr(rrname="a.example", type="CNAME", rdata="b.example", ttl=300),
                rr(rrname="b.example", type="AAAA", rdata="2001:db8::1", ttl=20),
                rr(rrname="b.example", type="A", rdata="192.0.2.1", ttl=90),
            ],
            ar=[rr(rrname="ns.example", type="A", rdata="198.51.100.1", ttl=1)],
        )
    )  # fmt: skip
    (event,) = dns.parse(message)
    assert event.answers == ("b.example", "2001:db8::1", "192.0.2.1")
    assert (event.rcode, event.ttl, event.response) == ("NOERROR", 20, True)


def test_mx_srv_and_ptr_give_the_name() -> None:
    """Numbers in front of a name are stepped over; a root target is no name."""
    name = b"\x02mx\xc0\x10"
    answers = (
        record(15, b"\0\x0a" + name) + record(33, b"\0\1\0\2\1\xbb" + name) + record(12, name)
        + record(15, b"\0\0\0")
    )  # fmt: skip
    (event,) = dns.parse(header(0x8180, answers=4) + QUESTION + answers)
    assert event.answers == ("mx.example.com",) * 3


def test_rcode() -> None:
    """A refusal is named as people name it."""
    (event,) = dns.parse(header(0x8183) + QUESTION)
    assert event.rcode == "NXDOMAIN"


def test_multicast_response_without_question() -> None:
    """An mDNS response repeats no question: it is about its first record (RFC 6762, 6)."""
    owner = b"\x07printer\x05local\0"
    message = header(0x8400, questions=0, answers=1) + record(1, b"\xc0\0\2\7", owner=owner)
    (event,) = dns.parse(message)
    assert (event.name, event.qtype, event.answers) == ("printer.local", "A", ("192.0.2.7",))


def test_multicast_query_asks_several() -> None:
    """Each question of an mDNS query is an event; the unicast bit is no class."""
    second = b"\x01b\x05local\0\0\x0c\x80\1"
    first, other = dns.parse(header(0, questions=2) + QUESTION + second)
    assert (first.name, other.name, other.qtype) == ("www.example.com", "b.local", "PTR")


def test_root_is_a_dot() -> None:
    """The root's name is written "."."""
    (event,) = dns.parse(header() + b"\0\0\2\0\1")
    assert (event.name, event.qtype) == (".", "NS")


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (b"a.b", r"a\.b"),
        (b"a\\b", r"a\\b"),
        (b"\x1b[2J", r"\027[2J"),
        ("büro".encode(), "büro"),
        ("a\u202eb".encode(), r"a\226\128\174b"),
        (b"\xff\x00", r"\255\000"),
        (b"two words", "two words"),
    ],
)
def test_names_can_be_shown(label: bytes, text: str) -> None:
    """What would end a label or harm a terminal is escaped (RFC 4343), the rest is kept."""
    (event,) = dns.parse(header() + bytes([len(label)]) + label + b"\0\0\1\0\1")
    assert event.name == text
    assert event.name.isprintable()


def test_case_is_kept() -> None:
    """A name keeps the case it had on the wire: 0x20 encoding can be seen."""
    (event,) = dns.parse(header() + b"\x03wWw\x01X\0\0\1\0\1")
    assert event.name == "wWw.X"


def test_pointer_loop_ends() -> None:
    """A name that points at itself is no name."""
    assert dns.parse(header() + b"\xc0\x0c\0\1\0\1") == []


def test_pointers_that_unfold_end() -> None:
    """Pointers can't unfold a packet into a name over 255 octets."""
    label = b"\x3f" + b"a" * 63
    assert dns.parse(header() + label * 4 + b"\0\0\1\0\1") == []


def test_cut_off_response_gives_what_is_there() -> None:
    """Of a response that is cut off the records before the cut are given."""
    whole = record(1, b"\1\2\3\4") + record(1, b"\5\6\7\x08")
    (event,) = dns.parse((header(0x8180, answers=2) + QUESTION + whole)[:-2])
    assert event.answers == ("1.2.3.4",)


def test_records_are_bounded() -> None:
    """A response of thousands of records gives the first of them."""
    message = header(0x8180, answers=4000) + QUESTION + record(1, b"\1\2\3\4") * 4000
    (event,) = dns.parse(message)
    assert len(event.answers) == dns.MAX_ANSWERS


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 12,
        header(questions=0),
        header(questions=17) + QUESTION * 17,
        header() + b"\x03www",
        header() + b"\x03www\0\0\1\0\x09",
        header(0x7800) + QUESTION,
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_no_dns(data: bytes) -> None:
    """What is no message of DNS gives nothing."""
    assert dns.parse(data) == []


def test_stream_has_lengths() -> None:
    """Over TCP a message comes behind its length; half of one is waited for (RFC 1035, 4.2.2)."""
    message = header() + QUESTION
    framed = struct.pack("!H", len(message)) + message
    step = dns.step(framed + b"\0")
    assert step.consumed == len(framed)
    assert step.events == dns.parse(message)
    assert dns.step(framed[:-1]).wait
    assert dns.step(b"\0\3abc").bad


LABEL = st.binary(min_size=1, max_size=30)


@given(
    labels=st.lists(LABEL, min_size=1, max_size=7),
    addresses=st.lists(st.binary(min_size=4, max_size=4), max_size=10),
    ttl=st.integers(0, 0xFFFF_FFFF),
    ident=st.integers(0, 0xFFFF),
)
@settings(max_examples=200, deadline=None)
def test_round_trip(labels: list[bytes], addresses: list[bytes], ttl: int, ident: int) -> None:
    """A message that was built is read back: name, addresses, TTL and id."""
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    message = (
        header(0x8180, answers=len(addresses), ident=ident) + name + b"\0\1\0\1"
        + b"".join(record(1, address, ttl) for address in addresses)
    )  # fmt: skip
    (event,) = dns.parse(message)
    assert event.answers == tuple(".".join(map(str, address)) for address in addresses)
    assert event.ttl == (ttl if addresses else 0)
    assert event.id == ident
    assert event.name.isprintable()
    if all(label.isalnum() and label.isascii() for label in labels):
        assert event.name == ".".join(label.decode() for label in labels)
