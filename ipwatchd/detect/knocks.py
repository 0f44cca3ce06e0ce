"""What one source knocked at so far: the record behind port-scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ipwatchd.detect.porch import Waited
    from ipwatchd.detect.sources import Growth

__all__ = ["NOTHING", "SAMPLE", "Knocks", "recall", "remember"]

SAMPLE: Final = 20  # targets and ports named in a finding
NOTHING: Final[frozenset[int]] = frozenset()


class Knocks:
    """What one source tried: distinct targets in this window and the one before."""

    __slots__ = (
        "began", "failed", "failed_before", "flows", "growth", "last", "look_at", "sample",
        "started", "talked", "talked_before", "weight",
    )  # fmt: skip

    def __init__(self, time: int) -> None:
        self.began = self.started = self.last = time
        self.weight = 0
        self.failed: set[int] = set()
        self.failed_before: AbstractSet[int] = NOTHING
        self.talked: set[int] | None = None
        self.talked_before: AbstractSet[int] = NOTHING
        self.flows = 0
        self.look_at = 0
        self.sample: list[tuple[int, int]] = []
        self.growth: Growth | None = None

    def turn(self, time: int, window: int) -> None:
        """Begin a new window where the old one is over."""
        gone = time - self.began
        if gone < window:
            return
        fresh = gone < 2 * window
        self.failed_before = self.failed if fresh else NOTHING
        self.talked_before = (self.talked or NOTHING) if fresh else NOTHING
        self.failed, self.talked = set(), None
        self.began = time

    def size(self) -> int:
        """Return how many targets are kept."""
        return (
            len(self.failed) + len(self.failed_before)
            + len(self.talked or ()) + len(self.talked_before)
        )  # fmt: skip


def recall(record: Knocks, held: Waited, window: int) -> None:
    """Take over what was held: the first targets."""
    record.turn(held.began, window)
    if not record.flows:
        record.began, record.started = held.began, held.started
    record.failed.update(held.targets[: held.tried])
    record.flows += held.flows
    record.started = min(record.started, held.started)
    hosts = zip(held.hi[: held.tried], held.lo[: held.tried], strict=True)
    remember(record.sample, list(hosts))


def remember(sample: list[tuple[int, int]], hosts: list[tuple[int, int]]) -> None:
    """Keep some of the responders that a source tried."""
    for host in hosts:
        if host not in sample and len(sample) < SAMPLE:
            sample.append(host)
