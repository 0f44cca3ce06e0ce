"""The lab's mail server and web hook are real: they take, hand on, refuse and come back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from email.message import EmailMessage
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiosmtpd.lmtp import LMTP

from ipwatchd.lab import post

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from ipwatchd.lab.netns import Namespace


def _mail(to: str, priority: str = "1") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ipwatchd@site.example", to, "[P1] LAB-1"
    mail["X-Ipwatchd-Incident"] = "LAB-1"
    if priority:
        mail["X-Priority"] = priority
    mail.set_content("Acknowledge: http://10.0.0.1:8480/ack/abc\n")
    return mail


class _Drop:
    """Takes what is handed over by LMTP, and refuses it where it is told to."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        del server, session
        self.taken.append(envelope.content)
        return "250 kept"


def test_pages_are_kept_and_reports_handed_on(
    namespace: Callable[[str], Namespace], tmp_path: Path
) -> None:
    """A page is a receipt with its link, a letter is none; a report goes by LMTP."""
    # before the event loop runs: pyroute2 brings its own
    asyncio.run(_mails(namespace("mail"), tmp_path / "lmtp"))


async def _mails(space: Namespace, path: Path) -> None:
    drop = _Drop()
    loop = asyncio.get_running_loop()
    lmtp = await loop.create_unix_server(lambda: LMTP(drop, loop=loop), str(path))
    async with AsyncExitStack() as stack:
        stack.callback(lmtp.close)
        server = post.MailServer(space, "127.0.0.1", path)
        await server.start(stack)
        await post.send(space, "127.0.0.1", "127.0.0.1", _mail("ana@site.example"))
        await post.send(space, "127.0.0.1", "127.0.0.1", _mail(post.REPORTS))
        await post.send(space, "127.0.0.1", "127.0.0.1", _mail("dina@site.example", priority=""))
        (page,) = server.receipts
        assert (page.to, page.incident, page.subject) == ("ana@site.example", "LAB-1", "[P1] LAB-1")
        assert page.link == "http://10.0.0.1:8480/ack/abc"
        assert len(drop.taken) == 1
        assert [one.to for one in server.letters] == ["dina@site.example"]
        server.stop()
        with pytest.raises(OSError, match="refused"):
            await post.send(space, "127.0.0.1", "127.0.0.1", _mail("ana@site.example"))
        await server.start()
        await post.send(space, "127.0.0.1", "127.0.0.1", _mail("ana@site.example"))
        assert len(server.receipts) == 2


def test_a_web_hook_without_signature_is_seen(namespace: Callable[[str], Namespace]) -> None:
    """The receipt says so: pages that anybody could send are no proof."""
    asyncio.run(_hooks(namespace("alerts")))


async def _hooks(space: Namespace) -> None:
    body = {"incident": "LAB-1", "subject": "s", "body": "b", "link": ""}

    def make(info: Any) -> Any:
        return space.socket(info[0], info[1])

    async with AsyncExitStack() as stack:
        hook = post.Hook(space, "127.0.0.1")
        await hook.start(stack)
        url = f"http://127.0.0.1:{post.HOOK_PORT}/page"
        connector = aiohttp.TCPConnector(socket_factory=make)
        async with aiohttp.ClientSession(connector=connector) as session:
            for headers in ({}, {"X-Ipwatchd-Signature": "sha256=00"}):
                async with session.post(url, json=body, headers=headers) as answer:
                    assert answer.status == 204
    assert [one.to for one in hook.receipts] == ["unsigned", ""]
