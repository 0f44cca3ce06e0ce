"""The ring source: capture threads for each interface, and one that dissects and delivers."""

from __future__ import annotations

import queue
import secrets
import threading
import time
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from ipwatchd.capture.ahead import load_live
from ipwatchd.capture.counters import CaptureCounters, InterfaceCounters
from ipwatchd.capture.delivery import Capture
from ipwatchd.capture.dissect import DissectCounters, Dissector
from ipwatchd.capture.rich.door import Rich
from ipwatchd.capture.ring_socket import PacketRing
from ipwatchd.capture.worker import Worker
from ipwatchd.records.flow import empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.capture.meter import Yield
    from ipwatchd.config import CaptureSettings

__all__ = ["Ring"]

_QUEUE: Final = 64
"""Drains that may wait for the deliverer, each of at most 8,192 rows and 4 MiB of payload: a
pipeline that hangs can't make us hold more than this."""
_EVERY: Final = 0.5
_LAG: Final = 5.0
"""Seconds that a payload may take from the wire to us: what is older has come if nothing comes."""


class Ring:
    """Captures from interfaces of the calling thread's network namespace.

    `deliver` is called from one thread of ours, at least once a second, with the wall clock in
    `now`. `Capture.flows["iface"]` indexes `interfaces`. A `deliver` that raises stops capturing:
    its exception is raised by `stop`. `metadata` takes only packets that carry metadata or open a
    connection: the flows are then no more than that.
    """

    def __init__(
        self,
        interfaces: Sequence[str],
        settings: CaptureSettings,
        deliver: Callable[[Capture], None],
        *,
        metadata: bool = False,
    ) -> None:
        self.interfaces = tuple(interfaces)
        self._error: Exception | None = None
        self._settings = settings
        self._deliver = deliver
        self._metadata = metadata
        self._queue: queue.Queue[Yield] = queue.Queue(_QUEUE)
        self._workers: list[list[Worker]] = []
        per_second = settings.rich_per_second
        self._rich = Rich(per_second) if per_second else None
        self._dissector = Dissector(rich=self._rich, paths=settings.http_path)
        self._dissected = DissectCounters()
        self._stopping = threading.Event()
        self._deliverer = threading.Thread(target=self._run, name="capture-deliver", daemon=True)

    def start(self) -> None:
        """Open every interface, then capture.

        Raises CaptureInterfaceError where one is missing or down, PermissionError without
        CAP_NET_RAW; nothing is left open then.
        """
        # Compiling takes seconds where no cache is, and a ring's blocks are full after a few:
        # nothing is open before the code is there.
        load_live()
        threads = self._settings.threads
        # Chance makes groups that another process may have: that would be refused, not shared.
        groups = [secrets.randbelow(0xFFFF) + 1 if threads > 1 else 0 for _ in self.interfaces]
        rings = self._open(groups)
        share = max(self._settings.flows // threads, 1024)
        settings = msgspec.structs.replace(self._settings, flows=share)
        self._workers = [
            [
                Worker(ring, iface, settings, self._queue, group=group, metadata=self._metadata)
                for ring in rings[iface * threads : (iface + 1) * threads]
            ]
            for iface, group in enumerate(groups)
        ]
        self._deliverer.start()
        for worker in self._every_worker():
            worker.start()

    def _open(self, groups: Sequence[int]) -> list[PacketRing]:
        """Open a ring for each thread of each interface, or none."""
        rings: list[PacketRing] = []
        try:
            for name, group in zip(self.interfaces, groups, strict=True):
                rings.extend(
                    PacketRing(name, self._settings, group=group, metadata=self._metadata)
                    for _ in range(self._settings.threads)
                )
        except BaseException:
            for ring in rings:
                ring.close()
            raise
        return rings

    def _every_worker(self) -> list[Worker]:
        return [worker for group in self._workers for worker in group]

    @property
    def error(self) -> Exception | None:
        """What made capturing end before `stop`: of `deliver` or of a thread that reads a ring."""
        return self._error or next(
            (worker.error for worker in self._every_worker() if worker.error), None
        )

    def stop(self) -> None:
        """Read what the rings still hold, deliver every flow, and return when that is done.

        Raises `error`.
        """
        for worker in self._every_worker():
            worker.stop()
        for worker in self._every_worker():
            worker.join()
        self._stopping.set()
        if self._deliverer.is_alive():
            self._deliverer.join()
        if self.error is not None:
            raise self.error

    def counters(self) -> CaptureCounters:
        """Return the sums over all interfaces; from any thread."""
        total = CaptureCounters(dissect=self._dissected)
        if self._rich:
            total.rich = self._rich.counters
        for worker in self._every_worker():
            counted = worker.meter.counters()
            for name in (
                "packets", "bytes", "flows", "flows_evicted", "flows_collapsed", "flows_shed",
                "events_shed",
                "malformed", "not_ip",
            ):  # fmt: skip
                setattr(total, name, getattr(total, name) + counted[name])
            total.flows_live += counted["live"]
            total.deliveries_shed += worker.deliveries_shed
            total.kernel_drops += worker.counters.kernel_drops
        total.interfaces = [_joined([one.counters for one in group]) for group in self._workers]
        return total

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() or not self._queue.empty():
                self._deliver(self._gather())
            self._deliver(Capture(empty_flows(), self._dissector.finish(), time.time()))
        except Exception as error:  # noqa: BLE001 - handed to whoever stops us, see `stop`
            self._error = error
            for worker in self._every_worker():
                worker.stop()
        finally:
            if self._rich:
                self._rich.close()

    def _gather(self) -> Capture:
        """Collect what the workers hand over for a while; a quiet wire gives an empty delivery."""
        flows = [empty_flows()]
        events = []
        quiet = True
        until = time.monotonic() + _EVERY
        for _ in range(_QUEUE):
            left = until - time.monotonic()
            if left <= 0 or (self._stopping.is_set() and self._queue.empty()):
                break
            try:
                gathered = self._queue.get(timeout=min(left, _EVERY / 2))
            except queue.Empty:
                continue
            if len(gathered.rows):
                flows.append(gathered.flows())
            if len(gathered.taps.index):
                quiet = False
                events.extend(self._dissector.feed(gathered.taps))
        events.extend(self._dissector.answers(time.time() - _LAG if quiet else None))
        self._dissected = self._dissector.counters
        return Capture(np.concatenate(flows), events, time.time())


def _joined(shares: list[InterfaceCounters]) -> InterfaceCounters:
    """Return one interface's numbers from those of the threads that share it."""
    first, *others = shares
    if not others:
        return first
    began = [one.first_packet for one in shares if one.first_packet]
    return msgspec.structs.replace(
        first,
        packets=sum(one.packets for one in shares),
        bytes=sum(one.bytes for one in shares),
        kernel_drops=sum(one.kernel_drops for one in shares),
        first_packet=min(began, default=0.0),
        last_packet=max(one.last_packet for one in shares),
    )
