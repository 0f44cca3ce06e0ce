"""A response in the kernel before it is on the disk, and what becomes no entry taken back."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import msgspec

from ipwatchd.bindings import Bindings
from ipwatchd.config import Config
from ipwatchd.enforcement import Enforcement
from ipwatchd.firewall import Firewall
from ipwatchd.pipeline import Pipeline
from ipwatchd.records.finding import Finding
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from pathlib import Path

SCANNER, ADMIN = "203.0.113.9", "198.51.100.5"
CONFIG = msgspec.convert(
    {
        "firewall": {"mode": "enforce", "management": [f"{ADMIN}/32"]},
        "incidents": {"auto_deny": ["port-scan"], "denies_per_minute": 2},
    },
    Config,
)


def finding(subject: str) -> Finding:
    """Return what a detector says."""
    now = time.time()
    return Finding(
        rule="port-scan", subject=subject, key=f"port-scan|{subject}", title="scan", count=20,
        first_seen=now, last_seen=now, severity="medium", classification="scanner", score=1.0,
        value=20.0, threshold=20.0,
    )  # fmt: skip


def test_the_kernel_denies_while_nothing_can_be_written(site: Any, tmp_path: Path) -> None:
    """Incidents can't be written: the scanner is denied at once; later its entry stands for it."""

    async def respond() -> None:
        stores = await Stores.open(CONFIG, tmp_path / "state")
        firewall = Firewall(CONFIG.firewall)
        firewall.open()
        enforcement = Enforcement(CONFIG.firewall, stores.lists, firewall, tmp_path)
        pipeline = Pipeline(stores)
        pipeline.enforcement = enforcement
        await enforcement.sync(time.time())
        await stores.incidents._writer.execute("PRAGMA busy_timeout = 10")
        blocker = sqlite3.connect(stores.state_dir / "incidents.db", isolation_level=None)
        try:
            blocker.execute("BEGIN IMMEDIATE")
            outcome = await pipeline.settle([finding(SCANNER)], time.time())
            assert (outcome.incidents, outcome.denied) == ([], [])
            assert await asyncio.to_thread(site.elements, "deny4") == {SCANNER}
            blocker.execute("ROLLBACK")
            others = [finding(ADMIN), finding("203.0.113.10"), finding("203.0.113.11")]
            outcome = await pipeline.settle(others, time.time())
            assert len(outcome.incidents) == 4
            held = await asyncio.to_thread(site.elements, "deny4")
            assert held == {one.partition("/")[0] for one in outcome.denied}
            await enforcement.sync(time.time())
            assert not await enforcement.diff(time.time())
            assert await asyncio.to_thread(site.elements, "deny4") == held
        finally:
            blocker.close()
            firewall.close()
            await stores.close(time.time())

    with site.gateway.inside():
        asyncio.run(respond())


def test_a_history_that_refuses_leaves_names_as_they_were(site: Any, tmp_path: Path) -> None:
    """Whom a name stands for can't be read: it is said, other entries still come, then well."""

    async def refuse() -> None:
        now = time.time()
        stores = await Stores.open(CONFIG, tmp_path / "state")
        firewall = Firewall(CONFIG.firewall)
        firewall.open()
        enforcement = Enforcement(CONFIG.firewall, stores.lists, firewall, tmp_path)
        enforcement.bindings = Bindings(stores)
        other = sqlite3.connect(stores.state_dir / "history.db", isolation_level=None)
        try:
            for network in ("name:bad.example.com", SCANNER):
                await stores.lists.add("deny", network, reason="x", author="m", now=now)
            other.execute("ALTER TABLE event RENAME TO gone")
            await enforcement.sync(now)
            assert await asyncio.to_thread(site.elements, "deny4") == {SCANNER}
            assert not await enforcement.tick(now + 1)
            said = enforcement.notes()["firewall names"]
            assert said == "names and agents stand for whom they stood for: no such table: event"
            other.execute("ALTER TABLE gone RENAME TO event")
            assert not await enforcement.tick(now + 2)
            assert enforcement.notes() == {}
        finally:
            other.close()
            firewall.close()
            await stores.close(now)

    with site.gateway.inside():
        asyncio.run(refuse())
