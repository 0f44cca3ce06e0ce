"""What the app knows of the daemon, and since when it has known nothing. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipwatchd.control.messages import InterfaceState, Status, Throughput, TopRow

__all__ = ["InterfaceRate", "Model"]

_ANSWERS: Final = 6
"""Answers over which rates are taken: the daemon itself hears of some sources each two seconds."""


@dataclass(frozen=True)
class InterfaceRate:
    """An interface and what went over it between the last answers; None: not known yet."""

    state: InterfaceState
    packets: float | None = None
    drops: int = 0


@dataclass
class Model:
    """The last answers. `lost_since` 0: the daemon answers."""

    status: Status | None = None
    interfaces: tuple[InterfaceRate, ...] = ()
    throughput: Sequence[Throughput] = ()
    top: Sequence[TopRow] = ()
    lost_since: float = 0.0
    lost_why: str = ""
    _skew: float = 0.0
    _before: deque[Status] = field(default_factory=lambda: deque(maxlen=_ANSWERS), repr=False)

    @property
    def stale(self) -> bool:
        """Whether what is shown is old because the daemon does not answer."""
        return self.lost_since > 0

    def now(self, here: float) -> float:
        """Return the daemon's time: a replayed capture or another machine has its own clock."""
        return here + self._skew

    def take_status(self, status: Status, here: float) -> None:
        """Note a new answer and work out each interface's rate from those before."""
        before = self.status
        if before is not None and (before.pid != status.pid or before.now > status.now):
            self._before.clear()
        elif before is not None and before.now < status.now:
            self._before.append(before)
        self.status = status
        self._skew = status.now - here
        self.interfaces = _rates(self._before[0] if self._before else None, status)

    def lost(self, why: str, here: float) -> bool:
        """Note that the daemon does not answer; True where that is news."""
        news = not self.stale
        if news:
            self.lost_since = here
        self.lost_why = why
        return news

    def found(self) -> bool:
        """Note that the daemon answers; True where that is news."""
        news = self.stale
        self.lost_since, self.lost_why = 0.0, ""
        return news


def _rates(before: Status | None, status: Status) -> tuple[InterfaceRate, ...]:
    if before is None or before.now >= status.now:
        return tuple(InterfaceRate(one, drops=one.drops) for one in status.interfaces)
    seconds = status.now - before.now
    earlier: Mapping[str, InterfaceState] = {one.name: one for one in before.interfaces}
    rates = []
    for one in status.interfaces:
        known = earlier.get(one.name)
        rate = max(one.packets - known.packets, 0) / seconds if known else None
        rates.append(InterfaceRate(one, rate, one.drops))
    return tuple(rates)
