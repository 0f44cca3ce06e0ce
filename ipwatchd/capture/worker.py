"""One interface's capture thread: its ring, its meter, and what it hands to the deliverer.

The thread never waits for anyone: what the deliverer does not take in time is dropped and counted.
"""

from __future__ import annotations

import queue
import select
import threading
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.counters import InterfaceCounters
from ipwatchd.capture.link_events import LinkEvents
from ipwatchd.capture.meter import Meter
from ipwatchd.capture.packet import PACKET, Batch
from ipwatchd.capture.ring_index import index_block
from ipwatchd.capture.ring_socket import RETIRE_MS, PacketRing

if TYPE_CHECKING:
    from ipwatchd.capture.meter import Yield
    from ipwatchd.config import CaptureSettings

__all__ = ["Worker"]

_PACKETS: Final = 16_384
_POLL_MS: Final = 250
_ERROR_NAP: Final = 0.1
_HAND_OVER: Final = 0.5
_CHECK: Final = 1.0
_LAG_NS: Final = 750_000_000
"""Idle time is counted to this long ago: packets of this age may still lie in the ring."""


class Worker(threading.Thread):
    """Captures from one interface until `stop`. `out` is bounded and read by the deliverer.

    An interface that is renamed is followed; one that vanishes is looked for by the name it had
    at the start. `group` and `metadata` are those of the ring (PacketRing).
    """

    def __init__(
        self, ring: PacketRing, iface: int, settings: CaptureSettings, out: queue.Queue[Yield],
        *, group: int = 0, metadata: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name=f"capture-{ring.name}", daemon=True)
        self.meter = Meter(settings)
        self.counters = InterfaceCounters(name=ring.name, state="up")
        self.deliveries_shed = 0
        self.error: Exception | None = None
        self._settings = settings
        self._iface = iface
        self._ring: PacketRing | None = ring
        self._out = out
        self._packets = np.zeros(_PACKETS, PACKET)
        self._name = ring.name
        self._group = group
        self._metadata = metadata
        self._links = LinkEvents()
        self._poll = select.poll()
        self._poll.register(self._links.fileno(), select.POLLIN)
        self._poll.register(ring.fileno(), select.POLLIN | select.POLLERR)
        self._finish = threading.Event()
        self._handed_over = self._checked = 0.0

    def stop(self) -> None:
        """Ask it to read what is in the ring, let every flow go and end."""
        self._finish.set()

    def run(self) -> None:
        """Capture until `stop`; what ends it before is kept in `error`."""
        try:
            self._capture()
        except Exception as error:  # noqa: BLE001 - the daemon reads `error` and ends with it
            self.error = error

    def _capture(self) -> None:
        """Walk the ring; look after the interface and the clock in between."""
        while not self._finish.is_set():
            worked = self._walk()
            now = time.monotonic()
            if now - self._handed_over >= _HAND_OVER:
                self._handed_over = now
                self.meter.advance(time.time_ns() - _LAG_NS)
                self._hand_over()
            if now - self._checked >= _CHECK:
                self._checked = now
                if self._ring is not None:
                    self._count_drops(self._ring)
                else:
                    self._return()
            if not worked:
                self._wait()
        self._drain_ring()
        while not self.meter.flush():
            self._hand_over()
        self._hand_over()
        if self._ring:
            self._count_drops(self._ring)
            self._ring.close()
        self._links.close()

    def _wait(self) -> None:
        """Sleep until a block is ready or something is told of an interface."""
        for number, event in self._poll.poll(_POLL_MS):
            if number == self._links.fileno():
                self._look_after()
            elif event & select.POLLERR and self._ring is not None:
                self._ring.settle()
                self._finish.wait(_ERROR_NAP)

    def _walk(self) -> bool:
        """Read ready blocks, at most one round of the ring; False where none was ready."""
        ring = self._ring
        if ring is None or not ring.ready():
            return False
        for _ in range(ring.blocks):
            if not ring.ready():
                break
            self._block(ring)
            ring.release()
            if time.monotonic() - self._handed_over >= _HAND_OVER:
                break
        return True

    def _block(self, ring: PacketRing) -> None:
        at, left = 0, -1
        while left:
            count, at, left = index_block(
                ring.data, ring.base(), ring.block_bytes, at, left, ring.link, self._iface,
                self._packets,
            )  # fmt: skip
            if count:
                self._feed(Batch(ring.data, self._packets[:count]))

    def _feed(self, batch: Batch) -> None:
        packets = batch.packets
        if not self.counters.first_packet:
            self.counters.first_packet = int(packets["ts"][0]) / 1e9
        self.counters.last_packet = int(packets["ts"][-1]) / 1e9
        self.counters.packets += len(packets)
        self.counters.bytes += int(packets["wire"].sum())
        done = self.meter.feed(batch)
        while done < len(packets):
            self._hand_over()
            done = self.meter.feed(batch, done)

    def _hand_over(self) -> None:
        """Give the deliverer what has gathered; where it lags behind, drop and count."""
        gathered = self.meter.drain()
        try:
            self._out.put_nowait(gathered)
        except queue.Full:
            self.deliveries_shed += len(gathered.rows) + len(gathered.taps.index)

    def _drain_ring(self) -> None:
        """Read what the kernel has finished; a block that it still fills retires soon."""
        if self._ring:
            time.sleep(RETIRE_MS / 1000 + 0.05)
            self._walk()

    def _count_drops(self, ring: PacketRing) -> None:
        self.counters.kernel_drops += ring.drops()

    def _look_after(self) -> None:
        """Follow the interface: down and up again, renamed, gone and back."""
        try:
            names = {change.name for change in self._links.read() if change.up and not change.gone}
        except OSError:
            names = {self._name}  # messages were dropped: it may be there
        if self._ring is not None:
            self._follow(self._ring)
        if self._ring is None and self._name in names:
            self._return()

    def _follow(self, ring: PacketRing) -> None:
        self._count_drops(ring)
        state = ring.state()
        if state == "missing":
            self._poll.unregister(ring.fileno())
            ring.close()
            self._ring = None
        if state != "up" and self.counters.state == "up":
            self.counters.times_lost += 1
        self.counters.state = state
        self.counters.name = ring.name

    def _return(self) -> None:
        try:
            self._ring = PacketRing(
                self._name, self._settings, group=self._group, metadata=self._metadata
            )
        except OSError:
            return  # it is gone again, or there is no memory for a ring: a second later once more
        self._poll.register(self._ring.fileno(), select.POLLIN | select.POLLERR)
        self.counters.state = "up"
        self.counters.name = self._name
