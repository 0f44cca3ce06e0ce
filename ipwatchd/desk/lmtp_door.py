"""One connection of the LMTP drop: aiosmtpd's, save how a mail's bytes are read.

aiosmtpd keeps each line of a mail as an object of its own and looks at each: a mail of 13 million
short lines takes over a gigabyte and holds the event loop for seconds. Here they are pieces, which
are counted over all connections.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiosmtpd.lmtp import LMTP

__all__ = ["Door", "Room"]

_END: Final = b"\r\n.\r\n"
_TOO_LARGE: Final = "552 Error: Too much mail data"
_FULL: Final = "452 4.3.1 too many large mails at once: try again"
_CROWDED: Final = b"421 4.3.2 too many connections at once: try again\r\n"
PIECE: Final = 64 << 10
"""Bytes that wait in one connection: of a command, or of a mail until they are counted. A mail that
is no larger is taken however many others there are."""


class Room:
    """Bytes of mails and connections there may be at once: a flood of them fills no memory."""

    def __init__(self, most: int, connections: int) -> None:
        self._most = most
        self._connections = connections
        self.held = 0
        """Bytes of the mails that are being read or kept."""
        self.open = 0
        self.counters = {"lmtp_refused": 0, "lmtp_shed": 0}

    def enter(self) -> bool:
        """Let a connection in; False where there are too many."""
        if self.open >= self._connections:
            self.counters["lmtp_refused"] += 1
            return False
        self.open += 1
        return True

    def leave(self) -> None:
        """Let a connection go."""
        self.open -= 1

    def take(self, size: int) -> bool:
        """Make room for bytes; False where there is none."""
        if self.held + size > self._most:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """Have the room of bytes that are gone."""
        self.held -= size


class Door(LMTP):
    """Reads a mail up to `data_size_limit` bytes whole, with lines of any length."""

    line_length_limit = PIECE
    """What aiosmtpd lets its StreamReader hold."""

    def __init__(self, handler: object, *, room: Room, **settings: Any) -> None:
        super().__init__(handler, **settings)
        self._room = room
        self._entered = False
        self._taken = 0
        """Bytes of the mail at hand that the room counts."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or say that there are too many."""
        self._entered = self._room.enter()
        if self._entered:
            super().connection_made(transport)
        elif isinstance(transport, asyncio.WriteTransport):
            transport.write(_CROWDED)
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """End what was begun."""
        if self._entered:
            self._room.leave()
            super().connection_lost(error)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        """Take a mail (RFC 5321, 4.1.1.4) and hand it to the handler's DATA."""
        if await self.check_helo_needed():
            return
        if self.envelope is None or not self.envelope.rcpt_tos:
            await self.push("503 Error: need RCPT command")
            return
        if arg:
            await self.push("501 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        try:
            content = await self._content()
            if isinstance(content, bytes):
                self.envelope.content = self.envelope.original_content = content
                status = await self._call_handler_hook("DATA")
            else:
                status = content
        finally:
            self._set_post_data_state()  # type: ignore[no-untyped-call]  # aiosmtpd
            self._release()
        await self.push(status)

    async def _content(self) -> bytes | str:
        """Return the mail, or what it is refused with: it is then read to its end and dropped."""
        # Who sends it waits for 354, so nothing is there yet: the end of a mail without a line is
        # found as any other's.
        self._reader.feed_data(b"\r\n")
        data, refused, ended = bytearray(), "", False
        while not ended:
            try:
                piece = await self._reader.readuntil(_END)
                ended = True
            except asyncio.LimitOverrunError as error:
                piece = await self._reader.readexactly(error.consumed)
            refused = refused or self._refusal(len(data), len(piece))
            if refused:
                data.clear()
                self._release()
            else:
                data += piece
        if refused:
            return refused
        # A dot before a dot is not the mail's (RFC 5321, 4.5.2).
        data = data.replace(b"\r\n.", b"\r\n")
        return bytes(memoryview(data)[2:-2])

    def _refusal(self, held: int, size: int) -> str:
        """Return why a mail can't have so many bytes more, "" where it can."""
        if held + size - len(_END) > (self.data_size_limit or 0):
            return _TOO_LARGE
        beyond = max(0, held + size - PIECE) - self._taken
        if beyond > 0:
            if not self._room.take(beyond):
                self._room.counters["lmtp_shed"] += 1
                return _FULL
            self._taken += beyond
        return ""

    def _release(self) -> None:
        self._room.give_back(self._taken)
        self._taken = 0
