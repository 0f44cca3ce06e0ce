"""A mail server on loopback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiosmtpd.smtp import SMTP

from tests.paging.stage import Box

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    """Serve mail on loopback."""
    one, loop = Box(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(one, hostname="mail.test", loop=loop), "127.0.0.1", 0
    )
    one.port = server.sockets[0].getsockname()[1]
    yield one
    server.close()
