"""The bytes of a mail by LMTP: whole as they were sent, whatever its lines look like."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.desk.lmtp_door import PIECE, Door, Room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGEST = 200_000
_HELLO = b"LHLO mx\r\nMAIL FROM:<ana@x>\r\nRCPT TO:<reports@x>\r\nDATA\r\n"


class Taker:
    """Keeps what was handed in."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        del server, session
        self.taken.append(envelope.content)
        return "250 kept"


async def sent(path: Path, *bodies: bytes) -> tuple[list[bytes], list[bytes]]:
    """Send mails in one connection, QUIT in the same packet as the last; what came and was said."""
    taker = Taker()
    loop = asyncio.get_running_loop()
    room = Room(LARGEST, 1)
    server = await loop.create_unix_server(
        lambda: Door(taker, room=room, data_size_limit=LARGEST, hostname="x", loop=loop), str(path)
    )
    said = []
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_unix_connection(str(path))
        for number, body in enumerate(bodies):
            writer.write(_HELLO)
            while not (await reader.readline()).startswith(b"354"):
                pass
            last = number == len(bodies) - 1
            writer.write(body + b".\r\n" + (b"QUIT\r\n" if last else b""))
            said.append((await reader.readline()).strip())
        assert (await reader.readline()).startswith(b"221")
    writer.close()
    server.close()
    assert room.held == 0
    return taker.taken, said


@pytest.mark.parametrize(
    ("wire", "mail"),
    [(b"", b""), (b"\r\n", b"\r\n"), (b"a\r\n", b"a\r\n"), (b"..\r\n", b".\r\n"),
     (b"...a\r\n..b\r\n", b"..a\r\n.b\r\n"), (b"a\n.\nb\r\n", b"a\n.\nb\r\n"),
     (b"x" * 150_000 + b"\r\n", b"x" * 150_000 + b"\r\n"), (b"a\r\n" * 60_000, b"a\r\n" * 60_000),
     (b"a.\r\nb..\r\n", b"a.\r\nb..\r\n"), (b"\xff\x00\r\n", b"\xff\x00\r\n")],
)  # fmt: skip
async def test_a_mail_is_taken_as_it_was_sent(tmp_path: Path, wire: bytes, mail: bytes) -> None:
    """Dots, no lines, one long line, many short ones; the next mail of the connection too."""
    taken, said = await sent(tmp_path / "s", wire, wire)
    assert taken == [mail, mail]
    assert said == [b"250 kept"] * 2


async def test_what_is_too_large_is_read_to_its_end_and_refused(tmp_path: Path) -> None:
    """The next mail of the same connection is taken: nothing of the first is read as a command."""
    for large in (b"y" * 5 * LARGEST + b"\r\n", b"RSET\r\n" * LARGEST, b"a" * (LARGEST + 1)):
        path = tmp_path / f"s{len(large)}"
        taken, said = await sent(path, large + b"\r\n", b"next\r\n")
        assert taken == [b"next\r\n"]
        assert said == [b"552 Error: Too much mail data", b"250 kept"]


class Slow(Taker):
    """Keeps a mail at hand until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail when it may go on."""
        await self.go.wait()
        return await super().handle_DATA(server, session, envelope)


async def _begun(path: Path, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Hand a mail over in a connection of its own, up to the answer."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(_HELLO)
    while not (await reader.readline()).startswith(b"354"):
        pass
    writer.write(body + b".\r\n")
    return reader, writer


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.005)


async def test_large_mails_of_all_connections_have_one_room(tmp_path: Path) -> None:
    """What is more than it is put off and counted, a short mail never is; what is gone makes room.

    A mail that was begun and whose sender went away gives its room back too.
    """
    taker, loop, room = Slow(), asyncio.get_running_loop(), Room(LARGEST, 5)
    server = await loop.create_unix_server(
        lambda: Door(taker, room=room, data_size_limit=LARGEST, hostname="x", loop=loop),
        str(tmp_path / "s"),
    )
    large = b"z" * (LARGEST - 10) + b"\r\n"
    async with asyncio.timeout(20):
        held, first = await _begun(tmp_path / "s", large)
        await _until(lambda: room.held > LARGEST - PIECE - 10)
        _, gone = await _begun(tmp_path / "s", b"y" * PIECE)
        gone.close()
        shed, second = await _begun(tmp_path / "s", large)
        assert (await shed.readline()).startswith(b"452 4.3.1")
        assert room.counters["lmtp_shed"] == 1
        assert LARGEST - PIECE - 10 < room.held <= LARGEST
        short, third = await _begun(tmp_path / "s", b"short\r\n")
        taker.go.set()
        assert (await short.readline()).startswith(b"250")
        assert (await held.readline()).startswith(b"250")
        assert room.held == 0
        second.write(_HELLO)
        while not (await shed.readline()).startswith(b"354"):
            pass
        second.write(large + b".\r\n")
        assert (await shed.readline()).startswith(b"250")
    assert sorted(map(len, taker.taken)) == [7, len(large), len(large)]
    for writer in (first, second, third):
        writer.close()
    server.close()


async def test_a_connection_too_many_is_told_to_come_back(tmp_path: Path) -> None:
    """It is refused before it can send anything, and counted; one that ends makes room."""
    loop, room = asyncio.get_running_loop(), Room(LARGEST, 1)
    server = await loop.create_unix_server(
        lambda: Door(Taker(), room=room, data_size_limit=LARGEST, hostname="x", loop=loop),
        str(tmp_path / "s"),
    )
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        assert (await reader.readline()).startswith(b"220")
        other, more = await asyncio.open_unix_connection(str(tmp_path / "s"))
        assert (await other.readline()).startswith(b"421 4.3.2")
        assert await other.readline() == b""
        assert room.counters["lmtp_refused"] == 1
        writer.close()
        await _until(lambda: not room.open)
        again, last = await asyncio.open_unix_connection(str(tmp_path / "s"))
        assert (await again.readline()).startswith(b"220")
    for one in (more, last):
        one.close()
    server.close()
