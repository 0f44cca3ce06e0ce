"""Slow scans: few probes an hour over many hours, each hour of them below what port-scan tells.

Distinct targets that failed, of a day; what `shape` says of them is what it says of fast ones
(Staniford, Hoagland, McAlerney: Practical Automated Detection of Stealthy Portscans, 2002).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.batch import Groups, direction_name
from ipwatchd.detect.doorstep import Doorstep
from ipwatchd.detect.marks import Marks
from ipwatchd.detect.names import Named
from ipwatchd.detect.reach import Reach
from ipwatchd.detect.sequential import Few
from ipwatchd.detect.shape import Shape, shape
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.records.address import address_text
from ipwatchd.records.flow import SERVICE_PORTS, protocol_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["SlowScan"]

_TARGETS: Final = 256  # kept of one source, the latest; talked with as many
_TARGETS_A_SOURCE: Final = 16  # in the mean: bounds all targets together
_HOUR: Final = 3_600_000_000_000
_HOURS: Final = 48
_SAMPLE: Final = 20
_PEERS: Final = 4  # times as many targets where the port is nobody's service: peers fail there
_SOUGHT: Final = frozenset({port for _, port in SERVICE_PORTS} | {
    1080, 1433, 1521, 2049, 2222, 2375, 3128, 5000, 5555, 5985, 6379, 7001, 8000, 8081, 8888, 9000,
    9200, 10_000, 11_211, 27_017,
})  # fmt: skip
"""Ports from 1024 up that scanners look for."""
_HOURS_OF_FEW: Final = (
    2  # the sequential test (sequential.py) asks for no spread, the doorstep does
)
_LOOK_AGAIN: Final = 8  # more targets before the shape is judged again


class _Day:
    """What one source failed at within the window: target → last time. Times are epoch ns."""

    __slots__ = (
        "brisk", "brisk_since", "failed", "fast_at", "flows", "growth", "hosts", "hours", "last",
        "look_at", "started", "talked", "weight",
    )  # fmt: skip

    def __init__(self, time: int) -> None:
        self.started = self.last = self.brisk_since = time
        self.weight = 0
        self.failed: dict[int, int] = {}
        self.talked: dict[int, int] = {}
        self.hosts: dict[tuple[int, int], None] = {}
        self.hours: dict[int, None] = {}
        self.brisk = self.flows = self.look_at = self.fast_at = 0
        self.growth = Growth()


class SlowScan(Rule):
    """Detector of the rule slow-scan."""

    rule = "slow-scan"
    section = "slow_scan"
    about = About(
        "Slow scan",
        "scanner",
        "One source tried many ports or hosts a few at a time over hours, and hardly anybody "
        "answered: somebody who looks for a way in and wishes not to be seen doing so.",
        "As for a port scan. From inside it deserves a look at once: malware and people who hide "
        "scan slowly, no tool of administration does.",
        "`targets` that failed within `window`, in at least `hours` different hours. A source as "
        "fast as [port_scan] tells of is left to that rule.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.slow_scan
        self._one = one
        self._window = round(one.window * 1e9)
        self._fast = settings.port_scan.targets
        self._fast_window = round(settings.port_scan.window * 1e9)
        self._days = Sources(_Day, settings.sources, settings.sources * _TARGETS_A_SOURCE)
        self._doorstep = Doorstep(settings.sources, self._window)
        self._named = Named(settings.sources)
        self._known = Marks()
        self._reach = Reach()
        self._few = Few(settings.port_scan.false_alarm)
        self._look = min(one.targets, self._few.line or one.targets)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; a finding for each source whose failures of a day make a scan."""
        found: list[Finding] = []
        failed, numbers = batch.probed
        if len(numbers):
            talked = numbers[batch.successes]
            self._few.answering.add(talked, int(batch.flows["end"].max()))
        rows = self._reach.kept(batch, np.arange(len(numbers)), np.flatnonzero(failed))
        tried = batch.flows.take(rows)
        # Who failed in one hour alone gets no record: forgers do, and all that is fast.
        hours = (tried["end"] // _HOUR).astype(np.uint64)
        let = self._doorstep.let(tried, hours, tags=batch.orig[rows])
        tried, rows = tried.compress(let.rows), rows[let.rows]
        self._note_successes(batch, numbers)
        self._known.add(batch.orig[rows])
        order = np.argsort(tried["end"], kind="stable")
        spans = tried["end"][order] // self._fast_window
        for some in np.split(order, np.flatnonzero(spans[1:] != spans[:-1]) + 1):
            if len(some):
                found += self._take(tried.take(some), numbers[rows[some]], let.held.take(some))
        self._days.sweep(round(now * 1e9) - self._window)
        self._known.wipe(self._days)
        return found

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Learn which addresses DNS gave: to fail at those is no sweep of hosts."""
        del now
        self._named.hear(events)
        return []

    def counters(self) -> dict[str, int]:
        """Return sources and targets held, and sources that had to make room."""
        return {
            "sources": len(self._days), "targets": self._days.weight,
            "sources_shed": self._days.shed,
            "few_targets_shed": self._few.shed,
        }  # fmt: skip

    def _note_successes(self, batch: Batch, numbers: NDArray[np.uint64]) -> None:
        """Note whom known sources talked with; who never failed needs no record."""
        if not len(self._days):
            return
        rows = np.flatnonzero(batch.successes & self._known.may_hold(batch.orig))
        flows, numbers = batch.flows.take(rows), numbers[rows]
        groups = Groups(flows["orig_hi"], flows["orig_lo"])
        latest, ordered = groups.latest(flows["end"]), numbers[groups.order]
        for place, source in enumerate(groups.sources):
            day = self._days.get(source)
            if day is not None:
                some = ordered[groups.bounds[place] : groups.bounds[place + 1]][:_TARGETS].tolist()
                _note(day.talked, some, latest[place], latest[place] - self._window)
                self._days.weigh(day, len(day.failed) + len(day.talked))

    def _take(
        self, flows: NDArray[np.void], numbers: NDArray[np.uint64], held: NDArray[np.void]
    ) -> list[Finding]:
        """Add failures that lie within the window of fast scans."""
        found = []
        groups = Groups(flows["orig_hi"], flows["orig_lo"])
        latest, ordered = groups.latest(flows["end"]), numbers[groups.order].tolist()
        for place, source in enumerate(groups.sources):
            begin, end = groups.bounds[place], groups.bounds[place + 1]
            rows = groups.order[begin:end]
            day = self._days.active(source, latest[place])
            first = held[rows[0]]
            if first["flows"]:
                day.flows += int(first["flows"])
                day.hours[int(first["target"])] = None
                day.hosts[int(first["hi"]), int(first["lo"])] = None
                day.started = min(day.started, int(first["started"]))
            self._note_failures(day, ordered[begin:end], latest[place])
            if len(day.hosts) < _SAMPLE:
                row = flows[rows[0]]
                day.hosts[int(row["resp_hi"]), int(row["resp_lo"])] = None
            self._days.weigh(day, len(day.failed) + len(day.talked))
            finding = self._judge(source, day, flows, rows)
            if finding is not None:
                found.append(finding)
        return found

    def _note_failures(self, day: _Day, numbers: list[int], time: int) -> None:
        fresh = sum(number not in day.failed for number in numbers)
        _note(day.failed, numbers, time, time - self._window)
        if time - day.brisk_since > self._fast_window:
            day.brisk, day.brisk_since = 0, time
        day.brisk += fresh
        if day.brisk >= self._fast:
            day.fast_at = time
        day.flows += len(numbers)
        day.hours[time // _HOUR] = None
        while len(day.hours) > _HOURS or (time // _HOUR - next(iter(day.hours))) > _HOURS:
            del day.hours[next(iter(day.hours))]

    def _judge(
        self, source: int, day: _Day, flows: NDArray[np.void], rows: NDArray[np.intp]
    ) -> Finding | None:
        size = len(day.failed)
        if size < self._look or len(day.hours) < _HOURS_OF_FEW or size < day.look_at:
            return None
        # What was fast once, port-scan told of; its leftovers are not another thing.
        if day.fast_at and day.last - day.fast_at <= self._window:
            return None
        if not day.growth.would(day.flows, day.last):
            return None
        direction = direction_name(flows.take(rows))
        scan, least = self._scan(day, direction)
        if scan is None or (scan.value < _PEERS * self._one.targets and _among_peers(scan)):
            most = self._one.targets if size < self._one.targets else _TARGETS
            day.look_at = min(size + _LOOK_AGAIN, most)
            return None
        day.growth.due(day.flows, day.last)
        return self._found(source, day, scan, direction, least)

    def _scan(self, day: _Day, direction: str) -> tuple[Shape | None, int]:
        """Return the shape of a day's failures and the line that it crossed."""
        failed, talked, named = set(day.failed), set(day.talked), self._named.hosts
        if len(day.hours) >= self._one.hours:
            scan = shape(failed, talked, named, self._one.targets)
            if scan is not None:
                return scan, self._one.targets
        few = self._few.shape(failed, talked, named, day.flows, direction, day.last)
        return few, self._few.line

    def _found(self, source: int, day: _Day, scan: Shape, direction: str, least: int) -> Finding:
        subject = address_text(source >> 64, source & ((1 << 64) - 1))
        inside = direction in {"outgoing", "internal"}
        hosts = f"{scan.hosts} host{'s'[: scan.hosts != 1]}"
        ports = f"{len(scan.ports)} port{'s'[: len(scan.ports) != 1]}"
        return self.finding(
            subject, f"{subject} probed {ports} of {hosts} slowly, in {len(day.hours)} hours",
            seen=(day.started / 1e9, day.last / 1e9), count=day.flows,
            severity="high" if inside else "low" if least >= self._one.targets else "info",
            value=scan.value, threshold=least,
            targets=[address_text(*host) for host in day.hosts],
            evidence={
                "shape": scan.kind, "proto": protocol_name(scan.proto), "hosts": scan.hosts,
                "ports": list(scan.ports[:_SAMPLE]), "port_count": len(scan.ports),
                "failed_targets": scan.value, "at_least": len(day.failed) >= _TARGETS,
                "succeeded_targets": scan.succeeded, "hours": len(day.hours),
                "window": self._one.window, "direction": direction,
                "test": "count" if least >= self._one.targets else "sequential",
            },
        )  # fmt: skip


def _among_peers(scan: Shape) -> bool:
    """Tell one high port of many hosts, nobody's service: peers find each other gone there."""
    [port, *others] = scan.ports
    return scan.kind == "horizontal" and not others and port >= 1024 and port not in _SOUGHT


def _note(known: dict[int, int], numbers: Sequence[int], time: int, before: int) -> None:
    """Note targets; the oldest beyond the bound or the window go."""
    for number in numbers:
        known.pop(number, None)
        known[number] = time
    while known and (len(known) > _TARGETS or known[next(iter(known))] < before):
        del known[next(iter(known))]
