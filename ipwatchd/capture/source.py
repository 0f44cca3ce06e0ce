"""A router's two sources as one: connection tracking for flows, the ring for what it can't know."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec

from ipwatchd.capture.conntrack import Conntrack
from ipwatchd.capture.conntrack_lookup import Lookup
from ipwatchd.capture.delivery import Capture
from ipwatchd.capture.openings import Openings
from ipwatchd.capture.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ipwatchd.capture.choice import Choice
    from ipwatchd.capture.counters import CaptureCounters
    from ipwatchd.config import CaptureSettings

__all__ = ["Routed", "Source", "open_source"]


class Routed:
    """Flows from connection tracking; events and dropped openings from the ring.

    The ring takes only packets that carry metadata or open something. Of its flows those are told
    that connection tracking does not know, so that none is told twice. Used as a Ring.
    """

    def __init__(
        self,
        interfaces: Sequence[str],
        settings: CaptureSettings,
        deliver: Callable[[Capture], None],
        state_dir: Path | None = None,
    ) -> None:
        self.interfaces = tuple(interfaces)
        self._settings = settings
        self._deliver = deliver
        self._lock = threading.Lock()
        self._conntrack = Conntrack(settings, self._put_flows, state_dir)
        # A router forwards what is addressed to it: other hosts' packets are not its connections.
        # A datagram without an answer is told as soon as a SYN without one.
        silence = min(settings.udp_timeout, settings.tcp_attempt_timeout)
        tap = msgspec.structs.replace(settings, promiscuous=False, udp_timeout=silence)
        self._ring = Ring(interfaces, tap, self._put_tap, metadata=True)
        self._lookup: Lookup | None = None
        self._openings: Openings | None = None

    def _put(self, capture: Capture) -> None:
        with self._lock:
            self._deliver(capture)

    def _put_flows(self, capture: Capture) -> None:
        if self._openings is not None:
            self._openings.told(capture.flows, time.monotonic())
        self._put(capture)

    def _put_tap(self, capture: Capture) -> None:
        if self._openings is None:
            return
        now = time.monotonic()
        self._openings.seen(capture.flows, now)
        flows = self._openings.due(now)
        if capture.events or len(flows):
            self._put(Capture(flows, capture.events, capture.now))

    def start(self) -> None:
        """Start both. Raises what either raises; nothing runs then."""
        self._lookup = Lookup()
        try:
            self._openings = Openings(self._settings, self._lookup.known)
            self._conntrack.start()
            try:
                self._ring.start()
            except BaseException:
                self._conntrack.stop()
                raise
        except BaseException:
            self._lookup.close()
            raise

    @property
    def error(self) -> Exception | None:
        """What made either of the two end before `stop`."""
        return self._ring.error or self._conntrack.error

    def stop(self) -> None:
        """Stop both; what they still hold is delivered. Raises what `deliver` raised."""
        try:
            try:
                self._ring.stop()
            finally:
                self._conntrack.stop()
            if self._openings is not None:
                # Connection tracking has told all that it knew.
                flows = self._openings.due(time.monotonic(), everything=True)
                self._put(Capture(flows, [], time.time()))
        finally:
            if self._lookup is not None:
                self._lookup.close()

    def counters(self) -> CaptureCounters:
        """Return connection tracking's flows, packets and bytes, and the ring's other numbers."""
        total, tracked = self._ring.counters(), self._conntrack.counters()
        total.packets, total.bytes = tracked.packets, tracked.bytes
        total.flows, total.flows_live = tracked.flows, tracked.flows_live
        total.malformed += tracked.malformed
        total.kernel_drops += tracked.kernel_drops
        total.interfaces = [*tracked.interfaces, *total.interfaces]
        total.conntrack = tracked.conntrack
        if self._openings is not None and total.conntrack is not None:
            total.flows += self._openings.count
            total.packets += self._openings.packets
            total.bytes += self._openings.bytes
            total.conntrack.openings = self._openings.count
            total.conntrack.openings_shed = self._openings.shed
        return total


Source = Ring | Conntrack | Routed


def open_source(
    settings: CaptureSettings,
    choice: Choice,
    deliver: Callable[[Capture], None],
    state_dir: Path | None = None,
) -> Source | None:
    """Return the chosen source, not started; None for "none".

    Raises ValueError where the ring has no interface to watch.
    """
    if choice.source == "none":
        return None
    if choice.source == "conntrack":
        if not settings.interfaces:
            return Conntrack(settings, deliver, state_dir)
        return Routed(settings.interfaces, settings, deliver, state_dir)
    if not settings.interfaces:
        raise ValueError(
            'capture.interfaces: is empty: name what to watch, for example ["eth1"], or set '
            'source = "none"'
        )
    return Ring(settings.interfaces, settings, deliver)
