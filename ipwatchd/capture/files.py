"""Capture files → deliveries, on the capture's own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.counters import FileReport
from ipwatchd.capture.delivery import Capture, CaptureFileError
from ipwatchd.capture.dissect import Dissector
from ipwatchd.capture.merge import Merge
from ipwatchd.capture.meter import Meter
from ipwatchd.capture.rich.door import Rich
from ipwatchd.records.flow import empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from ipwatchd.capture.blocks import BlockReader
    from ipwatchd.capture.packet import Batch
    from ipwatchd.config import CaptureSettings
    from ipwatchd.records.event import AnyEvent

__all__ = ["FileCapture", "read_files"]

_ROWS: Final = 32_768
"""Flows that a delivery gathers at most, plus what one drain adds."""
_EVENTS: Final = 8_192
_CLOCK_STEP: Final = 10_000_000_000
"""A delivery is due when the capture's clock moved on by this many ns and something is there."""


def read_files(
    paths: Sequence[Path],
    settings: CaptureSettings,
    *,
    progress: Callable[[int, int], None] | None = None,
    dissect: bool = True,
) -> FileCapture:
    """Read capture files as one stream, packet by packet in the order of time.

    The result is iterated once; the last delivery holds every flow still open. Its `report` grows
    while it is iterated. `progress` is told bytes read and bytes in all. Raises CaptureFileError
    with a sentence where a file is missing, empty or no capture; what a cut-off or damaged file
    still holds is delivered and the rest is a warning in the report.
    """
    return FileCapture(paths, settings, progress=progress, dissect=dissect)


class FileCapture:
    """An iterator of deliveries over capture files; see `read_files`."""

    def __init__(
        self,
        paths: Sequence[Path],
        settings: CaptureSettings,
        *,
        progress: Callable[[int, int], None] | None = None,
        dissect: bool = True,
    ) -> None:
        self.report = FileReport()
        self._paths = list(paths)
        self._merge = Merge(self._paths, self._close)
        self._progress = progress
        self._meter = Meter(settings, taps=dissect, wait=True)
        per_second = settings.rich_per_second if dissect else 0
        self._rich = Rich(per_second, wait=True) if per_second else None
        self._dissector = self._made(settings) if dissect else None
        self._flows: list[NDArray[np.void]] = []
        self._events: list[AnyEvent] = []
        self._rows = 0
        self._delivered_at = 0
        self._deliveries = self._run()

    def _made(self, settings: CaptureSettings) -> Dissector:
        return Dissector(rich=self._rich, paths=settings.http_path)

    @property
    def interfaces(self) -> Sequence[str]:
        """Return the names that `iface` of the flows indexes; "" is one without. It grows."""
        return self._merge.interfaces

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Capture:
        return next(self._deliveries)

    def _run(self) -> Iterator[Capture]:
        try:
            yield from self._read()
        finally:
            if self._rich:
                self._rich.close()

    def _read(self) -> Iterator[Capture]:
        total = _bytes_of(self._paths)
        for batch in self._merge.batches():
            yield from self._feed(batch)
            if self._progress:
                self._progress(self._merge.bytes_read, total)
        while not self._meter.flush():
            self._take()
            if self._rows >= _ROWS:
                yield self._deliver()
        self._take()
        if self._dissector:
            self._events.extend(self._dissector.finish())
        self._count()
        yield self._deliver()

    def _feed(self, batch: Batch) -> Iterator[Capture]:
        done = 0
        while True:
            done = self._meter.feed(batch, done)
            if done == len(batch.packets):
                break
            self._take()
            if self._full():
                yield self._deliver()
        if self._meter.waiting and self._meter.clock - self._delivered_at >= _CLOCK_STEP:
            self._take()
            if self._full() or self._dissector:
                yield self._deliver()

    def _full(self) -> bool:
        return self._rows >= _ROWS or len(self._events) >= _EVENTS

    def _take(self) -> None:
        gathered = self._meter.drain()
        if len(gathered.rows):
            self._flows.append(gathered.flows())
            self._rows += len(gathered.rows)
        if self._dissector is not None and len(gathered.taps.index):
            self._events.extend(self._dissector.feed(gathered.taps))

    def _deliver(self) -> Capture:
        flows = np.concatenate(self._flows) if self._flows else empty_flows()
        events = self._events
        self._flows, self._events, self._rows = [], [], 0
        self._delivered_at = self._meter.clock
        self._count()
        return Capture(flows, events, self._meter.clock / 1e9)

    def _count(self) -> None:
        counted = self._meter.counters()
        for name in (
            "packets", "bytes", "flows", "flows_evicted", "flows_collapsed", "flows_shed",
            "events_shed", "malformed", "not_ip",
        ):  # fmt: skip
            setattr(self.report, name, counted[name])
        if self._dissector is not None:
            self.report.dissect = self._dissector.counters
        if self._rich:
            self.report.rich = self._rich.counters

    def _close(self, reader: BlockReader) -> None:
        report = self.report
        report.files += 1
        report.bytes_read += reader.bytes_read
        report.truncated += reader.truncated
        report.damaged += reader.damaged
        report.unsupported += reader.unsupported
        if reader.warning:
            report.warnings.append(reader.warning)


def _bytes_of(paths: Sequence[Path]) -> int:
    """Return the size of all files; what can't be read is said when it is opened."""
    if any(str(path) == "-" for path in paths):
        if len(paths) > 1:
            raise CaptureFileError("- is standard input: read it alone, it can't be merged")
        return 0
    pipe = next((path for path in paths if path.is_fifo()), None)
    if pipe and len(paths) > 1:
        raise CaptureFileError(f"{pipe} is a pipe: read it alone, it can't be merged")
    return sum(path.stat().st_size for path in paths if path.exists())
