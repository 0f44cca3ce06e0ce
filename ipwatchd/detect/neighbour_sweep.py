"""A machine that asks for neighbours one after the other: a sweep of the LAN below IP."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.tally import Tallies
from ipwatchd.records.event import Arp, Ndp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.tally import Tally
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["NeighbourSweep"]

_VALUES: Final = 1024
_UNANSWERED: Final = 0.5  # of those asked for; a router mostly asks for who is there


class NeighbourSweep(Rule):
    """Detector of the rule neighbour-sweep."""

    rule = "neighbour-sweep"
    section = "neighbour_sweep"
    about = About(
        "Sweep of the LAN (ARP, NDP)",
        "scanner",
        "One machine asked for many neighbours in a short time, most of whom are not there: it "
        "looks who is on the LAN. Firewalls do not see it.",
        "Look at the machine. An inventory or printer search belongs under [[expected]].",
        "`targets` asked for within `window`, more than half of them without an answer. A "
        "gateway that is scanned from outside asks as well: see port-scan.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.neighbour_sweep
        self._one = one
        window, quiet = round(one.window * 1e9), round(settings.quiet * 1e9)
        self._askers = Tallies(settings.sources, _VALUES, window, quiet)
        self._there = Tallies(1, 65_536, 3_600_000_000_000, 3_600_000_000_000)

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take questions and claims; a finding for each machine that asks for too many."""
        found = []
        for event in events:
            if not isinstance(event, (Arp, Ndp)):
                continue
            time = round(event.ts * 1e9)
            if event.address:
                self._there.note("lan", event.address, time)
            if event.operation not in {"request", "solicitation"} or not event.mac:
                continue
            if event.target and event.target != event.address:
                tally = self._askers.note(event.mac, event.target, time)
                finding = self._judge(event, tally)
                if finding is not None:
                    found.append(finding)
        self._askers.end(now)
        return found

    def counters(self) -> dict[str, int]:
        """Return askers held, and those that had to make room."""
        return {"askers": len(self._askers), "askers_shed": self._askers.shed}

    def _judge(self, event: Arp | Ndp, tally: Tally) -> Finding | None:
        asked = len(tally.values)
        if asked < self._one.targets or not tally.growth.would(tally.count, tally.last):
            return None
        lan = self._there.get("lan")
        there = lan.values if lan else {}
        absent = sum(target not in there for target in tally.values)
        if absent < _UNANSWERED * asked or absent < self._one.targets:
            return None
        tally.growth.due(tally.count, tally.last)
        subject = event.address or event.mac
        return self.finding(
            subject,
            f"{subject} ({event.mac}) asked the LAN for {asked} neighbours, {absent} absent",
            seen=(tally.started / 1e9, tally.last / 1e9), count=tally.count, severity="medium",
            value=absent, threshold=self._one.targets,
            targets=sorted(list(tally.values)[:20], key=_order),
            evidence={
                "asked": asked, "absent": absent, "at_least": asked >= _VALUES, "mac": event.mac,
                "window": self._one.window, "direction": "internal",
            },
        )  # fmt: skip


def _order(text: str) -> tuple[int, int]:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return (0, 0)
    return (address.version, int(address))
