"""The bytes of a mail by LMTP: whole as they were sent, whatever its lines look like."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.desk.lmtp_door import Door

if TYPE_CHECKING:
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
    made = type("Sized", (Door,), {"line_length_limit": LARGEST})
    server = await loop.create_unix_server(
        lambda: made(taker, data_size_limit=LARGEST, hostname="x", loop=loop), str(path)
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
