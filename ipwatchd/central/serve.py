"""Running the collector until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web

from ipwatchd.central.app import Collector
from ipwatchd.central.store import Store
from ipwatchd.trouble import sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.central.watch import Watch
    from ipwatchd.config import CentralSettings
    from ipwatchd.incidents.papers import Period
    from ipwatchd.paging.papers import Papers

__all__ = ["serve"]

_LOG: Final = structlog.get_logger("central")
STOP_SECONDS: Final = 5.0
"""Time for requests under way when it stops; what is cut off then is sent again by the site."""


async def serve(settings: CentralSettings, say: Callable[[str], None]) -> None:
    """Collect until SIGTERM or SIGINT; `say` gets one line when it listens.

    Raises OSError (port taken, files not readable), CorruptStoreError, or ValueError for a
    certificate that can't be used.
    """
    context = _tls(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    store = await Store.open(Path(settings.state_dir))
    try:
        watch = await _watch(store, settings)
    except BaseException:
        await store.close()
        raise
    runner = web.AppRunner(
        Collector(store, watch=watch).app(), access_log=None, shutdown_timeout=STOP_SECONDS,
        keepalive_timeout=75.0,
    )  # fmt: skip
    try:
        await runner.setup()
        site = web.TCPSite(runner, settings.host, settings.port, ssl_context=context)
        await site.start()
        scheme = "https" if context else "http"
        for address in runner.addresses:
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            say(f"listening on {scheme}://{host}:{address[1]}")
        await _until(stop, watch, settings, _papers(store, watch, settings))
    finally:
        await runner.cleanup()
        await store.close()


async def _watch(store: Store, settings: CentralSettings) -> Watch | None:
    """Return the centre's escalation, None where it is to page nobody."""
    if not settings.escalation:
        return None
    from ipwatchd.central.watch import Watch as _Watch

    return await _Watch.open(store, settings, time.time)


def _papers(store: Store, watch: Watch | None, settings: CentralSettings) -> Papers | None:
    """Return what makes reports on a schedule, None where none is asked for."""
    if not (settings.reports.weekly or settings.reports.monthly):
        return None
    from ipwatchd.central.reviews import period_of_all
    from ipwatchd.incidents.legal.periods import zone
    from ipwatchd.paging.papers import Papers as _Papers

    at = zone(settings.zone)

    async def write(period: Period, now: float) -> str:
        return await period_of_all(
            store, period.since, period.until, at, now, marking=settings.reports.tlp
        )

    return _Papers(
        settings.reports, Path(settings.state_dir), "all sites", settings.zone, write,
        watch.pager if watch else None,
    )  # fmt: skip


async def _until(
    stop: asyncio.Event, watch: Watch | None, settings: CentralSettings, papers: Papers | None
) -> None:
    async with asyncio.TaskGroup() as group:
        if papers:
            group.create_task(_report(papers, stop), name="reports")
        if watch:
            await watch.run(stop, settings.acks)
        else:
            await stop.wait()


async def _report(papers: Papers, stop: asyncio.Event) -> None:
    """Make the reports that are due, until told to stop; what the disk refuses is tried again."""
    for why in papers.refusals():
        _LOG.warning(why)
    said = ""
    while not stop.is_set():
        why = ""
        try:
            await papers.tick(time.time())
        except (OSError, sqlite3.Error) as error:
            why = f"reports: {sentence(error)}"
        if why and why != said:
            _LOG.warning(why)
        said = why
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)


def _tls(settings: CentralSettings) -> ssl.SSLContext | None:
    if not settings.certificate and not settings.key:
        return None
    if not (settings.certificate and settings.key):
        raise ValueError("TLS needs both --certificate and --key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except ssl.SSLError as error:
        raise ValueError(
            f"{settings.certificate} and {settings.key} are no certificate with its key: {error}"
        ) from error
    return context
