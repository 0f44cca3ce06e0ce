"""One HTTP exchange over a Unix socket, as little of RFC 9112 as the control API needs.

http.client brings the whole of e-mail parsing along: a third of what `ipwatchctl` takes to start.
"""

from __future__ import annotations

import socket
from typing import Final, NamedTuple

__all__ = ["Answer", "exchange", "read_answer"]

_READ: Final = 1 << 16
_HEAD: Final = 1 << 16
"""Most bytes of a status line and fields: whoever sits on the socket must not fill the memory."""


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
        sock.connect(path)
        sock.sendall(f"{head}{size}\r\n".encode("ascii") + (body or b""))
        parts, room = [], _HEAD + most + 1
        while room > 0 and (part := sock.recv(min(_READ, room))):
            parts.append(part)
            room -= len(part)
    answer = read_answer(b"".join(parts), whole=room > 0)
    return answer._replace(body=answer.body[: most + 1])


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
