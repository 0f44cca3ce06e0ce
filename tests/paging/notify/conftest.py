"""A real mail server and a real webhook on loopback that can refuse, hang and come back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Mails:
    """What the mail server took; `refuse` is what it answers instead."""

    def __init__(self) -> None:
        self.taken: list[tuple[tuple[str, ...], bytes]] = []
        self.refuse = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        del server, session
        if self.refuse:
            return self.refuse
        self.taken.append((tuple(envelope.rcpt_tos), envelope.content))
        return "250 taken"


class Posts:
    """What the webhook took; `status` is what it answers."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        """Take a POST."""
        if self.status < 300:
            self.taken.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status)


@pytest.fixture
async def mails() -> AsyncIterator[tuple[Mails, int]]:
    """Return what a mail server takes, and its port."""
    box, loop = Mails(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(box, hostname="mail.test", loop=loop), "127.0.0.1", 0
    )
    yield box, server.sockets[0].getsockname()[1]
    server.close()


@asynccontextmanager
async def hook() -> AsyncIterator[Posts]:
    """Serve a webhook."""
    posts = Posts()
    app = web.Application()
    app.router.add_post("/page", posts.take)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    posts.port = runner.addresses[0][1]
    try:
        yield posts
    finally:
        await runner.cleanup()


@pytest.fixture
async def posts() -> AsyncIterator[Posts]:
    """Return what a webhook takes."""
    async with hook() as made:
        yield made
