"""The mail drop by LMTP (RFC 2033): a mail server on this box hands reports over one by one.

A mail is answered with 250 once its incident is on the disk, and with 4xx where that can't be: the
mail server keeps it and tries again, so none is lost.
"""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiosmtpd.lmtp import LMTP
    from aiosmtpd.smtp import Envelope, Session

    from ipwatchd.desk.lmtp_door import Room
    from ipwatchd.desk.maildrop import MailDrop

__all__ = ["SHED", "LmtpDrop"]

LARGEST: Final = 40_000_000
"""Bytes of one mail (30 MB and what base64 adds to it): a larger one is refused before its end."""
MOST: Final = 4 * LARGEST
"""Bytes of all mails that are being read or kept: who would make it more is told to come back."""
CONNECTIONS: Final = 40
"""At once: a sender who opens more is told to come back. Mail servers open 20, and keep some."""
SILENCE: Final = 60.0
"""Seconds without a command after which a connection is ended: none is held for ever."""
SHED: Final = ("lmtp_shed", "lmtp_refused")
"""Counters of what was told to come back: large mails, connections."""
_LOG: Final = structlog.get_logger("desk")


class LmtpDrop:
    """Listens on a Unix socket that the mail server's group may write to."""

    def __init__(self, path: Path, mails: MailDrop, clock: Callable[[], float]) -> None:
        self._path = path
        self._mails = mails
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._room: Room | None = None
        self._counters = {"lmtp_mails": 0, "lmtp_deferred": 0}

    @property
    def counters(self) -> dict[str, int]:
        """Return how many mails were taken, put off and shed, and connections refused."""
        return self._counters | (self._room.counters if self._room else dict.fromkeys(SHED, 0))

    async def start(self) -> None:
        """Listen; OSError where the path can't be had."""
        if self._path.exists() and not stat.S_ISSOCK(self._path.stat().st_mode):
            raise OSError(f"{self._path} is there and is no socket: name another in [intake] lmtp")
        self._path.unlink(missing_ok=True)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._protocol, str(self._path))
        self._path.chmod(0o660)

    async def stop(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    def _protocol(self) -> LMTP:
        from ipwatchd.desk.lmtp_door import Door, Room

        self._room = self._room or Room(MOST, CONNECTIONS)
        return Door(
            self, room=self._room, data_size_limit=LARGEST, timeout=SILENCE, enable_SMTPUTF8=True,
            ident="ipwatchd", hostname="localhost", loop=asyncio.get_running_loop(),
        )  # fmt: skip

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: LMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take one recipient a mail: LMTP answers for each, and this is one report."""
        del server, session
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient a mail, please"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: LMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the mail, open or follow its incident, then answer."""
        del server, session
        try:
            content = envelope.content or b""
            data = content if isinstance(content, bytes) else content.encode()
            taken = await self._mails.take(data, self._clock())
        except OSError as error:
            self._counters["lmtp_deferred"] += 1
            words = " ".join(str(error).split()).encode("ascii", "replace").decode()[:200]
            return f"451 4.3.0 can't keep it now: {words}"
        self._counters["lmtp_mails"] += 1
        return f"250 2.0.0 kept as {taken.id}"

    async def handle_exception(self, error: Exception) -> str:
        """Put off what went wrong here: aiosmtpd's 500 would have the mail server return it."""
        self._counters["lmtp_deferred"] += 1
        _LOG.error("a mail could not be taken by LMTP", exc_info=error)
        return f"451 4.3.0 it can't be taken now: {type(error).__name__}"
