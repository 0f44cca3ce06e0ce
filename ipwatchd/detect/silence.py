"""Silence: a log or a sensor that gave records steadily and has stopped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.detect.about import About, House, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["Silence"]

_SOURCES: Final = 1024  # a forged syslog sender may name a new source in each line
_WIRE: Final = "packet capture"


def _written(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S} UTC"


class _Heard:
    """Arrivals of one source, by our own clock (epoch s)."""

    __slots__ = ("absent", "count", "last", "longest", "pause", "told")

    def __init__(self, now: float) -> None:
        self.last = now
        self.longest = 0.0
        self.count = 0
        self.told = 0.0
        """Seconds of quiet that were told of last; 0 while it speaks."""
        self.pause = 0.0
        """The silence before that was told of: when one as long comes again it is a habit."""
        self.absent = False
        """Known from before a restart, and not heard since."""


class Silence(Rule):
    """Detector of the rule silence."""

    rule = "silence"
    section = "silence"
    about = About(
        "A source went quiet",
        "outage",
        "A log or the capture, which gave lines or flows steadily, has given none for several "
        "times its longest pause: a cable, a full disk, a stopped service, or somebody who covers "
        "tracks. It is told again when the silence has lasted twice as long.",
        "See whether the source still runs and writes; `ipwatchctl doctor` shows capture and logs.",
        "`least` seconds and `factor` times the longest pause seen; `enough` lines before a "
        "source counts as steady. A silence that comes a second time is a pause from then on.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        self._one = settings.silence
        self._heard: dict[str, _Heard] = {}
        self._counted: set[str] = set()
        self._shed = 0

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Note that the wire spoke."""
        if len(batch):
            self._hear(_WIRE, len(batch), now)
        return []

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Note which logs spoke, where nobody counts their lines (replay)."""
        counts: dict[str, int] = {}
        for event in events:
            if event.source and event.source not in self._counted:
                counts[event.source] = counts.get(event.source, 0) + 1
        for source, count in counts.items():
            self._hear(source, count, now)
        return []

    def heard(self, lines: Mapping[str, int], now: float) -> None:
        """Note which logs were written to, whatever their lines said."""
        for source, count in lines.items():
            if len(self._counted) < _SOURCES:
                self._counted.add(source)
            self._hear(source, count, now)

    def tick(self, now: float) -> list[Finding]:
        """Return a finding for each source that is quiet for too long, and for twice as long."""
        found = []
        for source, one in self._heard.items():
            limit = max(self._one.least, self._one.factor * one.longest)
            quiet = now - one.last
            if one.absent or one.count < self._one.enough or quiet < max(limit, 2 * one.told):
                continue
            one.told = quiet
            found.append(self.finding(
                source, f"nothing has come from {source} since {_written(one.last)}",
                seen=(one.last, now), count=1, severity="medium", value=round(quiet),
                threshold=round(limit), score=0.7,
                evidence={"last": one.last, "longest_pause_before": round(one.longest, 1),
                          "records_before": one.count},
            ))  # fmt: skip
        return found

    def counters(self) -> dict[str, int]:
        """Return sources known, and those that found no room."""
        return {"sources": len(self._heard), "sources_shed": self._shed}

    def remember(self) -> Any:
        """Return each source's steadiness; the time we were away is not its silence."""
        return [[name, one.count, one.longest, one.pause] for name, one in self._heard.items()]

    def recall(self, learned: Any) -> None:
        """Take back what was learned; a source counts again from when it speaks again."""
        for name, count, longest, *pause in learned:
            one = _Heard(0.0)
            one.count, one.longest, one.absent = int(count), float(longest), True
            one.pause = float(pause[0]) if pause else 0.0
            self._heard[str(name)] = one

    def _hear(self, source: str, count: int, now: float) -> None:
        one = self._heard.get(source)
        if one is None:
            if len(self._heard) >= _SOURCES:
                self._shed += 1
                return
            one = self._heard[source] = _Heard(now)
        quiet = now - one.last
        if one.told:
            one.longest = max(one.longest, min(one.pause, quiet))
            one.pause = quiet
        elif not one.absent:
            one.longest = max(one.longest, quiet)
        one.told, one.absent = 0.0, False
        one.last = max(one.last, now)
        one.count += count
