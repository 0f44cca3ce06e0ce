"""A site delivers to a collector that is killed with -9 again and again."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from ipwatchd.central.store import Store
from ipwatchd.incidents.fold import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path


@contextmanager
def collector(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run ipwatch-central on a port until the block ends, then kill it with -9."""
    command = [
        sys.executable, "-m", "ipwatchd.cli.central", "run", "--state", str(folder), "--port",
        str(port),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("listening on ")
            yield process
        finally:
            process.kill()


async def test_every_event_arrives_once_whatever_is_killed(
    centre: Any, site: Callable[..., AbstractAsyncContextManager[Any]], until: Any
) -> None:
    """The collector is killed amid batches while incidents go on: none lost or doubled."""
    async with site() as one:
        one.settings = msgspec.structs.replace(one.settings, batch=2)
        await centre.stop()
        written, rng = 0, random.Random(5)
        async with one.running() as uplink:
            for _ in range(4):
                for _ in range(60):
                    await one.incident(written)
                    written += 1
                with collector(centre.folder, centre.port):
                    await asyncio.sleep(rng.uniform(0.02, 0.12))
            with collector(centre.folder, centre.port):
                await until(lambda: uplink.status().waiting == 0)
        store = await Store.open(centre.folder)
        try:
            log = await one.log.after(0, 10_000)
            assert len(log) == written
            assert await store.events("manila") == log
            held = await store.incidents(site="manila")
            assert {row.id: row for row in held} == fold(log)
        finally:
            await store.close()
        await centre.start()


async def test_a_bad_ca_file_is_named(
    site: Callable[..., AbstractAsyncContextManager[Any]], until: Any
) -> None:
    """A CA file that is absent or no certificate keeps the site silent, and it says so."""
    async with site() as one:
        for path in (one.folder / "absent.pem", one.folder / "token"):
            one.settings = msgspec.structs.replace(one.settings, ca_file=str(path))
            async with one.running() as uplink:
                await until(lambda: "ca_file" in uplink.status().error)
                assert str(path) in uplink.status().error
