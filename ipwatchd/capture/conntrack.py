"""The conntrack source: the kernel of a router counts connections already, we read what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.conntrack_meter import ConntrackMeter
from ipwatchd.capture.conntrack_socket import DumpSocket, EventSocket
from ipwatchd.capture.conntrack_switches import Switches
from ipwatchd.capture.conntrack_timeouts import kernel_timeouts
from ipwatchd.capture.conntrack_warm import warm_conntrack
from ipwatchd.capture.conntrack_worker import ConntrackWorker
from ipwatchd.capture.counters import CaptureCounters

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipwatchd.capture.delivery import Capture
    from ipwatchd.config import CaptureSettings

__all__ = ["Conntrack"]

_BUFFER: Final = 64 << 20
"""Of the kernel's memory for events that we did not read yet: about 50,000 of them, a second of
the most that we promise; a daemon that hangs can't make the kernel hold more."""


class Conntrack:
    """Reads connection tracking of the network namespace in which `start` is called.

    `deliver` is called from one thread of ours, at least once a second, with the wall clock in
    `now`; it must not wait. One that raises stops us: its exception is raised by `stop`.
    `state_dir` keeps what the kernel's switches were (conntrack_switches).
    """

    def __init__(
        self,
        settings: CaptureSettings,
        deliver: Callable[[Capture], None],
        state_dir: Path | None = None,
        *,
        buffer: int = _BUFFER,
    ) -> None:
        self._settings = settings
        self._deliver = deliver
        self._state_dir = state_dir
        self._buffer = buffer
        self._worker: ConntrackWorker | None = None

    @property
    def error(self) -> Exception | None:
        """What stopped us, if anything did."""
        return self._worker.error if self._worker else None

    def start(self) -> None:
        """Switch counting on, take stock of the connections that are there, and listen.

        Raises ConntrackError where the kernel tracks none, PermissionError without
        CAP_NET_ADMIN; nothing is left open or switched then.
        """
        # Compiling takes seconds where no cache is: nothing waits for us meanwhile.
        warm_conntrack()
        switches = Switches(self._state_dir)
        opened: list[EventSocket | DumpSocket] = []
        try:
            # Listening comes first: connections that begin without a listener tell no end.
            events = EventSocket(self._buffer)
            opened.append(events)
            dump = DumpSocket()
            opened.append(dump)
            switches.on()
            meter = ConntrackMeter(self._settings, kernel_timeouts(switches.timeout))
            worker = ConntrackWorker(meter, events, dump, switches, self._deliver)
            worker.take_stock()
        except BaseException:
            for part in opened:
                part.close()
            switches.restore()
            switches.close()
            raise
        self._worker = worker
        worker.start()

    def stop(self) -> None:
        """Tell every flow that still goes on, put the switches back and return.

        Raises what `deliver` raised.
        """
        if self._worker is None:
            return
        self._worker.stop()
        self._worker.join()
        if self._worker.error is not None:
            raise self._worker.error

    def counters(self) -> CaptureCounters:
        """Return what was counted; from any thread."""
        return self._worker.counters() if self._worker else CaptureCounters()
