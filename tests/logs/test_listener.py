"""The syslog listener: logger(1) and TLS clients send to it, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Final

import pytest

from ipwatchd.config.settings import LogSettings, SyslogSettings
from ipwatchd.lab.certificates import Authority
from ipwatchd.logs import LogSources
from ipwatchd.logs.listener import CONNECTIONS, Listener
from ipwatchd.logs.senders import OWN_BYTES, POOL_BYTES, Senders
from ipwatchd.records.event import Auth

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

HERE: Final = "127.0.0.1:0"
SAYS: Final = "Failed password for invalid user bob from 192.0.2.1 port 99 ssh2"


@pytest.fixture
def listen() -> Iterator[Callable[[SyslogSettings], Listener]]:
    """Start listeners that end with the test."""
    open_: list[Listener] = []

    def start(settings: SyslogSettings) -> Listener:
        listener = Listener(settings)
        open_.append(listener)
        listener.start()
        assert not listener.problem, listener.problem
        return listener

    yield start
    for one in open_:
        one.stop()


def taken(listener: Listener, count: int) -> list[bytes]:
    """Return the lines once so many are there."""
    lines: list[bytes] = []
    end = time.monotonic() + 60
    while len(lines) < count and time.monotonic() < end:
        lines += [line for _, line in listener.senders.take(1000)]
        time.sleep(0.01)
    assert len(lines) == count
    return lines


@pytest.mark.parametrize("form", ["--rfc3164", "--rfc5424=notq"])
@pytest.mark.parametrize("way", [["--udp"], ["--tcp", "--octet-count"], ["--tcp"]])
def test_logger(
    listen: Callable[[SyslogSettings], Listener], tmp_path: Path, form: str, way: list[str]
) -> None:
    """What util-linux's logger sends in either format and every transport becomes the login."""
    settings = LogSettings(syslog=SyslogSettings(udp=HERE, tcp=HERE, allow=("127.0.0.0/8",)))
    sources = LogSources(settings, tmp_path)
    assert sources.listener is not None
    sources.start()
    try:
        port = sources.listener.ports[way[0].strip("-")]
        subprocess.run(
            ["logger", "--server=127.0.0.1", f"--port={port}", *way, form, "--tag=sshd", "--id=123",
             SAYS],
            check=True,
        )  # fmt: skip
        events: list[object] = []
        end = time.monotonic() + 60
        while not events and time.monotonic() < end:
            events += sources.read(time.time())
            time.sleep(0.01)
        (event,) = events
        assert isinstance(event, Auth)
        assert (event.user, event.orig, event.source) == ("bob", "192.0.2.1", "syslog:127.0.0.1")
        assert abs(event.ts - time.time()) < 60
        assert sources.problems() == {}
    finally:
        sources.close()


def test_tls_with_and_without_a_client_certificate(
    listen: Callable[[SyslogSettings], Listener], tmp_path: Path
) -> None:
    """Over TLS lines come in; where a client's authority is set, none without a certificate."""
    authority = Authority(tmp_path)
    own, other = authority.issue(["127.0.0.1"]), authority.issue(["sender.example"])
    common = {"tls": HERE, "certificate": str(own.certificate), "key": str(own.key)}
    free = listen(SyslogSettings(**common, allow=("127.0.0.1",)))
    strict = listen(
        SyslogSettings(**common, allow=("127.0.0.1",), client_ca=str(authority.certificate))
    )
    bare, known = authority.client(), authority.client()
    known.load_cert_chain(other.certificate, other.key)

    def send(listener: Listener, context: ssl.SSLContext) -> None:
        with (
            socket.create_connection(("127.0.0.1", listener.ports["tls"]), 5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            wrapped.sendall(b"9 <38>hello<38>there\n")
            # The server's word on our certificate comes with the first read (TLS 1.3).
            wrapped.settimeout(0.5)
            try:
                wrapped.recv(1)
            except TimeoutError:
                return

    send(free, bare)
    assert taken(free, 2) == [b"<38>hello", b"<38>there"]
    with contextlib.suppress(OSError):  # closed by the server, sooner or later
        send(strict, bare)
    send(strict, known)
    assert len(taken(strict, 2)) == 2
    assert strict.senders.counters.connections == 1


def test_strangers_are_refused_and_counted(listen: Callable[[SyslogSettings], Listener]) -> None:
    """Who is not in the allow list is not read, over no transport."""
    listener = listen(SyslogSettings(udp=HERE, tcp=HERE, allow=("192.0.2.0/24",)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"<38>x", ("127.0.0.1", listener.ports["udp"]))
    with socket.create_connection(("127.0.0.1", listener.ports["tcp"]), 5) as sender:
        assert sender.recv(1) == b""
    end = time.monotonic() + 60
    while listener.senders.counters.refused < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert listener.senders.counters.refused == 2
    assert listener.senders.take(10) == []


def test_one_sender_can_not_take_the_share_of_another() -> None:
    """A flood of one sender is shed and counted under its address; the other's lines all wait."""
    senders = Senders(["192.0.2.0/24"], waiting=100)
    for turn in range(5000):
        senders.put("192.0.2.1", b"flood")
        if turn % 100 == 0:
            senders.put("192.0.2.2", b"one")
    assert senders.counters.shed == 4900
    assert senders.shed_by == {"192.0.2.1": 4900}
    lines = [line for _ in range(10) for _, line in senders.take(40)]
    assert lines.count(b"one") == 50
    assert lines.count(b"flood") == 100


def test_a_stream_that_is_none_is_closed(listen: Callable[[SyslogSettings], Listener]) -> None:
    """Bytes that are no syslog end their connection; the listener goes on."""
    listener = listen(SyslogSettings(tcp=HERE, allow=("127.0.0.1",)))
    with socket.create_connection(("127.0.0.1", listener.ports["tcp"]), 5) as sender:
        sender.sendall(b"99999999999 x")
        assert sender.recv(1) == b""
    with socket.create_connection(("127.0.0.1", listener.ports["tcp"]), 5) as sender:
        sender.sendall(b"<38>well\n")
        assert taken(listener, 1) == [b"<38>well"]


def test_what_can_not_be_opened_is_a_problem_and_tried_again() -> None:
    """A port that is taken is told of in a sentence; when it is free the listener listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        listener = Listener(SyslogSettings(udp=HERE, tcp=f"127.0.0.1:{port}", allow=("127.0.0.1",)))
        listener.start()
        assert "does not listen" in listener.problem
    try:
        _until(lambda: not listener.problem)
        with socket.create_connection(("127.0.0.1", port), 5) as sender:
            sender.sendall(b"<38>well\n")
            assert taken(listener, 1) == [b"<38>well"]
    finally:
        listener.stop()


def test_long_lines_from_many_senders_fill_no_memory() -> None:
    """All that waits is bounded in bytes; who sends little is heard all the same."""
    senders = Senders(["10.0.0.0/8"], waiting=50_000)
    long = bytes(16_000)
    for turn in range(80):
        for sender in range(200):
            senders.put(f"10.0.0.{sender}", long)
        senders.put("10.9.9.9", b"quiet %d" % turn)
    counters = senders.counters
    assert counters.lines + counters.shed == 80 * 201
    lines = senders.take(1 << 30)
    held = sum(len(line) for _, line in lines)
    assert held < POOL_BYTES + 201 * OWN_BYTES
    assert held > POOL_BYTES // 2
    assert [line for sender, line in lines if sender == "10.9.9.9"] == [
        b"quiet %d" % turn for turn in range(80)
    ]
    senders.put("10.0.0.1", long)
    assert senders.take(9) == [("10.0.0.1", long)], "what was taken makes room"


def test_who_only_connects_is_turned_away_and_counted(
    listen: Callable[[SyslogSettings], Listener], tmp_path: Path
) -> None:
    """Connections that shake no hands count as others do; noise and half messages are counted."""
    own = Authority(tmp_path).issue(["127.0.0.1"])
    listener = listen(
        SyslogSettings(
            tcp=HERE, tls=HERE, certificate=str(own.certificate), key=str(own.key),
            allow=("127.0.0.1",),
        )
    )  # fmt: skip
    counters = listener.senders.counters
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS // 8 + 10):
            one = socket.create_connection(("127.0.0.1", listener.ports["tls"]), 5)
            stack.enter_context(contextlib.closing(one))
        _until(lambda: counters.turned_away == 10)
        assert counters.connections == 0
    _until(lambda: counters.broken == CONNECTIONS // 8)
    with socket.create_connection(("127.0.0.1", listener.ports["tls"]), 5) as noise:
        noise.sendall(b"noise" * 100)
    _until(lambda: counters.broken == CONNECTIONS // 8 + 1)
    with socket.create_connection(("127.0.0.1", listener.ports["tcp"]), 5) as half:
        half.sendall(b"<38>sshd: Failed password for x from 192.0.2.1")
    _until(lambda: counters.cut == 1)
    assert listener.senders.take(10) == []
    assert listener.problem == ""


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
