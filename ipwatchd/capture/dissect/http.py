"""Clear-text HTTP/1 (RFC 9112): method, Host, status, user agent → events. Never a body."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final

from ipwatchd.capture.dissect.framed import authenticate
from ipwatchd.capture.dissect.step import BAD, MORE, Step
from ipwatchd.capture.dissect.text import printable
from ipwatchd.records.event import Http

if TYPE_CHECKING:
    from collections import deque

__all__ = ["Asked", "request", "response", "starts", "step"]

Asked = tuple[str, str]
"""Method and Host of a request that waits for its response."""

MAX_SKIP: Final = 1 << 16
"""Octets of a body stepped over to the next message. Beyond, the taps of a stream have ended."""
MAX_BLANKS: Final = 4

_METHOD: Final = re.compile(rb"[A-Z][A-Z-]{1,23}")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: |$)")
_HEADERS: Final = re.compile(
    rb"^(host|user-agent|upgrade|content-length|transfer-encoding|(?:proxy-)?authorization)"
    rb"[ \t]*:[ \t]*([^\r\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_AUTHORITY: Final = re.compile(rb"^[A-Za-z][A-Za-z0-9+.-]{0,15}://([^/?#]{1,255})")
_STARTS: Final = b"HTTP/1."


def request(head: bytes, *, paths: bool = False) -> tuple[Http, dict[bytes, bytes]] | None:
    """Return the event of a request's head and the headers that frame it, or None."""
    line, _, rest = head.partition(b"\n")
    parts = line.rstrip(b"\r").split(b" ")
    if len(parts) < 3 or not parts[-1].startswith(_STARTS) or not _METHOD.fullmatch(parts[0]):
        return None
    headers = _headers(rest)
    # The target outranks the Host header (RFC 9112, 3.2.2), whatever user info it carries.
    target = _AUTHORITY.match(parts[1])
    host = (
        parts[1] if parts[0] == b"CONNECT" else target[1] if target else headers.get(b"host", b"")
    )
    event = Http(
        ts=0.0,
        name=printable(host.rpartition(b"@")[2]),
        method=parts[0].decode("ascii"),
        user_agent=printable(headers.get(b"user-agent", b"")),
        path=_path(parts[1]) if paths else "",
    )
    return event, headers


def _path(target: bytes) -> str:
    """Return the path of a request's target; what is asked for (a query) stays out."""
    authority = _AUTHORITY.match(target)
    path = target[authority.end() :] if authority else target
    return printable(path.partition(b"?")[0]) if path.startswith(b"/") else ""


def response(head: bytes, asked: Asked = ("", "")) -> tuple[Http, dict[bytes, bytes]] | None:
    """Return the event of a response's head, with method and Host of what it answers, or None."""
    line, _, rest = head.partition(b"\n")
    status = _STATUS.match(line.rstrip(b"\r"))
    if status is None:
        return None
    event = Http(ts=0.0, name=asked[1], method=asked[0], status=int(status[1]))
    return event, _headers(rest)


def starts(payload: bytes) -> bool:
    """Tell whether a segment begins with the head of a message."""
    line = payload[:2048].partition(b"\n")[0].rstrip(b"\r")
    return _STATUS.match(line) is not None or request(line + b"\n") is not None


def step(data: bytes, asked: deque[Asked], *, final: bool = False, paths: bool = False) -> Step:
    """Return the first message of one direction; `asked` pairs the two directions of a stream."""
    lead = len(data) - len(data.lstrip(b"\r\n"))
    if lead > MAX_BLANKS:
        return BAD
    end = _head_end(data, lead)
    head = data[lead:end] if end >= 0 else data[lead:]
    if end < 0 and not final:
        return MORE if _may_be(head) else BAD
    if head.startswith(_STARTS):
        return _answer(head, end, asked)
    return _ask(head, end, asked, paths=paths)


def _ask(head: bytes, end: int, asked: deque[Asked], *, paths: bool) -> Step:
    found = request(head, paths=paths)
    if found is None:
        return BAD
    event, headers = found
    asked.append((event.method, event.name))
    rich = _ntlm(headers)
    if event.method == "CONNECT":
        return Step((event,), end, become="tls", rich=rich)
    # What follows may be another protocol (RFC 9110, 7.8), as in a WebSocket.
    if b"upgrade" in headers:
        return Step((event,), max(end, 0), done=True, rich=rich)
    return Step((event,), *_next(end, headers), rich=rich)


def _ntlm(headers: dict[bytes, bytes]) -> tuple[tuple[str, bytes], ...]:
    """Return the NTLM message of a login (RFC 4559); other credentials are not looked at."""
    value = headers.get(b"authorization") or headers.get(b"proxy-authorization") or b""
    scheme, _, token = value.partition(b" ")
    if scheme.lower() not in {b"ntlm", b"negotiate"}:
        return ()
    try:
        return authenticate(binascii.a2b_base64(token.strip()))
    except binascii.Error:
        return ()


def _answer(head: bytes, end: int, asked: deque[Asked]) -> Step:
    found = response(head, asked[0] if asked else ("", ""))
    if found is None:
        return BAD
    event, headers = found
    if event.status == 100:
        return Step((event,), max(end, 0), done=end < 0)
    if asked:
        asked.popleft()
    if event.status == 101 or event.method == "CONNECT":
        return Step((event,), max(end, 0), done=True)
    if event.method == "HEAD" or event.status in {204, 304}:
        headers = {}
    elif b"content-length" not in headers:
        return Step((event,), max(end, 0), done=True)
    return Step((event,), *_next(end, headers))


def _next(end: int, headers: dict[bytes, bytes]) -> tuple[int, bool, bool]:
    """Return consumed, wait and done of a Step: where the next message starts, if known."""
    length = headers.get(b"content-length", b"0")
    if end < 0 or b"transfer-encoding" in headers or not length.isdigit() or len(length) > 6:
        return max(end, 0), False, True
    body = int(length)
    return end + body, False, body > MAX_SKIP


def _headers(rest: bytes) -> dict[bytes, bytes]:
    """Return the first of each wanted header."""
    found: dict[bytes, bytes] = {}
    for name, value in _HEADERS.findall(rest):
        found.setdefault(name.lower(), value.rstrip())
    return found


def _head_end(data: bytes, start: int) -> int:
    """Return where the empty line behind the headers ends, or -1."""
    places = [
        place + len(mark)
        for mark in (b"\r\n\r\n", b"\n\n")
        if (place := data.find(mark, start)) >= 0
    ]
    return min(places, default=-1)


def _may_be(head: bytes) -> bool:
    """Tell whether a head that is not whole yet may become one."""
    line, ended, _ = head.partition(b"\n")
    if head.startswith(_STARTS) or _STARTS.startswith(head):
        return True
    if not ended:
        word = line.partition(b" ")[0]
        return len(word) <= 24 and (not word or _METHOD.match(word + b"A") is not None)
    return request(line + b"\n") is not None
