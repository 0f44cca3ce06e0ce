"""The control socket: aiohttp over a Unix socket, the peer's credentials checked at each call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from ipwatchd.control.call import Peer
from ipwatchd.control.door import BACKLOG, Door, quiet_log
from ipwatchd.control.messages import Problem
from ipwatchd.control.peer import credentials, peer_of
from ipwatchd.control.routes import dispatch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ipwatchd.config import ControlSettings
    from ipwatchd.control.house import House

__all__ = ["ControlServer"]

_BODY: Final = 8 << 20
"""Bytes of one request (an imported list): more could fill the daemon's memory."""
_SENT_WITHIN: Final = 30.0
"""Seconds until a request has come whole: one that never ends would hold its place for good."""


class ControlServer:
    """Serves one house on one socket from `start` to `stop`."""

    def __init__(self, house: House, settings: ControlSettings, clock: Callable[[], float]) -> None:
        self._house = house
        self._settings = settings
        self._clock = clock
        self._path = Path(settings.socket)
        application = web.Application(client_max_size=_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        # A caller who hangs up (Ctrl-C) ends the question that nobody waits for any more.
        self._runner = web.AppRunner(
            application, access_log=None, logger=quiet_log(), shutdown_timeout=1.0,
            keepalive_timeout=_SENT_WITHIN, handler_cancellation=True,
        )  # fmt: skip
        self._listening: asyncio.Server | None = None
        self._changes: set[asyncio.Task[tuple[int, bytes]]] = set()

    async def start(self) -> None:
        """Listen; OSError with a sentence where the socket can't be made or is in use."""
        self._clear()
        await self._runner.setup()
        try:
            await self._listen()
            # Everyone may knock: the peer's credentials decide what is answered.
            os.chmod(self._path, 0o666)  # noqa: PTH101, S103 - see the comment
        except OSError as error:
            if self._listening:
                self._listening.close()
            await self._runner.cleanup()
            raise OSError(
                f"can't listen on {self._path} ({error.strerror or error}): make its folder "
                "writable or set [control] socket"
            ) from error

    async def _listen(self) -> None:
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner makes its server in setup")
        self._listening = await asyncio.get_running_loop().create_unix_server(
            Door(server, self._settings, self._house), str(self._path), backlog=BACKLOG
        )

    def _clear(self) -> None:
        """Remove the socket that a killed daemon left; leave one that answers."""
        if not self._path.is_socket():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self._path))
            except OSError:
                self._path.unlink()
                return
        raise OSError(f"another daemon answers on {self._path}: stop it, or set [control] socket")

    async def _handle(self, request: web.Request) -> web.Response:
        connection = request.transport.get_extra_info("socket") if request.transport else None
        peer = Peer("?", "none")
        if connection is not None:
            peer = peer_of(*credentials(connection), self._settings)
        try:
            async with asyncio.timeout(_SENT_WITHIN):
                # What a stranger sends is not taken into memory.
                data = b"" if peer.role == "none" else await request.read()
        except TimeoutError:
            return _refused(408, f"the request did not come whole in {_SENT_WITHIN:.0f} seconds")
        except web.HTTPRequestEntityTooLarge:
            return _refused(413, f"a request may have {_BODY >> 20} MiB: send it in parts")
        answer = dispatch(self._house, peer, request.method, request.path_qs, data, self._clock())
        status, body = await (answer if request.method == "GET" else self._to_its_end(answer))
        return web.Response(body=body, status=status, content_type="application/json")

    async def _to_its_end(
        self, change: Coroutine[None, None, tuple[int, bytes]]
    ) -> tuple[int, bytes]:
        """Carry a change out also where the caller hangs up half-way."""
        task = asyncio.ensure_future(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def stop(self) -> None:
        """Finish what is being answered and remove the socket."""
        if self._listening:
            self._listening.close()
        await self._runner.cleanup()
        if self._changes:
            await asyncio.wait(self._changes)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def _refused(status: int, text: str) -> web.Response:
    body = msgspec.json.encode(Problem(error=text))
    return web.Response(body=body, status=status, content_type="application/json")
