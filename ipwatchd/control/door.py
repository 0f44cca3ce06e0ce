"""Who may hold how much of the control socket, and what of its noise is worth a line in the log."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final, cast

import msgspec
from aiohttp.http_exceptions import HttpProcessingError

from ipwatchd.control.messages import Problem
from ipwatchd.control.peer import credentials, peer_of

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler
    from aiohttp.web_server import Server

    from ipwatchd.config import ControlSettings
    from ipwatchd.control.house import House

__all__ = ["BACKLOG", "HELD", "Door", "quiet_log"]

BACKLOG: Final = 1024
"""Connections that wait for the loop's next turn: hundreds opened at once shut nobody out."""
HELD: Final = 32
"""Connections of one user, and of all strangers together: nobody takes the daemon's descriptors
and memory from the others. Root and the daemon's own user may hold more."""
_STRANGERS: Final = "strangers"
_SAME_FAULT: Final = 60.0
"""Seconds in which a fault is told once: whoever finds one must not fill the log with it."""
_FAULTS: Final = 64
"""Kinds of fault kept apart; with more, all are forgotten."""


class Door:
    """Lets connections in to an HTTP server; the house counts those that were too many."""

    def __init__(self, server: Server, settings: ControlSettings, house: House) -> None:
        self._server = server
        self._settings = settings
        self._house = house
        self._holders: dict[RequestHandler, str] = {}

    def __call__(self) -> asyncio.Protocol:
        """Return what stands at the other end of a new connection."""
        return _Knock(self)

    def let_in(self, transport: asyncio.Transport) -> None:
        """Hand a connection to the server, or say that its user has too many."""
        holder = self._holder(transport)
        there = set(self._server.connections)
        self._holders = {one: whose for one, whose in self._holders.items() if one in there}
        if holder and sum(whose == holder for whose in self._holders.values()) >= HELD:
            self._house.turned_away += 1
            transport.write(_too_many(holder))
            transport.close()
            return
        handler = self._server()
        if holder:
            self._holders[handler] = holder
        transport.set_protocol(handler)
        handler.connection_made(transport)

    def _holder(self, transport: asyncio.Transport) -> str:
        """Return whose a connection is; nothing for those who may hold as many as they like."""
        who = credentials(transport.get_extra_info("socket"))
        if who.uid in {0, os.geteuid()}:
            return ""
        peer = peer_of(*who, self._settings)
        return _STRANGERS if peer.role == "none" else f"user {peer.name}"


class _Knock(asyncio.Protocol):
    """A connection until it is known whose it is."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._door.let_in(cast("asyncio.Transport", transport))


def _too_many(holder: str) -> bytes:
    text = f"{HELD} connections of {holder} are open here and no more are let in: close some"
    body = msgspec.json.encode(Problem(error=text, exit=1))
    head = "HTTP/1.0 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body


class _Fault(logging.Filter):
    """Passes faults of ours, each once in a while, and nothing of what callers do wrong."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | ConnectionError):
            return False
        # By its place, not its words: those may be a caller's, new each time.
        kind = _place(error) if error else str(record.msg)
        if record.created - self._told.get(kind, 0.0) < _SAME_FAULT:
            return False
        if len(self._told) >= _FAULTS:
            self._told.clear()
        self._told[kind] = record.created
        return True


def _place(error: BaseException) -> str:
    """Return where an error was raised."""
    here = error.__traceback__
    while here and here.tb_next:
        here = here.tb_next
    at = f"{here.tb_frame.f_code.co_filename}:{here.tb_lineno}" if here else ""
    return f"{type(error).__name__} {at}"


def quiet_log() -> logging.Logger:
    """Return the HTTP server's log: junk on the socket is answered with a 400 and not told."""
    log = logging.getLogger("ipwatchd.control.http")
    if not log.filters:
        log.addFilter(_Fault())
    return log
