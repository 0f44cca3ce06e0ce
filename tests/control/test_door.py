"""The control socket against those who hold, flood or litter it: real peers, real bytes."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from ipwatchd.config import Config, ControlSettings
from ipwatchd.control import server as of_server
from ipwatchd.control.call import Peer
from ipwatchd.control.client import Client, RefusedError, SocketTransport
from ipwatchd.control.door import HELD
from ipwatchd.control.exchange import exchange, read_answer
from ipwatchd.control.house import House
from ipwatchd.control.messages import Problem
from ipwatchd.control.routes import dispatch
from ipwatchd.control.server import ControlServer
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOBODY = 65534
HOLD = """
import socket, sys
held = []
for _ in range(int(sys.argv[2])):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(sys.argv[1])
print(held[-1].recv(1 << 16).partition(b"\\r\\n\\r\\n")[2].decode(), flush=True)
sys.stdin.read()
"""
JUNK = [
    b"\x00\xff\xfe" * 40 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\n" + b"a" * 20_000 + b": b\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/reports HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
]  # fmt: skip


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Return a house whose socket (`control.sock` in its folder) every user may reach."""
    # Not pytest's folder: it shuts other users out.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 - the socket's own folder
        stores = await Stores.open(Config(), Path(folder) / "state")
        house = House(stores)
        server = ControlServer(house, ControlSettings(socket=str(_socket(house))), lambda: 1e9)
        await server.start()
        try:
            yield house
        finally:
            await server.stop()
            await stores.close(1e9)


def _socket(house: House) -> Path:
    return house.stores.state_dir.parent / "control.sock"


async def _said(house: House, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(_socket(house))
    writer.write(data)
    said = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    await writer.wait_closed()
    return said


@pytest.mark.parametrize("junk", JUNK)
async def test_junk_is_refused_and_not_told(
    house: House, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever writes no HTTP gets a 400; the log has no line of it."""
    with caplog.at_level(logging.WARNING):
        assert read_answer(await _said(house, junk)).status == 400
    assert not caplog.records


async def test_a_fault_of_ours_is_told_once(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Asked for again and again it is one entry of the log, with where it was."""
    words = iter(range(100))

    async def broken(*_: object) -> object:
        raise ZeroDivisionError(f"with a caller's words, {next(words)}")

    monkeypatch.setattr(of_server, "dispatch", broken)
    for _ in range(5):
        said = await _said(house, b"GET /v1/status HTTP/1.0\r\n\r\n")
        assert read_answer(said).status == 500
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [
        ZeroDivisionError
    ]


async def test_one_user_does_not_hold_the_socket(house: House) -> None:
    """Of a stranger's connections all but some are turned away with a sentence; root gets in."""
    command = [sys.executable, "-c", HOLD, str(_socket(house)), str(HELD + 5)]
    stranger = await asyncio.create_subprocess_exec(
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert stranger.stdout
    line = await asyncio.wait_for(stranger.stdout.readline(), 60)
    assert msgspec.json.decode(line, type=Problem).error.startswith(
        f"{HELD} connections of strangers"
    )
    assert house.turned_away == 5
    client = Client(SocketTransport(_socket(house)))
    status = await asyncio.wait_for(asyncio.to_thread(client.status), 60)
    assert not status.live
    await asyncio.wait_for(stranger.communicate(b""), 60)
    again = await asyncio.create_subprocess_exec(
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        sys.executable, "-m", "ipwatchd.cli.ipwatchctl", "--socket", str(_socket(house)), "status",
        stderr=subprocess.PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(again.communicate(), 60)
    assert b"nobody has the role none here" in said  # it was heard again


async def test_hundreds_at_once_are_let_in(house: House) -> None:
    """They wait for the loop's next turn, as this one does not turn meanwhile."""
    held = [socket.socket(socket.AF_UNIX) for _ in range(400)]
    for one in held:
        one.setblocking(False)
        one.connect(str(_socket(house)))
    client = Client(SocketTransport(_socket(house)))
    assert not (await asyncio.wait_for(asyncio.to_thread(client.status), 60)).live
    for one in held:
        one.close()


async def test_a_request_that_never_ends_ends(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is not held for good."""
    monkeypatch.setattr(of_server, "_SENT_WITHIN", 0.1)
    reader, writer = await asyncio.open_unix_connection(_socket(house))
    writer.write(b"POST /v1/reports HTTP/1.0\r\nContent-Length: 100\r\n\r\n{")
    said = await asyncio.wait_for(reader.readuntil(b"}"), 60)
    assert b" 408 " in said
    assert b"did not come whole" in said
    writer.close()
    await writer.wait_closed()


async def test_too_much_is_refused_with_a_sentence(house: House) -> None:
    """A list larger than a request may be is a refusal, not an answer that can't be read."""
    client = Client(SocketTransport(_socket(house)))
    text = "203.0.113.7\n" * 800_000
    with pytest.raises(RefusedError, match="may have 8 MiB"):
        await asyncio.to_thread(client.import_entries, "deny", text, reason="scan")


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/incidents?offset=" + "9" * 30, b""), ("/v1/records/incoming?offset=" + "9" * 30, b""),
        ("/v1/records/list?offset=" + "9" * 30, b""), ("/v1/status", b'{"a":' * 100_000),
    ],
)  # fmt: skip
async def test_odd_questions_are_answered(house: House, target: str, body: bytes) -> None:
    """Numbers that no database takes and endless nesting are no fault of the daemon's."""
    status, _ = await dispatch(house, Peer("root", "admin"), "GET", target, body, 1e9)
    assert status in {200, 400}


async def test_a_day_is_no_path(house: House) -> None:
    """A key is dropped by the name of a day that has one: no file elsewhere is touched."""
    state, peer = house.stores.state_dir, Peer("root", "admin")
    (state / "archive-keys").mkdir(exist_ok=True)
    (state / "own.json").write_text('{"day":"x","key":"x","made":0}')
    (state / "own.key").write_text("secret")
    target = "/v1/archive-keys/..%2Fown/drop"
    status, _ = await dispatch(house, peer, "POST", target, b'{"reason":"x"}', 1e9)
    assert status == 404
    assert (state / "own.key").read_text() == "secret"


def test_who_finds_the_backlog_full_stands_in_line(tmp_path: Path) -> None:
    """The command waits for its turn, and is answered."""
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        first = socket.socket(socket.AF_UNIX)
        first.connect(path)
        with socket.socket(socket.AF_UNIX) as full:
            full.setblocking(False)
            with pytest.raises(BlockingIOError):
                full.connect(path)

        def serve() -> None:
            for _ in range(2):
                one, _ = server.accept()
                with one:
                    one.sendall(b"HTTP/1.0 200 OK\r\n\r\ntrue")

        late = threading.Timer(0.2, serve)
        late.start()
        assert exchange(path, "GET", "/", None, timeout=60, most=100).body == b"true"
        late.join()
        first.close()
