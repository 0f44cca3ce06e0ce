"""Connections out of a host's namespace, bound first so that the truth knows both ends."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ipwatchd.lab.netns import Namespace

__all__ = ["Attempt", "bound", "connect", "listen"]


class Attempt(NamedTuple):
    """A connection attempt: the socket where it is open, both ends, open, refused or timeout."""

    sock: socket.socket | None
    orig: tuple[str, int]
    resp: tuple[str, int]
    outcome: str


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def bound(
    namespace: Namespace, address: str, port: int = 0, *, kind: int = socket.SOCK_DGRAM
) -> socket.socket:
    """Return a socket of a namespace bound to an address of its own."""
    sock = namespace.socket(_family(address), kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def listen(namespace: Namespace, address: str, port: int) -> socket.socket:
    """Return a listening TCP socket."""
    sock = bound(namespace, address, port, kind=socket.SOCK_STREAM)
    sock.listen(128)
    return sock


async def connect(
    namespace: Namespace, source: str, address: str, port: int, *, seconds: float = 3.0
) -> Attempt:
    """Try a TCP connection from a host's address; never raises for what the network does."""
    sock = namespace.socket(_family(address), socket.SOCK_STREAM)
    sock.bind((source, 0))
    orig, resp = (source, int(sock.getsockname()[1])), (address, port)
    outcome = "open"
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except TimeoutError:
        outcome = "timeout"
    except ConnectionRefusedError:
        outcome = "refused"
    except OSError:
        outcome = "unreachable"
    if outcome == "open":
        return Attempt(sock, orig, resp, outcome)
    sock.close()
    return Attempt(None, orig, resp, outcome)
