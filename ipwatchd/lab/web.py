"""HTTP over TLS and in the clear: a server that answers anything, and a client's one request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

__all__ = ["NOBODYS", "Server", "access_line", "get", "serve"]

NOBODYS: Final = "/v1/customers/"

_BODY: Final = b"<!doctype html><title>the lab</title>" + b"." * 1500
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


def access_line(address: str, method: str, path: str, status: int, now: float) -> str:
    """Return one line of an access log as nginx and Apache write it (combined format)."""
    at = time.gmtime(now)
    # strftime's %b is the locale's month
    day = f"{at.tm_mday:02}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year}"
    stamp = f"{day}:{time.strftime('%H:%M:%S', at)} +0000"
    request = f"{method} {path} HTTP/1.1"
    return f'{address} - - [{stamp}] "{request}" {status} {len(_BODY)} "-" "lab/1"'


class Server:
    """Answers every request with the same page; `log` gets an access line for each.

    The status is 200, and 404 below `NOBODYS`: what belongs to nobody who may ask.
    """

    def __init__(self, log: Callable[[str], None] | None = None) -> None:
        self._log = log

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: one request, one answer, the end."""
        try:
            async with asyncio.timeout(10):
                await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that goes away, a port scan: nothing to answer
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        status = 404 if path.startswith(NOBODYS) else 200
        if self._log:
            peer = str(writer.get_extra_info("peername")[0])
            self._log(access_line(peer, method, path, status, time.time()))
        word = "OK" if status == 200 else "Not Found"
        head = f"HTTP/1.1 {status} {word}\r\nContent-Length: {len(_BODY)}\r\n"
        head += "Connection: close\r\n\r\n"
        writer.write(head.encode("ascii") + _BODY)
        await writer.drain()


async def serve(
    sock: socket.socket, server: Server, tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    """Serve on a listening socket."""
    return await asyncio.start_server(server, sock=sock, ssl=tls)


async def get(
    sock: socket.socket,
    name: str,
    path: str,
    tls: ssl.SSLContext | None = None,
    *,
    body: bytes = b"",
) -> int:
    """Send one request over a connected socket and return the status, 0 where none comes."""
    status = 0
    writer = None
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=tls, server_hostname=name if tls else None
            )
            method = "POST" if body else "GET"
            writer.write(
                f"{method} {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: lab/1\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode("ascii")
                + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.read(1 << 16)
            status = int(head.split(b" ", 2)[1])
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
        pass
    finally:
        if writer is None:
            sock.close()
        else:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2):
                    await writer.wait_closed()
    return status
