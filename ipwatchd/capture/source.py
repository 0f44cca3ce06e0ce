"""Which source a box has: the ring, connection tracking, or both with a part each."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipwatchd.capture.conntrack import Conntrack
from ipwatchd.capture.delivery import Capture
from ipwatchd.capture.ring import Ring
from ipwatchd.records.flow import empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.capture.counters import CaptureCounters
    from ipwatchd.config import CaptureSettings

__all__ = ["Routed", "Source", "choose", "open_source"]

_SYSCTL: Final = Path("/proc/sys/net")
_FORWARDING: Final = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")


class Routed:
    """A router's two sources as one: flows from connection tracking, events from the ring.

    The ring's own flows are dropped, so that none is told twice. Otherwise it is used as a Ring.
    """

    def __init__(
        self,
        interfaces: Sequence[str],
        settings: CaptureSettings,
        deliver: Callable[[Capture], None],
        state_dir: Path | None = None,
    ) -> None:
        self.interfaces = tuple(interfaces)
        self._deliver = deliver
        self._lock = threading.Lock()
        self._conntrack = Conntrack(settings, self._put, state_dir)
        self._ring = Ring(interfaces, settings, self._put_events)

    def _put(self, capture: Capture) -> None:
        with self._lock:
            self._deliver(capture)

    def _put_events(self, capture: Capture) -> None:
        if capture.events:
            self._put(Capture(empty_flows(), capture.events, capture.now))

    def start(self) -> None:
        """Start both. Raises what either raises; nothing runs then."""
        self._conntrack.start()
        try:
            self._ring.start()
        except BaseException:
            self._conntrack.stop()
            raise

    @property
    def error(self) -> Exception | None:
        """What made either of the two end before `stop`."""
        return self._ring.error or self._conntrack.error

    def stop(self) -> None:
        """Stop both; what they still hold is delivered. Raises what `deliver` raised."""
        try:
            self._ring.stop()
        finally:
            self._conntrack.stop()

    def counters(self) -> CaptureCounters:
        """Return connection tracking's flows, packets and bytes, and the ring's other numbers."""
        total, tracked = self._ring.counters(), self._conntrack.counters()
        total.packets, total.bytes = tracked.packets, tracked.bytes
        total.flows, total.flows_live = tracked.flows, tracked.flows_live
        total.malformed += tracked.malformed
        total.kernel_drops += tracked.kernel_drops
        total.interfaces = [*tracked.interfaces, *total.interfaces]
        total.conntrack = tracked.conntrack
        return total


Source = Ring | Conntrack | Routed


def choose(settings: CaptureSettings, *, tracked: bool) -> str:
    """Return conntrack or ring for `source = "auto"`, by the calling thread's network namespace.

    Connection tracking where the box forwards and something tracks: `tracked` says that our own
    rules do; else there must be a connection. Without, it would see nothing.
    """
    if settings.source != "auto":
        return settings.source
    forwards = any(_number(name) > 0 for name in _FORWARDING)
    known = (_SYSCTL / "netfilter/nf_conntrack_acct").exists()
    tracked = tracked or _number("netfilter/nf_conntrack_count") > 0
    return "conntrack" if forwards and known and tracked else "ring"


def open_source(
    settings: CaptureSettings,
    deliver: Callable[[Capture], None],
    state_dir: Path | None = None,
    *,
    tracked: bool = False,
) -> Source | None:
    """Return what `settings.source` names, not started; None for "none".

    Raises ValueError where the ring has no interface to watch.
    """
    source = choose(settings, tracked=tracked)
    if source == "none":
        return None
    if source == "conntrack":
        if not settings.interfaces:
            return Conntrack(settings, deliver, state_dir)
        return Routed(settings.interfaces, settings, deliver, state_dir)
    if not settings.interfaces:
        raise ValueError(
            'capture.interfaces: is empty: name what to watch, for example ["eth1"], or set '
            'source = "none"'
        )
    return Ring(settings.interfaces, settings, deliver)


def _number(name: str) -> int:
    try:
        return int((_SYSCTL / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
