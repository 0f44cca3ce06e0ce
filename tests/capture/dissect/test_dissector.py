"""Taps → events: whose flow, which order, what is counted."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from ipwatchd.capture.dissect import Dissector
from ipwatchd.capture.dissect.stream import IDLE, MAX_SEGMENTS
from ipwatchd.capture.tap import Kind
from ipwatchd.records.event import Arp, Dhcp, Dns, Http, Sip, Ssh, Tls

if TYPE_CHECKING:
    from collections.abc import Callable

QUERY = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\x01a\x07example\0\0\1\0\1"
ANSWER = b"\x12\x34\x81\x80" + QUERY[4:]
HTTP = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


def test_ends_are_the_flows(taps: Any, packet: Any) -> None:
    """Originator and responder are the flow's, in a response too; time and protocol are filled."""
    one, two = Dissector().feed(
        taps(
            [
                packet(Kind.DNS, QUERY, proto=17, port=53),
                packet(Kind.DNS, ANSWER, proto=17, port=53, from_orig=False, ts=1_700_000_000.25),
            ]
        )
    )
    assert isinstance(one, Dns)
    assert isinstance(two, Dns)
    assert (one.response, two.response) == (False, True)
    for event in (one, two):
        assert (event.orig, event.orig_port) == ("10.0.0.1", 40_000)
        assert (event.resp, event.resp_port, event.proto) == ("192.0.2.80", 53, "udp")
    assert two.ts == 1_700_000_000.25


def test_arp_ends_are_the_two_it_names(taps: Any, packet: Any) -> None:
    """An ARP packet has no flow: its sender is the originator, its target the responder."""
    data = bytes.fromhex("0001080006040001" + "020000000001" + "c0000201" + "00" * 6 + "c0000202")
    probe = data[:14] + bytes(4) + data[18:]
    one, two = Dissector().feed(
        taps([packet(Kind.ARP, data, proto=0), packet(Kind.ARP, probe, proto=0)])
    )
    assert isinstance(one, Arp)
    assert (one.orig, one.resp, one.proto) == ("192.0.2.1", "192.0.2.2", "arp")
    assert two.orig == ""


def test_every_kind_is_read(
    taps: Any, packet: Any, hello: Callable[..., bytes], records: Callable[..., bytes]
) -> None:
    """One of each comes out as its event, in the order of the packets, and is counted."""
    invite = b"OPTIONS sip:x SIP/2.0\r\nFrom: <sip:a@x>\r\n\r\n"
    lease = b"\x01\x01\x06\0" + bytes(232) + b"\x63\x82\x53\x63\x35\x01\x01\xff"
    dissector = Dissector()
    events = dissector.feed(
        taps(
            [
                packet(Kind.TLS, records(hello()), port=443),
                packet(Kind.HTTP, HTTP, port=80),
                packet(Kind.SSH, b"SSH-2.0-x\r\n", port=22),
                packet(Kind.SIP, invite, port=5060, proto=17),
                packet(Kind.SIP, invite, port=5060),
                packet(Kind.DHCP, lease, port=67, proto=17),
                packet(Kind.DNS, struct.pack("!H", len(QUERY)) + QUERY, port=53),
            ]
        )
    )
    assert [type(event) for event in events] == [Tls, Http, Ssh, Sip, Sip, Dhcp, Dns]
    assert dissector.counters.events == {
        "tls": 1, "http": 1, "ssh": 1, "sip": 2, "dhcp": 1, "dns": 1,
    }  # fmt: skip
    assert not dissector.counters.malformed


def test_hello_over_segments_out_of_order(
    taps: Any, packet: Any, hello: Callable[..., bytes], records: Callable[..., bytes]
) -> None:
    """A post-quantum hello over three segments is read once, whatever their order."""
    data = records(hello(more=[(51, bytes(2600))]))
    parts = [
        packet(Kind.TLS, data[at : at + 1200], seq=7000 + at, port=443) for at in (0, 1200, 2400)
    ]
    for order in ((0, 1, 2), (0, 2, 1), (2, 0, 1), (1, 2, 0), (0, 0, 1, 1, 2, 2)):
        dissector = Dissector()
        events = [
            event for place in order for event in dissector.feed(taps([parts[place]]))
        ]  # fmt: skip
        assert [type(event) for event in events] == [Tls], order
        assert dissector.counters.malformed == {}


def test_kept_connection(taps: Any, packet: Any) -> None:
    """Each request of a kept connection is an event, and each response names its Host."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"
    second = HTTP.replace(b"a.example", b"b.example")
    behind = 900 + len(answer) + 50_000
    events = Dissector().feed(
        taps(
            [
                packet(Kind.HTTP, HTTP, seq=100),
                packet(Kind.HTTP, answer + b"x" * 500, seq=900, from_orig=False),
                packet(Kind.HTTP, second, seq=100 + len(HTTP)),
                packet(Kind.HTTP, second, seq=100 + len(HTTP)),
                packet(Kind.HTTP, answer, seq=behind, from_orig=False),
            ]
        )
    )
    told = [(event.name, event.status) for event in events if isinstance(event, Http)]
    assert told == [("a.example", 0), ("a.example", 200), ("b.example", 0), ("b.example", 200)]


def test_request_behind_a_body_that_was_not_tapped(taps: Any, packet: Any) -> None:
    """A head behind bytes that never came is read; a repeated one is not told again."""
    upload = b"POST / HTTP/1.1\r\nHost: up.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    events = Dissector().feed(
        taps(
            [
                packet(Kind.HTTP, upload, seq=100),
                packet(Kind.HTTP, b"5\r\nhello", seq=100 + len(upload)),
                packet(Kind.HTTP, HTTP, seq=9000),
                packet(Kind.HTTP, HTTP, seq=9000),
            ]
        )
    )
    assert [event.name for event in events if isinstance(event, Http)] == [
        "up.example", "a.example",
    ]  # fmt: skip


def test_tls_behind_a_proxy(
    taps: Any, packet: Any, hello: Callable[..., bytes], records: Callable[..., bytes]
) -> None:
    """Behind CONNECT the hello tells the real server."""
    connect = b"CONNECT b.example:443 HTTP/1.1\r\n\r\n"
    greeting = records(hello(b"b.example"))
    for kind in (Kind.HTTP, Kind.TLS):
        events = Dissector().feed(
            taps(
                [
                    packet(Kind.HTTP, connect, seq=1),
                    packet(Kind.HTTP, b"HTTP/1.1 200 OK\r\n\r\n", seq=1, from_orig=False),
                    packet(kind, greeting, seq=1 + len(connect)),
                ]
            )
        )
        assert [type(event) for event in events] == [Http, Http, Tls]


def test_unfinished_hello_is_told_at_the_end(
    taps: Any, packet: Any, hello: Callable[..., bytes], records: Callable[..., bytes]
) -> None:
    """A hello whose rest is lost gives its name when its time is over, at the time it came."""
    data = records(hello(more=[(51, bytes(2600))]))
    late = packet(Kind.DNS, QUERY, proto=17, ts=1_700_000_000.0 + IDLE + 1)
    dissector = Dissector()
    assert dissector.feed(taps([packet(Kind.TLS, data[:1200], port=443)])) == []
    events = dissector.feed(taps([late]))
    assert [type(event) for event in events] == [Dns, Tls]
    assert events[1].ts == 1_700_000_000.0
    assert dissector.counters.streams_unfinished == 1
    dissector = Dissector()
    dissector.feed(taps([packet(Kind.TLS, data[:1200], port=443)]))
    assert [type(event) for event in dissector.finish()] == [Tls]
    assert dissector.counters.streams_live == 0


def test_what_fell_silent_is_told_without_another_tap(
    taps: Any, packet: Any, hello: Callable[..., bytes], records: Callable[..., bytes]
) -> None:
    """On a wire that carries nothing else the clock says when a hello's time is over."""
    data = records(hello(more=[(51, bytes(2600))]))
    dissector = Dissector()
    assert dissector.feed(taps([packet(Kind.TLS, data[:1200], port=443)])) == []
    assert dissector.answers() == dissector.answers(1_700_000_000.0 + IDLE - 1) == []
    assert [type(event) for event in dissector.answers(1_700_000_000.0 + IDLE)] == [Tls]


def test_one_byte_segments_are_given_up(taps: Any, packet: Any) -> None:
    """A sender of one byte a segment costs a bounded number of looks and is counted."""
    dissector = Dissector()
    for at in range(MAX_SEGMENTS * 2):
        dissector.feed(taps([packet(Kind.HTTP, b"GET /"[at : at + 1] or b"a", seq=at)]))
    assert dissector.counters.streams_shed == 1


def test_what_is_not_what_it_looked_like(taps: Any, packet: Any) -> None:
    """A wrong hint is counted by kind, a kind nobody reads is counted apart."""
    dissector = Dissector()
    junk = [packet(Kind.TLS, b"junk", seq=at * 4, port=443) for at in range(4)]
    dissector.feed(
        taps(
            [
                packet(Kind.DNS, b"junk", proto=17),
                packet(Kind.QUIC, b"x", proto=17),
                packet(Kind.NDP, b"x", proto=58),
                packet(Kind.RADIUS, b"x", proto=17),
                packet(200, b"x", proto=17),
                *junk,
            ]
        )
    )
    assert dissector.counters.malformed == {"dns": 1, "quic": 1, "ndp": 1, "tls": 1}
    assert dissector.counters.skipped == {"radius": 1, "200": 1}
