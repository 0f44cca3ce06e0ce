"""SIP messages: who calls whom, in long and compact headers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.dissect import sip
from ipwatchd.records.event import Sip

INVITE = (
    b"INVITE sip:bob@biloxi.example.com;transport=udp SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP pc33.atlanta.example.com;branch=z9hG4bK776asdhds\r\n"
    b'To: "Bob" <sip:bob@biloxi.example.com>\r\n'
    b'From: "Alice" <sip:alice:pw@atlanta.example.com>;tag=1928301774\r\n'
    b"Call-ID: a84b4c76e66710@pc33\r\nCSeq: 314159 INVITE\r\nUser-Agent: Softphone 1\r\n"
    b"Content-Length: 4\r\n\r\nv=0\n"
)


def test_request() -> None:
    """An INVITE gives both users, the host asked for, the call and the phone; no password."""
    event = sip.parse(INVITE)
    assert event is not None
    assert (event.method, event.user, event.peer, event.name) == (
        "INVITE", "alice", "bob", "biloxi.example.com",
    )  # fmt: skip
    assert (event.call_id, event.user_agent) == ("a84b4c76e66710@pc33", "Softphone 1")


def test_response_in_compact_form() -> None:
    """A response is named by the method of its CSeq; one-letter headers are headers (7.3.3)."""
    event = sip.parse(
        b"SIP/2.0 486 Busy Here\r\nv: SIP/2.0/UDP x\r\nf: sip:1001@a.example;tag=1\r\n"
        b"t: <tel:+4930123456>;tag=2\r\ni: c1\r\nCSeq: 2 INVITE\r\nServer: PBX\r\nl: 0\r\n\r\n"
    )
    assert event is not None
    assert (event.method, event.status, event.call_id) == ("INVITE", 486, "c1")
    assert (event.user, event.peer, event.user_agent) == ("1001", "+4930123456", "PBX")


@pytest.mark.parametrize(
    ("header", "user"),
    [
        (rb'From: "<sip:forged@evil>" <sip:real@x>', "real"),
        (rb'From: "a \" <sip:forged@evil>" <sip:real@x>', "real"),
        (b"From: sips:real@x", "real"),
        (b"From: Real Name <sip:real@x>", "real"),
        (b"From:\r\n <sip:real@x>", "real"),
        (b"From: <sip:x>", ""),
        (b"From: <mailto:real@x>", ""),
        (b"From: <sip:a\x1bb@x>", r"a\x1bb"),
    ],
)
def test_user_of_an_address(header: bytes, user: str) -> None:
    """The user is that of the URI; a display name that looks like one is not believed."""
    event = sip.parse(b"REGISTER sip:x SIP/2.0\r\n" + header + b"\r\n\r\n")
    assert event is not None
    assert event.user == user


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        (b"sip:b@pbx.example:5060;transport=tcp", "pbx.example"),
        (b"sips:[2001:db8::1]:5061", "[2001:db8::1]"),
        (b"sip:pbx.example?x=1", "pbx.example"),
        (b"tel:+4930123456", ""),
    ],
)
def test_host_of_the_request(uri: bytes, host: str) -> None:
    """The name is the host asked for, without port and parameters."""
    event = sip.parse(b"OPTIONS " + uri + b" SIP/2.0\r\n\r\n")
    assert event is not None
    assert event.name == host


def test_stream() -> None:
    """Over TCP bodies and keep-alives are stepped over, half a head is waited for."""
    step = sip.step(INVITE + INVITE)
    assert step.consumed == len(INVITE)
    assert sip.step(b"\r\n\r\n" + INVITE).consumed == 4
    head = INVITE.partition(b"\r\n\r\n")[0]
    for end in range(1, len(head)):
        assert sip.step(head[:end]).wait, head[:end]


def test_headers_of_a_body_are_not_read() -> None:
    """What stands in the body is nobody's header."""
    event = sip.parse(b"MESSAGE sip:x SIP/2.0\r\nTo: <sip:b@x>\r\n\r\nFrom: <sip:forged@x>\r\n")
    assert event is not None
    assert event.user == ""


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n\r\n", b"\0\0\0\0", b"SIP/2.0 abc", b"INVITE sip:x SIP/3.0\r\n\r\n", b"OPTIONS"],
)
def test_what_is_no_sip(data: bytes) -> None:
    """What is no message, a keep-alive among it, gives nothing."""
    assert sip.parse(data) is None


@given(
    user=st.from_regex(r"[A-Za-z0-9._+-]{1,40}", fullmatch=True),
    peer=st.from_regex(r"[A-Za-z0-9._+-]{1,40}", fullmatch=True),
    display=st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"\\')),
    status=st.integers(100, 699),
)
@settings(max_examples=150, deadline=None)
def test_round_trip(user: str, peer: str, display: str, status: int) -> None:
    """A message that was built is read back, whatever the display name says."""
    event = sip.parse(
        f'SIP/2.0 {status} x\r\nFrom: "{display}" <sip:{user}@a.example>;tag=1\r\n'
        f"To: <sip:{peer}@b.example;user=phone>\r\nCSeq: 1 BYE\r\n\r\n".encode()
    )
    assert isinstance(event, Sip)
    assert (event.user, event.peer, event.status, event.method) == (user, peer, status, "BYE")
