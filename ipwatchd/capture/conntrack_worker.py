"""The thread that reads connection tracking: events as they come, and a look at all in between.

DESTROY events bring every connection's last word, so that NEW and UPDATE, five messages of seven,
need not be sent. Looks (dumps) tell what is silent, long, or gone without a word. How often they
come follows from what they cost.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.capture.conntrack_meter import BEGIN, GO_ON, LEAVE
from ipwatchd.capture.counters import CaptureCounters, ConntrackCounters, InterfaceCounters
from ipwatchd.capture.delivery import Capture
from ipwatchd.records.flow import empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ipwatchd.capture.conntrack_meter import ConntrackMeter
    from ipwatchd.capture.conntrack_socket import DumpSocket, EventSocket
    from ipwatchd.capture.conntrack_switches import Switches

__all__ = ["ConntrackWorker"]

_WAIT_MS: Final = 200
_NAP: Final = 0.02
"""Events gather for so long: waking for each would cost more than reading it."""
_HAND_OVER: Final = 0.5
_SHARE: Final = 50
"""A look that took a second of CPU is followed by 50 without one: looks take 2 % at the most."""
_LEAST: Final = 2.0
_BETWEEN: Final = 32
"""Datagrams of a dump (about 100 connections each) between two readings of events."""
_ROUNDS: Final = 8
"""Batches read in one go: a flood of ends can't keep us from looking and delivering."""
_LAST_ROUNDS: Final = 1000
_QUIET: Final = 60.0
"""Seconds without any connection after which status says so."""


class ConntrackWorker(threading.Thread):
    """Owns the sockets, the meter and the switches from `start` on, and closes them at its end."""

    def __init__(
        self,
        meter: ConntrackMeter,
        events: EventSocket,
        dump: DumpSocket,
        switches: Switches,
        deliver: Callable[[Capture], None],
    ) -> None:
        super().__init__(name="capture-conntrack", daemon=True)
        self.error: Exception | None = None
        self._meter = meter
        self._events = events
        self._dump = dump
        self._switches = switches
        self._deliver = deliver
        self._finish = threading.Event()
        self._flows: list[NDArray[np.void]] = []
        self._counters = ConntrackCounters()
        self._line = InterfaceCounters(name="conntrack", state="up")
        self._looked = self._next_look = self._handed_over = 0.0
        self._overruns = 0
        self._told_packets = self._told_bytes = 0
        self._quiet_since = time.monotonic()

    def take_stock(self) -> None:
        """Take note of the connections that are there already."""
        self._look(BEGIN)
        # Its time says nothing of the next: reading may have been compiled in it.
        self._next_look = self._looked + _LEAST

    def stop(self) -> None:
        """Ask it to tell all flows that go on, and to end."""
        self._finish.set()

    def counters(self) -> CaptureCounters:
        """Return what was counted; from any thread."""
        line, counted = self._line, self._counters
        return CaptureCounters(
            packets=line.packets,
            bytes=line.bytes,
            flows=self._meter.told,
            flows_live=self._switches.read("count") or 0,
            malformed=self._events.malformed + self._dump.malformed,
            kernel_drops=counted.events_lost,
            interfaces=[line],
            conntrack=counted,
        )

    def run(self) -> None:
        """Read until `stop`; then tell what still goes on."""
        try:
            while not self._finish.is_set():
                self._turn()
            self._read_events(_LAST_ROUNDS)
            self._look(LEAVE)
            self._hand_over()
        except Exception as error:  # noqa: BLE001 - handed to whoever stops us, see Conntrack.stop
            self.error = error
            self._line.state = f"failed: {error}"
        finally:
            self._events.close()
            self._dump.close()
            self._switches.restore()
            self._switches.close()

    def _turn(self) -> None:
        self._events.wait(_WAIT_MS)
        self._finish.wait(_NAP)
        self._read_events(_ROUNDS)
        if self._events.overruns != self._overruns:
            # What ended unheard is found missing by a look.
            self._overruns = self._events.overruns
            self._next_look = min(self._next_look, self._looked + _LEAST)
        now = time.monotonic()
        if now >= self._next_look:
            self._look(GO_ON)
        if now - self._handed_over >= _HAND_OVER:
            self._handed_over = now
            self._watch(now)
            self._hand_over()

    def _read_events(self, rounds: int) -> None:
        for _ in range(rounds):
            got, batches = self._events.receive()
            for entries in batches:
                self._keep(self._meter.destroyed(entries, time.time_ns()))
            if got == 0:
                break

    def _look(self, mode: int) -> None:
        before = time.thread_time()
        meter, broken = self._meter, self._dump.broken
        packets, octets = self._told_packets, self._told_bytes
        meter.begin(mode, time.time_ns())
        for number, entries in enumerate(self._dump.entries(), 1):
            self._keep(meter.dumped(entries, time.time_ns()))
            if number % _BETWEEN == 0:
                self._read_events(1)
        for flows in meter.end(whole=self._dump.broken == broken):
            self._keep(flows)
        self._count(packets + meter.untold_packets, octets + meter.untold_bytes)
        spent = time.thread_time() - before
        self._counters.looks += 1
        self._counters.look_seconds += spent
        self._looked = time.monotonic()
        self._next_look = self._looked + max(_LEAST, spent * _SHARE)

    def _keep(self, flows: NDArray[np.void]) -> None:
        if len(flows):
            self._flows.append(flows)
            self._told_packets += int(flows["orig_packets"].sum() + flows["resp_packets"].sum())
            self._told_bytes += int(flows["orig_bytes"].sum() + flows["resp_bytes"].sum())

    def _count(self, packets: int, octets: int) -> None:
        """Note how much has passed: a look sees also what long connections will tell later."""
        line = self._line
        if packets > line.packets:
            line.first_packet = line.first_packet or time.time()
            line.last_packet = time.time()
        line.packets, line.bytes = max(line.packets, packets), max(line.bytes, octets)

    def _hand_over(self) -> None:
        flows = np.concatenate(self._flows) if self._flows else empty_flows()
        self._flows = []
        self._count(self._told_packets, self._told_bytes)
        self._note()
        self._deliver(Capture(flows, [], time.time()))

    def _note(self) -> None:
        """Copy the parts' numbers into the counters that are shown."""
        counted, meter, events = self._counters, self._meter, self._events
        counted.events, counted.overruns = events.messages, events.overruns
        counted.events_lost = self._line.kernel_drops = events.lost
        counted.looks_broken = self._dump.broken
        counted.tracked, counted.unmeasured = meter.tracked, meter.unmeasured
        counted.untracked, counted.vanished = meter.untracked, meter.vanished

    def _watch(self, now: float) -> None:
        """Say where nothing can come, or nothing can be counted."""
        if self._switches.read("count") or self._events.messages != self._counters.events:
            self._quiet_since = now
        if self._switches.refused:
            names = " and ".join(f"net.netfilter.{name}" for name in self._switches.refused)
            self._line.state = f"packets are not counted: set {names} to 1"
        elif now - self._quiet_since >= _QUIET:
            self._line.state = (
                "no connection is tracked: a firewall rule with ct state starts it, as ours do "
                'with [firewall] mode = "observe"'
            )
        else:
            self._line.state = "up"
