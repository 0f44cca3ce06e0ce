"""SIP messages of the lab."""

from __future__ import annotations

from ipwatchd.lab import sip

_DIALOG = sip.Dialog("10.20.0.11", "maria", "203.0.113.60", "sip.carrier.example", "4420", "ab12")


def test_a_request_is_what_rfc_3261_asks_for() -> None:
    """Every mandatory header (8.1.1) is there, and the length of the body is right."""
    head, _, body = sip.request("INVITE", _DIALOG, 1, "v=0\r\n").partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    assert lines[0] == "INVITE sip:4420@sip.carrier.example SIP/2.0"
    names = {line.partition(":")[0] for line in lines[1:]}
    assert {"Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact"} <= names
    assert f"Content-Length: {len(body)}" in lines


def test_a_registration_is_for_the_domain() -> None:
    """The request URI of REGISTER has no user part (10.2)."""
    assert sip.request("REGISTER", _DIALOG, 1).startswith(
        b"REGISTER sip:sip.carrier.example SIP/2.0"
    )


def test_a_response_repeats_the_request_s_own_headers() -> None:
    """Via, From, To, Call-ID and CSeq come back unchanged (8.2.6.2)."""
    request = sip.request("BYE", _DIALOG, 2)
    response = sip.reply(request, 200, "OK")
    assert response.startswith(b"SIP/2.0 200 OK\r\n")
    for name in (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:"):
        line = next(one for one in request.split(b"\r\n") if one.startswith(name))
        assert line in response.split(b"\r\n")
