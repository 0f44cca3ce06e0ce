"""HTTP/1 heads: who was asked for what kind of thing, never path or body."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.dissect import http
from ipwatchd.records.event import Http


def read(data: bytes, asked: deque[http.Asked] | None = None) -> Http:
    """Return the event of a stream's first message."""
    step = http.step(data, deque() if asked is None else asked)
    (event,) = step.events
    assert isinstance(event, Http)
    return event


def test_request() -> None:
    """A request gives method, Host and user agent; the path with its secret is nowhere."""
    event = read(
        b"GET /secret?token=1 HTTP/1.1\r\nHost: api.example.com:8080\r\nUser-Agent: curl/8\r\n\r\n"
    )
    assert (event.name, event.method, event.user_agent) == (
        "api.example.com:8080", "GET", "curl/8",
    )  # fmt: skip
    assert "secret" not in repr(event)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (
            b"GET http://user:pw@proxied.example/x HTTP/1.1\r\nHost: other\r\n\r\n",
            "proxied.example",
        ),
        (b"CONNECT db.example:443 HTTP/1.1\r\n\r\n", "db.example:443"),
        (b"OPTIONS * HTTP/1.1\nhost:\tlower.example  \n\n", "lower.example"),
        (b"GET / HTTP/1.0\r\n\r\n", ""),
        (b"\r\nGET / HTTP/1.1\r\nX-Host: no\r\nHost: yes\r\n\r\n", "yes"),
        (b"GET / HTTP/1.1\r\nHost: first\r\nHost: second\r\n\r\n", "first"),
    ],
)
def test_whose_host(head: bytes, name: str) -> None:
    """The target outranks the Host header, the first of which counts (RFC 9112, 3.2)."""
    assert read(head).name == name


def test_response_names_its_request() -> None:
    """Responses go to the requests in their order, a 100 to none."""
    asked: deque[http.Asked] = deque()
    data = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
    read(data, asked)
    read(b"HEAD /b HTTP/1.1\r\nHost: b\r\n\r\n", asked)
    assert read(b"HTTP/1.1 100 Continue\r\n\r\n", asked).status == 100
    first = read(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", asked)
    assert (first.name, first.method, first.status) == ("a", "GET", 404)
    step = http.step(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", asked)
    assert step.consumed == 42
    assert not step.done


def test_body_is_stepped_over() -> None:
    """What is consumed reaches behind the body, so that a body is never read as a request."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n"
    step = http.step(head + b"GET / HTTP/1.1\r\n\r\n", deque())
    assert step.consumed == len(head) + 20


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_unknown_ends_end_the_reading(head: bytes) -> None:
    """Where it can't be known where the next message starts, none is looked for."""
    step = http.step(head, deque())
    assert step.done
    assert not step.bad
    assert step.consumed == len(head)


def test_tunnel_becomes_tls() -> None:
    """Behind a CONNECT the client speaks TLS to somebody else."""
    assert http.step(b"CONNECT a:443 HTTP/1.1\r\n\r\n", deque()).become == "tls"


def test_half_a_head_is_waited_for() -> None:
    """No byte short of the empty line gives an event; with no more to come the rest is read."""
    head = b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\n\r\n"
    for end in range(1, len(head)):
        assert http.step(head[:end], deque()).wait, head[:end]
    step = http.step(head[:33], deque(), final=True)
    assert [event.name for event in step.events if isinstance(event, Http)] == ["a.example"]


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01", b"SSH-2.0-x\r\n", b"GET\r\n", b"get / HTTP/1.1\r\n\r\n",
     b"GET / HTTP/2.0\r\n\r\n",     b"\r\n\r\n\r\n", b"A" * 40, b"HTTP/1.1 999 no\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http(data: bytes) -> None:
    """What can't become an HTTP/1 head is bad at once."""
    assert http.step(data, deque()).bad


@given(
    method=st.from_regex(r"[A-Z]{2,20}", fullmatch=True).filter(lambda word: word != "CONNECT"),
    host=st.from_regex(r"[a-z0-9.-]{1,80}", fullmatch=True),
    agent=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
    rest=st.binary(max_size=50),
)
@settings(max_examples=150, deadline=None)
def test_round_trip(method: str, host: str, agent: str, rest: bytes) -> None:
    """A head that was built is read back, whatever follows it."""
    head = f"{method} /x HTTP/1.1\r\nUser-Agent: {agent}\r\nHost: {host}\r\n\r\n".encode()
    event = read(head + rest)
    assert (event.method, event.name, event.user_agent) == (method, host, agent.strip())


def test_path_only_where_asked_for() -> None:
    """The path is kept where configured, never the query."""
    head = b"GET http://u@www.example.com/a/b?who=maria HTTP/1.1\r\nHost: x\r\n\r\n"
    (quiet,) = http.step(head, deque()).events
    (told,) = http.step(head, deque(), paths=True).events
    assert isinstance(quiet, Http)
    assert isinstance(told, Http)
    assert (quiet.path, told.path) == ("", "/a/b")
