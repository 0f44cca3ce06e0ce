"""One HTTP exchange over a Unix socket, as little of RFC 9112 as the control API needs.

http.client brings the whole of e-mail parsing along: a third of what `ipwatchctl` takes to start.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Final, NamedTuple

__all__ = ["Answer", "exchange", "read_answer"]

_READ: Final = 1 << 16
_HEAD: Final = 1 << 16
"""Most bytes of a status line and fields: whoever sits on the socket must not fill the memory."""
_AGAIN: Final = 0.02
"""Seconds between two knocks at a door that is full."""


class Answer(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


def exchange(
    path: str, method: str, target: str, body: bytes | None, *, timeout: float, most: int
) -> Answer:
    """Send one request and return its answer, of whose body at most `most` + 1 bytes are read.

    HTTP/1.0: the answer ends with the connection and is never in chunks. Raises OSError.
    """
    head = f"{method} {target} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    size = f"Content-Length: {len(body)}\r\n" if body is not None else ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        _connect(sock, path, timeout)
        # Who refuses need not hear all of it: the answer lies there already.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(f"{head}{size}\r\n".encode("ascii") + (body or b""))
        data = _received(sock, _HEAD + most + 1)
    answer = read_answer(data, whole=len(data) <= _HEAD + most)
    return answer._replace(body=answer.body[: most + 1])


def _connect(sock: socket.socket, path: str, timeout: float) -> None:
    """Connect; where the backlog is full (EAGAIN, connect(2)) stand in line."""
    end = time.monotonic() + timeout
    while True:
        try:
            return sock.connect(path)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise OSError("too many wait to be let in there") from None
            time.sleep(_AGAIN)


def _received(sock: socket.socket, most: int) -> bytes:
    """Return what comes until the other end closes, at most so many bytes."""
    parts: list[bytes] = []
    room = most
    while room > 0:
        try:
            part = sock.recv(min(_READ, room))
        except ConnectionResetError:
            if not parts:
                raise
            break
        if not part:
            break
        parts.append(part)
        room -= len(part)
    return b"".join(parts)


def read_answer(data: bytes, *, whole: bool = True) -> Answer:
    """Read an answer; OSError for what is none, and for a `whole` one that broke off."""
    head, end, body = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    words = line.split(b" ", 2)
    if not end or len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise OSError("it closed without an answer" if not data else "what it says is no HTTP")
    for field in fields:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            size = int(value)
            if whole and len(body) < size:
                raise OSError("its answer broke off")
            body = body[:size]
    return Answer(int(words[1]), body)
