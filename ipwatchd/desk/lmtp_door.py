"""One connection of the LMTP drop: aiosmtpd's, save how a mail's bytes are read.

aiosmtpd keeps each line of a mail as an object of its own and looks at each: a mail of 13 million
short lines takes over a gigabyte and holds the event loop for seconds. Here it is one search.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiosmtpd.lmtp import LMTP

__all__ = ["Door"]

_END: Final = b"\r\n.\r\n"


class Door(LMTP):
    """Reads a mail up to `line_length_limit` bytes whole, with lines of any length.

    `line_length_limit` is what aiosmtpd lets its StreamReader hold.
    """

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
        content = await self._content()
        if content is None:
            self._set_post_data_state()  # type: ignore[no-untyped-call]  # aiosmtpd
            await self.push("552 Error: Too much mail data")
            return
        self.envelope.content = self.envelope.original_content = content
        status = await self._call_handler_hook("DATA")
        self._set_post_data_state()  # type: ignore[no-untyped-call]  # aiosmtpd
        await self.push(status)

    async def _content(self) -> bytes | None:
        """Return the mail; None where it was too large, and was read to its end and dropped."""
        # Who sends it waits for 354, so nothing is there yet: the end of a mail without a line is
        # found as any other's.
        self._reader.feed_data(b"\r\n")
        fits = True
        while True:
            try:
                data = await self._reader.readuntil(_END)
            except asyncio.LimitOverrunError as error:
                await self._reader.readexactly(error.consumed)
                fits = False
            else:
                break
        if not fits or len(data) - len(_END) > (self.data_size_limit or 0):
            return None
        # A dot before a dot is not the mail's (RFC 5321, 4.5.2).
        return data[: -len(_END) + 2].replace(b"\r\n.", b"\r\n")[2:]
