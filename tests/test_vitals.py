"""What the daemon says of itself: each trouble once, each recovery once, what was shed by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from structlog.testing import capture_logs

from ipwatchd.capture import Capture
from ipwatchd.config import Config
from ipwatchd.daemon import Daemon
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
    """What did not fit into the inbox is in `shed`; what was not shed is not."""
    stores = await Stores.open(Config(), tmp_path)
    try:
        daemon = Daemon(Config(), tmp_path / "none.toml", stores, Ground())
        daemon._vitals.measure()
        assert daemon.live.shed == {}
        daemon._inbox.put(Capture(np.zeros(2_000_001, FLOW), [], 1.0))
        daemon._vitals.measure()
        assert daemon.live.shed == {"inbox.flows": 2_000_001}
    finally:
        await stores.close(1.0)
