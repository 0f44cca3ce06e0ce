"""Kerberos, LDAP and SMB over TCP: where messages start and end, and which go to the child."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ipwatchd.capture.dissect import Dissector
from ipwatchd.capture.dissect.framed import STEPS, authenticate
from ipwatchd.capture.tap import Kind

KERBEROS = b"\x7e\x0a\x30\x08\xa0\x03\2\1\5\xa1\1\0"
BIND = b"\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0"
SEARCH = b"\x30\x05\2\1\2\x63\0"
NTLM = b"NTLMSSP\0\3\0\0\0" + bytes(64)
SETUP = b"\xfeSMB" + bytes(60) + NTLM


def framed(kind: int, message: bytes) -> bytes:
    """Return a message behind what carries its length."""
    if kind == Kind.KERBEROS:
        return len(message).to_bytes(4, "big") + message
    return b"\0" + len(message).to_bytes(3, "big") + message if kind == Kind.SMB else message


@pytest.mark.parametrize(
    ("kind", "message", "given"),
    [
        (Kind.KERBEROS, KERBEROS, ("kerberos", KERBEROS)),
        (Kind.LDAP, BIND, ("ldap", BIND)),
        (Kind.SMB, SETUP, ("smb", NTLM)),
    ],
)
def test_messages(
    taps: Any, packet: Any, keeping_door: Any, kind: int, message: bytes, given: Any
) -> None:
    """Messages are found in segments of any size, one behind the other, and behind a gap."""
    data = framed(kind, message)
    for size in (1, 16, 1000):
        door = keeping_door()
        stream = data * 2
        rows = [
            packet(kind, stream[at : at + size], seq=at, port=1)
            for at in range(0, min(len(stream), 30 * size), size)
        ]
        later = packet(kind, data, seq=len(stream) + 5000, port=1)
        Dissector(rich=door).feed(taps([*rows, later]))
        if 30 * size >= len(stream):
            assert door.given == [given] * 3
    for end in range(len(data)):
        assert not STEPS[kind](data[:end]).rich


def test_only_binds_go_to_the_child(taps: Any, packet: Any, keeping_door: Any) -> None:
    """What is searched for is nobody's business; length forms of Windows are read."""
    door = keeping_door()
    windows = b"\x30\x84\0\0\0\x0c" + BIND[2:]
    Dissector(rich=door).feed(taps([packet(Kind.LDAP, SEARCH + windows + SEARCH, seq=1)]))
    assert door.given == [("ldap", windows)]


def test_impossible_lengths() -> None:
    """What claims to be longer than a window is given up, what is another protocol is bad."""
    assert STEPS[Kind.KERBEROS](b"\0\1\0\0\x6a").done
    assert STEPS[Kind.KERBEROS](b"\0\0\0\x20GET ").bad
    assert STEPS[Kind.LDAP](b"\x30\x84\xff\xff\xff\xff").done
    assert STEPS[Kind.LDAP](b"\x30\x80").bad
    assert STEPS[Kind.LDAP](b"\x30\x03\4\1\1").bad
    assert STEPS[Kind.SMB](b"\0\xff\xff\xff\xfeSMB").done
    assert STEPS[Kind.SMB](b"\0\0\0\x40HTTP").bad


def test_ntlm_in_http(taps: Any, packet: Any, keeping_door: Any) -> None:
    """A login with NTLM is handed over; a password in Basic never leaves the parser."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: %s\r\n\r\n"
    spnego = base64.b64encode(b"\xa1\x10junk" + NTLM)
    for value, given in (
        (b"NTLM " + base64.b64encode(NTLM), [("ntlm", NTLM)]),
        (b"Negotiate " + spnego, [("ntlm", NTLM)]),
        (b"NTLM " + base64.b64encode(b"NTLMSSP\0\1"), []),
        (b"NTLM ?", []),
        (b"Basic bWFyaWE6c2VjcmV0", []),
    ):
        door = keeping_door()
        (event,) = Dissector(rich=door).feed(taps([packet(Kind.HTTP, head % value)]))
        assert door.given == given
        assert "bWFyaWE6" not in str(event)
    assert authenticate(b"nothing") == ()
