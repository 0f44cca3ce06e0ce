"""Several capture files as one stream of packets in the order of their times.

What is read ahead is a batch of each file that is open; files are opened when their time comes.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.blocks import BlockReader, Interfaces
from ipwatchd.capture.packet import PACKET, Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Merge"]

_OPEN: Final = 64
"""Files read at the same time, each with its buffer of 1 to 4 MB; more than these of one time are
read by the order of their first packets."""


class _Source:
    """A file and where in its current batch we are. `clock` never goes back."""

    def __init__(self, path: Path, interfaces: Interfaces) -> None:
        self.reader = BlockReader(path, interfaces)
        self._batches = self.reader.batches()
        self._data = np.zeros(0, np.uint8)
        self._packets = np.zeros(0, PACKET)
        self._clock = np.zeros(0, np.int64)
        self._at = 0

    def fill(self) -> bool:
        """Have packets at hand; False at the file's end."""
        while self._at >= len(self._packets):
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._data, self._packets = batch
            self._clock = np.maximum.accumulate(self._packets["ts"])
            self._at = 0
        return True

    @property
    def last(self) -> int:
        """The time of the last packet at hand, epoch ns."""
        return int(self._clock[-1])

    def rest(self) -> Batch:
        """Take all that is at hand."""
        rest = self._packets[self._at :]
        self._at = len(self._packets)
        return Batch(self._data, rest)

    def until(self, time: int) -> tuple[NDArray[np.uint8], NDArray[np.void], NDArray[np.int64]]:
        """Take what is not later than `time`: the bytes, the packets in them, their times."""
        end = int(np.searchsorted(self._clock, time, side="right"))
        packets, clock = self._packets[self._at : end].copy(), self._clock[self._at : end]
        self._at = max(self._at, end)
        if not len(packets):
            return self._data[:0], packets, clock
        first = int(packets["at"].min())
        last = int((packets["at"] + packets["captured"]).max())
        packets["at"] -= first
        return self._data[first:last], packets, clock

    def close(self) -> None:
        """Close the file, wherever in it we are."""
        self._batches.close()


class Merge:
    """Iterate `batches()` once. `closed` is called with each reader when its file was read.

    `interfaces` are the names that `iface` of the packets indexes; it grows.
    """

    def __init__(self, paths: Sequence[Path], closed: Callable[[BlockReader], None]) -> None:
        self.interfaces = Interfaces()
        self._closed = closed
        self._done = 0
        self._open: list[_Source] = []
        self._paths = list(paths)

    @property
    def bytes_read(self) -> int:
        """Bytes read of all files up to now."""
        return self._done + sum(source.reader.bytes_read for source in self._open)

    def batches(self) -> Iterator[Batch]:
        """Yield packets; each Batch is valid until the next is asked for."""
        single = len(self._paths) < 2
        times = [(0 if single else _first_time(path), path) for path in self._paths]
        waiting = sorted(times, key=lambda one: one[0], reverse=True)
        try:
            while waiting or self._open:
                self._admit(waiting)
                if self._open:
                    yield self._next()
        finally:
            for source in self._open:
                source.close()

    def _admit(self, waiting: list[tuple[int, Path]]) -> None:
        """Open every file whose first packet comes before the end of what is at hand."""
        self._open = [source for source in self._open if self._filled(source)]
        while waiting and len(self._open) < _OPEN:
            if self._open and waiting[-1][0] > min(source.last for source in self._open):
                return
            source = _Source(waiting.pop()[1], self.interfaces)
            if self._filled(source):
                self._open.append(source)

    def _filled(self, source: _Source) -> bool:
        if source.fill():
            return True
        self._done += source.reader.bytes_read
        self._closed(source.reader)
        return False

    def _next(self) -> Batch:
        if len(self._open) == 1:
            return self._open[0].rest()
        horizon = min(source.last for source in self._open)
        parts = [source.until(horizon) for source in self._open]
        at = 0
        for data, packets, _ in parts:
            packets["at"] += at
            at += len(data)
        order = np.argsort(np.concatenate([clock for *_, clock in parts]), kind="stable")
        return Batch(
            np.concatenate([data for data, *_ in parts]),
            np.concatenate([packets for _, packets, _ in parts])[order],
        )


def _first_time(path: Path) -> int:
    with closing(BlockReader(path).batches()) as batches:
        first = next(batches, None)
    return int(first.packets["ts"][0]) if first else 0
