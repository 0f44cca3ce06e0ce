"""What every detector is, and what is held against it when the wire is hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

    Denied = Callable[[NDArray[np.uint64], NDArray[np.uint64]], NDArray[np.bool_]]

__all__ = ["Detector"]


class Detector(Protocol):
    """Flow batches and events in, findings out.

    What is detected follows from the times in flows and events alone, so that a replay finds the
    same; `now` (epoch seconds) only ends what is over. The same thing going on comes back with the
    same key, when it has grown. Tables are bounded; what they shed is counted.
    """

    rule: ClassVar[str]

    def flows(self, flows: NDArray[np.void], now: float) -> list[Finding]:
        """Take ended flows (dtype FLOW) with zones and direction filled in, by itself."""
        ...

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; all detectors are given one batch, so that they share what it costs."""
        ...

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take events of the same time."""
        ...

    def heard(self, lines: Mapping[str, int], now: float) -> None:
        """Take how many lines came from each source of logs, whatever they said."""
        ...

    def tick(self, now: float) -> list[Finding]:
        """Look at the clock: what should have come and did not."""
        ...

    def remember(self) -> Any:
        """Return what was learned and must survive a restart, of types that msgpack has."""
        ...

    def recall(self, learned: Any) -> None:
        """Take back what `remember` gave; ValueError, TypeError or KeyError where it is not."""
        ...

    def counters(self) -> dict[str, int]:
        """Return what status shows; names that end in `shed` count what had to be let go."""
        ...
