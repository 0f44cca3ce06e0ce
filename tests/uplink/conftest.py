"""A real collector on loopback that can go away, come back and be put back; a real log."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from ipwatchd.central.app import Collector
from ipwatchd.central.store import Store
from ipwatchd.central.tokens import digest, new_token
from ipwatchd.config import IncidentSettings, UplinkSettings
from ipwatchd.incidents.store import Incidents
from ipwatchd.records.finding import Finding
from ipwatchd.uplink import Uplink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from ipwatchd.records.entry import ListEntry
    from ipwatchd.uplink.protocol import Delivery


class Centre:
    """A collector over a folder; the port stays the same when it comes back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.store: Store
        self._runner: web.AppRunner

    async def start(self) -> None:
        """Listen."""
        self.store = await Store.open(self.folder)
        self._runner = web.AppRunner(Collector(self.store).app(), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Go away."""
        await self._runner.cleanup()
        await self.store.close()

    async def token(self, site: str = "manila") -> str:
        """Return a new token of a site."""
        token = new_token()
        await self.store.add_token(site, digest(token), 1.0)
        return token


class Site:
    """A site's log, its uplink's settings, and what it got from the centre."""

    def __init__(self, folder: Path, url: str, token: str) -> None:
        self.folder = folder
        self.entries: list[list[ListEntry]] = []
        self.log: Incidents
        self.uplink: Uplink
        (folder / "token").write_text(token + "\n")
        self.settings = UplinkSettings(
            url=url, token_file=str(folder / "token"), batch=7, retry_seconds=0.02,
            poll_seconds=0.1,
        )  # fmt: skip

    async def incident(self, number: int) -> None:
        """Open an incident."""
        finding = Finding(
            rule="scan", subject=f"10.0.0.{number}", key=f"scan|{number}", title="t",
            first_seen=1.0, last_seen=1.0, count=1, severity="low", classification="scanner",
            score=1.0, value=1.0, threshold=1.0,
        )  # fmt: skip
        await self.log.finding(finding, 100.0 + number)

    async def _on_entries(self, entries: list[ListEntry]) -> None:
        self.entries.append(entries)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Uplink]:
        """Run the uplink for a block."""
        stop = asyncio.Event()
        self.uplink = Uplink(self.settings, "manila", self.folder, self.log, self._on_entries)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.uplink.run(stop))
            try:
                yield self.uplink
            finally:
                stop.set()


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Any:
    """Return `until`."""
    return until


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Centre]:
    """Return a collector that listens."""
    made = Centre(tmp_path / "centre")
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def site(tmp_path: Path, centre: Centre) -> Callable[[], AbstractAsyncContextManager[Site]]:
    """Return a site with a valid token at the centre."""

    @asynccontextmanager
    async def make(url: str = "", token: str = "") -> AsyncIterator[Site]:
        folder = tmp_path / "site"
        folder.mkdir(exist_ok=True)
        one = Site(folder, url or f"http://127.0.0.1:{centre.port}", token or await centre.token())
        one.log = await Incidents.open(folder, "manila", IncidentSettings())
        try:
            yield one
        finally:
            await one.log.close()

    return make


@pytest.fixture
def hurry() -> Callable[[Delivery], None]:
    """Return a function that ends the waits of a delivery: tests don't sleep a minute."""

    def now(delivery: Delivery) -> None:
        delivery._not_before = delivery._send_not_before = 0.0

    return now
