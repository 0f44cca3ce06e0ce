"""What the handlers of the control API work on: the stores and, in a daemon, the live parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipwatchd.control.messages import Rates
from ipwatchd.control.open_exports import Exports

if TYPE_CHECKING:
    from ipwatchd.capture import Source
    from ipwatchd.capture.choice import Choice
    from ipwatchd.enforcement import Enforcement
    from ipwatchd.firewall import BlockedReader, Firewall
    from ipwatchd.lists import FeedKeeper
    from ipwatchd.logs import LogSources
    from ipwatchd.paging.pager import Pager
    from ipwatchd.paging.papers import Papers
    from ipwatchd.pipeline import Pipeline
    from ipwatchd.stores import Stores
    from ipwatchd.uplink import Uplink

__all__ = ["House", "Live"]


class Live:
    """The parts that only a running daemon has. Absent parts are None: switched off or failed."""

    def __init__(self, pipeline: Pipeline, *, pid: int, started: float) -> None:
        self.pipeline = pipeline
        self.pid = pid
        self.started = started
        self.rates = Rates()
        self.ring: Source | None = None
        self.choice: Choice | None = None
        """Which source that is, and why."""
        self.firewall: Firewall | None = None
        self.enforcement: Enforcement | None = None
        self.blocked: BlockedReader | None = None
        self.uplink: Uplink | None = None
        self.logs: LogSources | None = None
        self.zones: dict[str, dict[str, str]] = {}
        """zone → network → why, as the kernel suggests; empty where zones are configured"""
        self.feeds: FeedKeeper | None = None
        self.pager: Pager | None = None
        self.papers: Papers | None = None
        self.notes: dict[str, str] = {}
        """part → what is wrong with it now, a sentence"""
        self.shed: dict[str, int] = {}


class House:
    """Stores, and `live` where a daemon runs on them."""

    def __init__(self, stores: Stores, live: Live | None = None) -> None:
        self.stores = stores
        self.live = live
        self.exports = Exports()
        self.turned_away = 0
        """connections to the control socket that were one too many of their user"""
