"""An IMAP server over TLS that logs as Dovecot does, and a client that tries passwords on it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["NAME", "PORT", "USERS", "log_in", "said", "serve"]

NAME: Final = "mail.bpo.example"
PORT: Final = 993
USERS: Final = {"maria": "the right word", "jose": "another one"}
_SECONDS: Final = 5.0


def said(user: str, client: str, server: str, *, right: bool) -> str:
    """Return what Dovecot 2.3 logs of a login, with auth_verbose where it fails."""
    if right:
        return f"imap-login: Login: user=<{user}>, method=PLAIN, rip={client}, lip={server}, TLS"
    why = "Password mismatch" if user in USERS else "unknown user"
    return f"auth: passwd-file({user},{client},<lab>): {why}"


async def serve(
    sock: socket.socket, context: ssl.SSLContext, log: Callable[[str], Awaitable[None]]
) -> asyncio.Server:
    """Serve LOGIN (RFC 9051, 6.2.3) on a listening socket; `log` gets Dovecot's messages."""

    async def door(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = str(writer.get_extra_info("peername")[0])
        server = str(writer.get_extra_info("sockname")[0])
        with contextlib.suppress(OSError, TimeoutError, ValueError):  # a client that goes away
            writer.write(b"* OK ready\r\n")
            while line := await asyncio.wait_for(reader.readline(), _SECONDS):
                tag, _, rest = line.decode("ascii").rstrip("\r\n").partition(" LOGIN ")
                user, _, password = rest.partition(" ")
                right = USERS.get(user) == password.strip('"')
                await log(said(user, client, server, right=right))
                answer = "OK done" if right else "NO [AUTHENTICATIONFAILED] no"
                writer.write(f"{tag} {answer}\r\n".encode("ascii"))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(door, sock=sock, ssl=context)


async def log_in(
    sock: socket.socket, context: ssl.SSLContext, tries: Sequence[tuple[str, str]]
) -> list[str]:
    """Try passwords one after the other on one connection: success, failure or timeout of each."""
    outcomes = ["timeout"] * len(tries)
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=context, server_hostname=NAME
            )
            await reader.readuntil(b"\r\n")
            for number, (user, password) in enumerate(tries):
                writer.write(f'a{number} LOGIN {user} "{password}"\r\n'.encode("ascii"))
                answer = await reader.readuntil(b"\r\n")
                outcomes[number] = "success" if b" OK " in answer else "failure"
            writer.close()
    return outcomes
