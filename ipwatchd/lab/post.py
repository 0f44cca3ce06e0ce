"""The site's mail server and who takes web hooks: real SMTP, LMTP and HTTP for pages and reports.

A mail server can be stopped and started. What is sent to the reports' address is handed on by LMTP,
as a mail server does; all else is kept as a receipt with the moment it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import smtplib
import time
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiohttp import web
from aiosmtpd.smtp import SMTP

from ipwatchd.lab import dial

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from ipwatchd.lab.netns import Namespace

__all__ = ["HOOK_PORT", "REPORTS", "Hook", "MailServer", "Receipt", "send"]

REPORTS: Final = "security@bpo.example"
"""Where people mail reports to."""
HOOK_PORT: Final = 8443
_PORT: Final = 25
_SECONDS: Final = 10.0


class Receipt(NamedTuple):
    """A page or letter as it arrived: when, by mail or hook, to whom, and its words."""

    time: float
    way: str
    to: str
    incident: str
    subject: str
    body: str
    link: str = ""


class MailServer:
    """An SMTP server on a host.

    `receipts` are the pages that it took, `letters` what asks for no answer: notices and updates.
    """

    def __init__(self, namespace: Namespace, address: str, lmtp: Path | None = None) -> None:
        self.receipts: list[Receipt] = []
        self.letters: list[Receipt] = []
        self._namespace = namespace
        self._address = address
        self._lmtp = lmtp
        self._server: asyncio.Server | None = None

    async def start(self, stack: AsyncExitStack | None = None) -> None:
        """Listen on port 25 until stopped, or until the stack ends."""
        loop = asyncio.get_running_loop()
        sock = dial.listen(self._namespace, self._address, _PORT)
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="mail.bpo.example", loop=loop), sock=sock
        )
        if stack is not None:
            stack.callback(self.stop)

    def stop(self) -> None:
        """Take no more: who connects is refused."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a page or letter; hand a report on."""
        del server, session
        now = time.time()
        to = ", ".join(envelope.rcpt_tos)
        if self._lmtp is not None and REPORTS in envelope.rcpt_tos:
            return await asyncio.to_thread(self._hand_on, envelope.mail_from, envelope.content)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = mail.get_content() if isinstance(mail, EmailMessage) else ""
        incident, subject = str(mail["X-Ipwatchd-Incident"] or ""), str(mail["Subject"]).strip()
        taken = Receipt(now, "mail", to, incident, subject, body, _link(body))
        (self.receipts if mail["X-Priority"] else self.letters).append(taken)
        return "250 taken"

    def _hand_on(self, sender: str, content: bytes) -> str:
        with smtplib.LMTP(str(self._lmtp), timeout=_SECONDS) as drop:
            try:
                refused = drop.sendmail(sender, [REPORTS], content)
            except smtplib.SMTPException as error:
                return f"451 {error}"
        return "451 put off" if refused else "250 taken"


def _link(text: str) -> str:
    return next((word for word in text.split() if word.startswith("http") and "/ack/" in word), "")


class Hook:
    """A receiver of web hooks on a host; `receipts` are the pages that it took."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        self.receipts: list[Receipt] = []
        self._namespace = namespace
        self._address = address

    async def start(self, stack: AsyncExitStack) -> None:
        """Serve until the stack ends."""
        app = web.Application()
        app.router.add_post("/page", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, dial.listen(self._namespace, self._address, HOOK_PORT)).start()

    async def _take(self, request: web.Request) -> web.Response:
        now = time.time()
        page = await request.json()
        signed = request.headers.get("X-Ipwatchd-Signature", "")
        self.receipts.append(Receipt(
            now, "hook", "unsigned" if not signed else "", page["incident"], page["subject"],
            page["body"], page["link"],
        ))  # fmt: skip
        return web.Response(status=204)


async def send(namespace: Namespace, source: str, server: str, mail: EmailMessage) -> None:
    """Send a mail from a host over SMTP; OSError or SMTPException where it is not taken."""

    def now() -> None:
        with namespace.inside():
            client = smtplib.SMTP(timeout=_SECONDS, source_address=(source, 0))
            client.connect(server, _PORT)
        with contextlib.closing(client):
            client.send_message(mail)
            client.quit()

    await asyncio.to_thread(now)
