"""The least of HTTP that the control API needs: answers as they are, and what is none."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.control.client import Client, SocketTransport, UnreachableError
from ipwatchd.control.exchange import Answer, read_answer

if TYPE_CHECKING:
    from pathlib import Path

GOOD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\ntrue"


def test_an_answer_is_its_status_and_body() -> None:
    """With a length, without one, and with more behind it."""
    assert read_answer(GOOD) == Answer(200, b"true")
    assert read_answer(GOOD + b"more") == Answer(200, b"true")
    assert read_answer(b"HTTP/1.1 404 Not Found\r\n\r\n{}") == Answer(404, b"{}")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "without an answer"), (GOOD[:-1], "broke off"), (b"SSH-2.0-x\r\n\r\n", "no HTTP"),
        (b"HTTP/1.0 two OK\r\n\r\n", "no HTTP"), (GOOD[:20], "no HTTP"),
    ],
)  # fmt: skip
def test_what_is_none_is_said(data: bytes, words: str) -> None:
    """Each in half a sentence, as the rest of it is the transport's."""
    with pytest.raises(OSError, match=words):
        read_answer(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: GOOD[:40] + tail))
def test_bytes_of_any_kind_do_no_harm(data: bytes) -> None:
    """An answer or an OSError, nothing else."""
    with contextlib.suppress(OSError):
        assert read_answer(data).status >= 0


def test_a_daemon_that_takes_its_time_is_not_called_away(tmp_path: Path) -> None:
    """What was asked for may still be done: the sentence says so."""
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        client = Client(SocketTransport(path, timeout=0.05))
        with pytest.raises(UnreachableError, match="may still do what was asked"):
            client.status()
