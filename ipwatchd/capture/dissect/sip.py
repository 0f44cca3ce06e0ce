"""SIP (RFC 3261) over UDP and TCP → events: who calls whom; never the body."""

from __future__ import annotations

import re
from typing import Final

from ipwatchd.capture.dissect.step import BAD, MORE, Step
from ipwatchd.capture.dissect.text import printable
from ipwatchd.records.event import Sip

__all__ = ["parse", "step"]

MAX_HEAD: Final = 8192
"""Octets of a head that are read. Stops a datagram of 64 KiB of headers."""

_REQUEST: Final = re.compile(rb"([A-Z]{2,20}) ([^ \r\n]{1,1024}) SIP/2\.0\r?\n")
_STATUS: Final = re.compile(rb"SIP/2\.0 ([1-6][0-9][0-9])[ \r\n]")
# The compact forms are RFC 3261's, 7.3.3.
_HEADERS: Final = re.compile(
    rb"^(from|f|to|t|call-id|i|user-agent|server|cseq|content-length|l)[ \t]*:[ \t]*([^\r\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_COMPACT: Final = {b"f": b"from", b"t": b"to", b"i": b"call-id", b"l": b"content-length"}
_FOLD: Final = re.compile(rb"\r?\n[ \t]")
_QUOTED: Final = re.compile(rb'^"(?:[^"\\]|\\.)*"')
_URI: Final = re.compile(
    rb"(?:sips?|tel):(?:([^@>;? ]{1,255})@)?(\[[0-9A-Fa-f:.]{2,45}\]|[^:>;? ,]{1,255})",
    re.IGNORECASE,
)
_KEEP_ALIVE: Final = b"\r\n"


def parse(data: bytes) -> Sip | None:
    """Return the event of one message, or None where it is none."""
    found = _parse(data[:MAX_HEAD])
    return found[0] if found else None


def step(data: bytes) -> Step:
    """Return the first message of a stream; keep-alives (RFC 5626, 3.5.1) are stepped over."""
    lead = len(data) - len(data.lstrip(_KEEP_ALIVE))
    if lead:
        return Step((), lead)
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return MORE if _may_be(data) else BAD
    found = _parse(data[: end + 4])
    if found is None:
        return BAD
    event, length = found
    return Step((event,), end + 4 + length)


def _parse(head: bytes) -> tuple[Sip, int] | None:
    """Return the event and the length of the body."""
    asked = _REQUEST.match(head)
    status = None if asked else _STATUS.match(head)
    if asked is None and status is None:
        return None
    headers = _headers(head)
    sequence = headers.get(b"cseq", b"").split()
    method = asked[1] if asked else sequence[-1] if sequence else b""
    length = headers.get(b"content-length", b"0")
    event = Sip(
        ts=0.0,
        name=_host(asked[2] if asked else headers.get(b"to", b"")),
        method=printable(method, 20),
        status=int(status[1]) if status else 0,
        user=_user(headers.get(b"from", b"")),
        peer=_user(headers.get(b"to", b"")),
        call_id=printable(headers.get(b"call-id", b"")),
        user_agent=printable(headers.get(b"user-agent") or headers.get(b"server", b"")),
    )
    return event, int(length) if length.isdigit() and len(length) < 6 else 0


def _headers(head: bytes) -> dict[bytes, bytes]:
    """Return the first of each wanted header by its long name, folded lines joined (7.3.1)."""
    head = head.partition(b"\r\n\r\n")[0]
    if b"\n " in head or b"\n\t" in head:
        head = _FOLD.sub(b" ", head)
    found: dict[bytes, bytes] = {}
    for word, value in _HEADERS.findall(head):
        name = word.lower()
        found.setdefault(_COMPACT.get(name, name), value.strip())
    return found


def _uri(address: bytes) -> re.Match[bytes] | None:
    """Return the URI of a name-addr or addr-spec; a display name can't forge one (20.10)."""
    quoted = _QUOTED.match(address)
    if quoted:
        address = address[quoted.end() :]
    _, bracket, inside = address.partition(b"<")
    return _URI.match(inside if bracket else address)


def _user(address: bytes) -> str:
    """Return the user part of From or To, of a tel: URI the number; a password is left out."""
    uri = _uri(address)
    if uri is None:
        return ""
    if uri[0][:4].lower() == b"tel:":
        return printable(uri[2])
    return printable((uri[1] or b"").partition(b":")[0])


def _host(address: bytes) -> str:
    uri = _uri(address)
    return printable(uri[2]) if uri and uri[0][:4].lower() != b"tel:" else ""


def _may_be(data: bytes) -> bool:
    line, ended, _ = data.partition(b"\n")
    if ended:
        return bool(_REQUEST.match(line + b"\n") or _STATUS.match(line + b"\n"))
    return len(line) < 1100 and (line[:1].isupper() or not line)
