"""What the daemon says of itself: each trouble once, each recovery once, what was shed by name."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import numpy as np
from structlog.testing import capture_logs

from ipwatchd.capture import Capture
from ipwatchd.config import Config
from ipwatchd.config.settings import FeedSettings, IntakeSettings
from ipwatchd.daemon import Daemon
from ipwatchd.desk.lmtp_door import Room
from ipwatchd.lists import FeedKeeper
from ipwatchd.records.flow import FLOW
from ipwatchd.stores import Stores
from ipwatchd.whereabouts import Ground

if TYPE_CHECKING:
    from pathlib import Path


async def test_trouble_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    """A note that stays is one warning; when it is gone the part is well again."""
    stores = await Stores.open(Config(), tmp_path)
    try:
        daemon = Daemon(Config(), tmp_path / "none.toml", stores, Ground())
        with capture_logs() as told:
            for note in ("no room", "still no room", ""):
                daemon.live.notes = {"logs": note} if note else {}
                daemon._vitals.narrate()
        assert [(line["log_level"], line["event"], line["part"]) for line in told] == [
            ("warning", "no room", "logs"), ("info", "well again", "logs"),
        ]  # fmt: skip
    finally:
        await stores.close(1.0)


async def test_what_was_shed_has_a_name(tmp_path: Path) -> None:
    """What did not fit into the inbox, mails put off: it is in `shed`; what was not shed is not."""
    config = Config(intake=IntakeSettings(lmtp=str(tmp_path / "lmtp")))
    stores = await Stores.open(config, tmp_path)
    try:
        daemon = Daemon(config, tmp_path / "none.toml", stores, Ground())
        daemon._vitals.measure()
        assert daemon.live.shed == {}
        daemon._inbox.put(Capture(np.zeros(2_000_001, FLOW), [], 1.0))
        daemon._vitals.measure()
        assert daemon.live.shed == {"inbox.flows": 2_000_001}
        door = daemon._desk.lmtp
        assert door is not None
        door._room = Room(0, 0)
        assert not door._room.enter()
        daemon._vitals.measure()
        assert daemon.live.shed == {"inbox.flows": 2_000_001, "intake.lmtp_refused": 1}
    finally:
        await stores.close(1.0)


async def test_feeds_that_can_not_be_kept_are_told(tmp_path: Path) -> None:
    """A feed that went can't be taken off while lists.db is held: `doctor` says so until it can."""
    stores = await Stores.open(Config(), tmp_path)
    other = sqlite3.connect(tmp_path / "lists.db", isolation_level=None)
    try:
        daemon = Daemon(Config(), tmp_path / "none.toml", stores, Ground())
        (tmp_path / "list").write_text("203.0.113.7\n")
        one = FeedSettings(file=str(tmp_path / "list"))
        feeds = daemon.live.feeds = FeedKeeper({"one": one}, stores.lists, tmp_path)
        await feeds.step(1.0)
        await stores.lists._db.execute("PRAGMA busy_timeout = 10")
        other.execute("BEGIN IMMEDIATE")
        feeds.adopt({}, ())
        stop, changed = asyncio.Event(), asyncio.Event()

        async def note() -> None:
            changed.set()

        running = asyncio.ensure_future(feeds.run(stop, lambda: 2.0, note))
        for _ in range(500):
            if feeds.trouble:
                break
            await asyncio.sleep(0.01)
        daemon._vitals.measure()
        assert daemon.live.notes["feeds"] == "feeds can't be written: database is locked"
        other.execute("ROLLBACK")
        await changed.wait()
        stop.set()
        await running
        daemon._vitals.measure()
        assert "feeds" not in daemon.live.notes
    finally:
        other.close()
        await stores.close(1.0)
