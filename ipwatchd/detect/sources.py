"""A bounded table of what is known of each source, the least recently active one evicted first."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Growth", "Record", "Sources"]

_REPEAT: Final = 30_000_000_000  # ns between two reports of a thing that goes on
_SWEEP: Final = 4096  # records dropped at most in one sweep, so that no batch waits for it


class Record(Protocol):
    """What is known of a source: when it was last active (epoch ns), and how much it weighs."""

    last: int
    weight: int


T = TypeVar("T", bound=Record)


class Sources(Generic[T]):
    """Records by source, bounded in number and in weight.

    The attack both bounds stop: a sender with a new address in each packet, or many that each touch
    a great many targets, who would fill the memory.
    """

    def __init__(self, make: Callable[[int], T], limit: int, weight_limit: int) -> None:
        self._make = make
        self._limit = limit
        self._weight_limit = weight_limit
        self._records: OrderedDict[object, T] = OrderedDict()
        self.weight = 0
        self.shed = 0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[object]:
        return iter(self._records)

    def items(self) -> Iterator[tuple[object, T]]:
        """Return sources and records, the least recently active first."""
        return iter(self._records.items())

    def get(self, source: object) -> T | None:
        """Return the record of a source, if there is one; it counts as no activity."""
        return self._records.get(source)

    def active(self, source: object, time: int) -> T:
        """Return the record of a source that is active at `time` (epoch ns), made if need be."""
        record = self._records.get(source)
        if record is None:
            record = self._records[source] = self._make(time)
            if len(self._records) > self._limit:
                self._evict()
        else:
            self._records.move_to_end(source)
        record.last = max(record.last, time)
        return record

    def weigh(self, record: T, weight: int) -> None:
        """Note what a record weighs now, and make room where all are too much."""
        self.weight += weight - record.weight
        record.weight = weight
        while self.weight > self._weight_limit and len(self._records) > 1:
            self._evict()

    def drop(self, source: object) -> None:
        """Forget a source."""
        self.weight -= self._records.pop(source).weight

    def sweep(self, before: int) -> None:
        """Forget the sources that were last active before a time (epoch ns)."""
        for _ in range(_SWEEP):
            source = next(iter(self._records), None)
            if source is None or self._records[source].last >= before:
                return
            self.drop(source)

    def _evict(self) -> None:
        self.drop(next(iter(self._records)))
        self.shed += 1


class Growth:
    """When the same thing going on is worth another word: doubled, or grown and some time on."""

    __slots__ = ("count", "time")

    def __init__(self) -> None:
        self.count = 0
        self.time = 0

    def would(self, count: int, time: int) -> bool:
        """Tell whether `count` at `time` (epoch ns) is worth a report."""
        if count <= self.count:
            return False
        return not self.count or count >= 2 * self.count or time - self.time >= _REPEAT

    def due(self, count: int, time: int) -> bool:
        """Tell the same, and note that it is reported now."""
        if not self.would(count, time):
            return False
        self.count, self.time = count, time
        return True
