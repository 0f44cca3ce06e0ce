"""DNS messages of the lab."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.lab import dns

_ZONE = {"crm.example.net": ["203.0.113.10", "2001:db8:1::10"], "v4.example": ["192.0.2.1"]}
_LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)


def test_an_answer_holds_the_addresses_of_the_family_asked_for() -> None:
    """A gives IPv4, AAAA gives IPv6, the id and the name come back."""
    reply = dns.decode(dns.answer(dns.question("crm.example.net", 1, 7), _ZONE))
    assert reply == dns.Message(7, True, 0, "crm.example.net", 1, ("203.0.113.10",))
    reply = dns.decode(dns.answer(dns.question("crm.example.net", 28, 8), _ZONE))
    assert reply.addresses == ("2001:db8:1::10",)


def test_a_name_without_the_family_is_no_error_and_an_unknown_name_is() -> None:
    """NODATA against NXDOMAIN (RFC 2308)."""
    nodata = dns.decode(dns.answer(dns.question("v4.example", 28, 1), _ZONE))
    assert (nodata.rcode, nodata.addresses) == (0, ())
    assert dns.decode(dns.answer(dns.question("gone.example", 1, 1), _ZONE)).rcode == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(_LABEL, min_size=1, max_size=6), st.integers(0, 65535))
def test_a_question_reads_back_as_asked(labels: list[str], identity: int) -> None:
    """Any name of plain labels survives the way there."""
    name = ".".join(labels)
    asked = dns.decode(dns.question(name, 1, identity))
    assert (asked.name, asked.id, asked.response) == (name, identity, False)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 40))
def test_hostile_bytes_raise_a_valueerror_and_nothing_else(tail: bytes, keep: int) -> None:
    """Also behind a good beginning, and with pointers that go round in circles."""
    for data in (
        tail,
        dns.question("a.example", 1, 1)[:keep] + tail,
        b"\0" * 5 + b"\1" + b"\xc0\x0c" * 40,
    ):
        try:
            dns.decode(data)
        except ValueError:
            continue


def test_a_name_that_points_at_itself_ends() -> None:
    """The bound on pointers stops it."""
    header = bytes(5) + b"\x01" + bytes(6)
    with pytest.raises(ValueError, match="doesn't end"):
        dns.decode(header + b"\xc0\x0c\0\1\0\1")
