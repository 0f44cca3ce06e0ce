"""What every rule is: what it says of itself, and what it does unless it says otherwise."""

from __future__ import annotations

import ipaddress
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

from ipwatchd.detect.facts import Batch
from ipwatchd.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.records.agent import Agent
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.place import Place

__all__ = ["About", "House", "Rule"]


class About(NamedTuple):
    """A rule for people: docs/detectors.md is made of this."""

    title: str
    classification: str
    means: str
    todo: str
    tune: str


def _no_gateways() -> Mapping[str, tuple[tuple[str, ...], str]]:
    return {}


def _nowhere(address: str) -> Place | None:
    del address
    return None


class House(NamedTuple):
    """What detectors know of the site beside the traffic.

    `gateways` returns address → (MACs that answer for it, none where that is not known, why it is a
    gateway), as of now.
    """

    place: Callable[[str], Place | None] = _nowhere
    agents: Mapping[str, Agent] = MappingProxyType({})
    gateways: Callable[[], Mapping[str, tuple[tuple[str, ...], str]]] = _no_gateways

    def inside(self, address: str) -> bool:
        """Tell whether an address is ours; without zones the private ones are."""
        place = self.place(address)
        if place is not None and place.zone:
            return place.zone != "internet"
        try:
            return not ipaddress.ip_address(address).is_global
        except ValueError:
            return False


class Rule:
    """A detector that sees nothing; each overrides what it looks at (detector.Detector)."""

    rule: ClassVar[str]
    section: ClassVar[str]
    about: ClassVar[About]

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        """Take the thresholds, and what is known of the site."""

    @final
    def flows(self, flows: NDArray[np.void], now: float) -> list[Finding]:
        """Take ended flows with zones and direction filled in, by itself."""
        return self.batch(Batch(flows), now)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; other rules are given the same batch."""
        del batch, now
        return []

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take events of the same time."""
        del events, now
        return []

    def heard(self, lines: Mapping[str, int], now: float) -> None:
        """Take how many lines came from each source of logs, whatever they said."""
        del lines, now

    def tick(self, now: float) -> list[Finding]:
        """Look at the clock: what should have come and did not."""
        del now
        return []

    def counters(self) -> dict[str, int]:
        """Return what status shows; names that end in `shed` count what had to be let go."""
        return {}

    def remember(self) -> Any:
        """Return what was learned and must survive a restart, of types that msgpack has."""
        return None

    def recall(self, learned: Any) -> None:
        """Take back what `remember` gave."""

    def finding(
        self, subject: str, title: str, *, seen: tuple[float, float], count: int, severity: str,
        value: float, threshold: float, evidence: dict[str, Any], targets: Sequence[str] = (),
        detail: str = "", score: float = -1.0, classification: str = "",
    ) -> Finding:  # fmt: skip
        """Return a finding of this rule; `detail` tells two things of one subject apart."""
        if score < 0:
            score = round(1 - math.exp2(-value / threshold), 3) if threshold else 0.5
        return Finding(
            rule=self.rule, subject=subject, title=title,
            key=f"{self.rule}|{subject}|{detail}" if detail else f"{self.rule}|{subject}",
            first_seen=seen[0], last_seen=seen[1], count=count, severity=severity,
            classification=classification or self.about.classification, score=score,
            value=float(value), threshold=float(threshold), targets=tuple(targets),
            evidence=evidence,
        )  # fmt: skip
