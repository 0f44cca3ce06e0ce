"""A caller who hangs up ends the question; a change that was begun is carried out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ipwatchd.config import Config, ControlSettings
from ipwatchd.control.house import House
from ipwatchd.control.server import ControlServer
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def _hang_up_during(path: Path, request: bytes, begun: asyncio.Event) -> None:
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(request)
    await writer.drain()
    await begun.wait()
    writer.close()
    await writer.wait_closed()


async def test_hanging_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flows that nobody waits for are stopped; the list entry is written."""
    stores = await Stores.open(Config(), tmp_path / "state")
    socket = tmp_path / "control.sock"
    server = ControlServer(House(stores), ControlSettings(socket=str(socket)), lambda: 1e9)
    begun, stopped, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    add = stores.lists.add

    async def slow_flows(*_: Any) -> list[Any]:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.set()
            raise
        return []

    async def slow_add(*words: Any, **more: Any) -> Any:
        begun.set()
        await asyncio.sleep(0.2)
        change = await add(*words, **more)
        done.set()
        return change

    monkeypatch.setattr(stores.history, "flows", slow_flows)
    monkeypatch.setattr(stores.lists, "add", slow_add)
    await server.start()
    try:
        head = b"GET /v1/flows HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await _hang_up_during(socket, head, begun)
        await asyncio.wait_for(stopped.wait(), 60)
        begun.clear()
        body = b'{"network": "203.0.113.7", "reason": "scan"}'
        head = b"POST /v1/lists/deny HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        await _hang_up_during(socket, head % len(body) + body, begun)
        await asyncio.wait_for(done.wait(), 60)
        assert [entry.network for entry in stores.lists.entries("deny", now=1e9)] == [
            "203.0.113.7/32"
        ]
    finally:
        await server.stop()
        await stores.close(1e9)
