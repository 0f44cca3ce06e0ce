"""What waits in memory: for the next transaction, and for the next segment. Bounded, no I/O."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.records.flow import NO_ZONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.records.event import AnyEvent

__all__ = ["Buffer", "ZoneNames"]

# Each is what a full disk or a flood may fill the memory with: 120 bytes a flow, about 1 kB an
# event, two columns of flows.
MAX_FLOWS: Final = 1_000_000
MAX_EVENTS: Final = 100_000
MAX_CHANGES: Final = 100_000


class ZoneNames:
    """Zone indices that stay true when the configuration's zones change: names are only added."""

    def __init__(self, zones: Sequence[str]) -> None:
        self.names: list[str] = []
        self._same = True
        self._to_ours = np.zeros(0, np.uint16)
        self.rename(zones)

    def rename(self, zones: Sequence[str]) -> None:
        """Take indices to mean these zones from now on."""
        self.names += [zone for zone in zones if zone not in self.names]
        to_ours = np.full(0x10000, NO_ZONE, np.uint16)
        to_ours[: len(zones)] = [self.names.index(zone) for zone in zones]
        self._to_ours = to_ours
        self._same = list(zones) == self.names[: len(zones)]

    def own(self, flows: NDArray[np.void]) -> NDArray[np.void]:
        """Return flows with our indices: as they are, or a copy."""
        if self._same:
            return flows
        copy = flows.copy()
        for side in ("orig_zone", "resp_zone"):
            copy[side] = self._to_ours[flows[side]]
        return copy


class Buffer:
    """Flows, events and list changes between two flushes, and flows between two segments."""

    def __init__(self) -> None:
        self.flows: deque[NDArray[np.void]] = deque()
        self.unsealed: deque[NDArray[np.void]] = deque()
        self.events: deque[AnyEvent] = deque()
        self.changes: deque[tuple[object, ...]] = deque()
        self.flow_rows = 0
        self.unsealed_rows = 0
        self.shed: dict[str, int] = {}

    def let_go(self, what: str, count: int) -> None:
        """Count what was shed."""
        if count:
            self.shed[what] = self.shed.get(what, 0) + count

    def add_flows(self, flows: NDArray[np.void], *, archive: bool) -> None:
        """Take flows; those above a bound are shed, the ones that wait are kept."""
        fits = flows[: max(0, MAX_FLOWS - self.flow_rows)]
        self.let_go("flows", len(flows) - len(fits))
        if len(fits):
            self.flows.append(fits)
            self.flow_rows += len(fits)
        fits = flows[: max(0, MAX_FLOWS - self.unsealed_rows) if archive else 0]
        self.let_go("flows_not_archived", len(flows) - len(fits))
        if len(fits):
            self.unsealed.append(fits)
            self.unsealed_rows += len(fits)

    def add_events(self, events: Sequence[AnyEvent]) -> None:
        """Take events up to the bound."""
        room = max(0, MAX_EVENTS - len(self.events))
        self.events.extend(events[:room])
        self.let_go("events", len(events) - room if len(events) > room else 0)

    def add_change(self, change: tuple[object, ...]) -> None:
        """Take a list change up to the bound."""
        if len(self.changes) < MAX_CHANGES:
            self.changes.append(change)
        else:
            self.let_go("list_changes", 1)

    def drop_flows(self, batches: int) -> None:
        """Forget the oldest batches: they are in the database."""
        for _ in range(batches):
            self.flow_rows -= len(self.flows.popleft())

    def drop_events(self, count: int, *, kept: bool) -> None:
        """Forget the oldest events, written or, where the disk has no room, not."""
        for _ in range(count):
            self.events.popleft()
        self.let_go("events", 0 if kept else count)

    def drop_changes(self, count: int) -> None:
        """Forget the oldest list changes: they are in the database."""
        for _ in range(count):
            self.changes.popleft()

    def drop_unsealed(self, batches: int) -> None:
        """Forget the oldest batches: they are in a segment."""
        for _ in range(batches):
            self.unsealed_rows -= len(self.unsealed.popleft())
