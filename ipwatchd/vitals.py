"""What a running daemon says of itself: rates, what was shed, what is wrong, what is well again."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from ipwatchd.control.messages import Rates

if TYPE_CHECKING:
    from ipwatchd.control.house import Live
    from ipwatchd.desk.desk import Desk
    from ipwatchd.history import History
    from ipwatchd.inbox import Inbox
    from ipwatchd.paging.papers import Papers

__all__ = ["Vitals"]

_LOG: Final = structlog.get_logger("ipwatchd")
_RATE_SAMPLES: Final = 6
"""Seconds over which rates are taken, and one: connection tracking counts each two seconds."""


class Vitals:
    """Looks at the parts once a second; leaves rates and sheds with `live`, and writes the log."""

    def __init__(
        self, live: Live, history: History, inbox: Inbox, desk: Desk, papers: Papers
    ) -> None:
        self._live = live
        self._history = history
        self._inbox = inbox
        self._desk = desk
        self._papers = papers
        self._samples: deque[tuple[int, int, int, float]] = deque(maxlen=_RATE_SAMPLES)
        self._said: dict[str, str] = {}

    def begin_anew(self) -> None:
        """Forget the counts so far: another source counts from its own start."""
        self._samples.clear()

    def measure(self) -> None:
        """Compute the rates of the last seconds; gather what was shed and what feeds could not."""
        counters = self._live.ring.counters() if self._live.ring else None
        if counters:
            now = (counters.packets, counters.bytes, counters.flows, time.monotonic())
            self._samples.append(now)
            packets, octets, flows, span = (
                new - old for new, old in zip(now, self._samples[0], strict=True)
            )
            span = max(span, 1e-3)
            self._live.rates = Rates(
                packets=packets / span, bits=octets * 8 / span, flows=flows / span
            )
        self._live.shed = self._shed()
        if self._live.feeds and self._live.feeds.trouble:
            self._live.notes["feeds"] = self._live.feeds.trouble
        else:
            self._live.notes.pop("feeds", None)

    def _shed(self) -> dict[str, int]:
        counts = {"inbox.flows": self._inbox.flows_shed, "inbox.events": self._inbox.events_shed}
        if self._live.ring:
            counters = msgspec.structs.asdict(self._live.ring.counters())
            for name in ("kernel_drops", "flows_shed", "events_shed", "deliveries_shed"):
                counts[f"capture.{name}"] = counters[name]
            tracked = counters["conntrack"]
            counts["capture.openings_shed"] = tracked.openings_shed if tracked else 0
        if self._live.blocked:
            counts["nflog.events"] = self._live.blocked.counters.shed
        if self._live.logs:
            counts |= self._live.logs.shed()
        counts |= self._live.pipeline.shed() | self._desk.shed()
        counts |= {f"history.{name}": value for name, value in self._history.shed().items()}
        return {name: value for name, value in counts.items() if value}

    def narrate(self) -> None:
        """Write one line when a part gets into trouble and one when it is out of it."""
        notes = self._notes()
        for name, note in notes.items():
            if name not in self._said:
                _LOG.warning(note, part=name)
        for name in self._said.keys() - notes.keys():
            _LOG.info("well again", part=name)
        self._said = notes

    def _notes(self) -> dict[str, str]:
        """Return what is wrong now, a sentence a part."""
        live, pipeline = self._live, self._live.pipeline
        notes = dict(live.notes)
        notes |= live.enforcement.notes() if live.enforcement else {}
        for feed in live.feeds.status() if live.feeds else ():
            if feed.error:
                notes[f"feed {feed.name}"] = f"kept the last good one: {feed.error}"
        pager = live.pager
        said = {
            "incidents": pipeline.trouble, "history": self._history.degraded(),
            "intake": self._desk.note, "reports": self._papers.note,
            "escalation": (pager.note or pager.post.note) if pager else "",
            "roster": pipeline.roster_fault,
        }  # fmt: skip
        notes |= {name: note for name, note in said.items() if note}
        if live.logs:
            notes |= {f"logs {name}": note for name, note in live.logs.problems().items()}
        return notes
