"""Port scans: a source that knocks at many doors and is let in at few.

Counts, for each originator, the distinct (responder, port) that it failed and succeeded to talk to
within the window, and lets `shape` say whether that is a scan.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.batch import Groups, direction_name, spans
from ipwatchd.detect.doorstep import Doorstep
from ipwatchd.detect.knocks import NOTHING, SAMPLE, Knocks, recall, remember
from ipwatchd.detect.marks import Marks
from ipwatchd.detect.names import Named
from ipwatchd.detect.porch import Porch, Tried, waited
from ipwatchd.detect.reach import Reach
from ipwatchd.detect.sequential import Few
from ipwatchd.detect.shape import Shape, shape
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.records.address import address_text
from ipwatchd.records.finding import Finding
from ipwatchd.records.flow import protocol_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.event import AnyEvent

__all__ = ["PortScan"]

_TARGETS: Final = 1024  # kept of one source in each of two windows; beyond it is "at least"
_TARGETS_A_SOURCE: Final = 16  # in the mean: bounds all targets together
_LOOK_AGAIN: Final = 1.1  # how much the targets must have grown before their shape is judged again


class PortScan(Rule):
    """Detector of the rule port-scan."""

    rule = "port-scan"
    section = "port_scan"
    about = About(
        "Port scan",
        "scanner",
        "One source tried many ports of one host, one port of many hosts, or a block of both, and "
        "hardly anybody answered. Somebody looks for a way in, or a machine of ours is looking.",
        "From the internet: it happens all day; deny it where it goes on, and see whether "
        "something answered. From inside: look at the machine, it is seldom its owner.",
        "`targets` that failed within `window`. Failures must outnumber successes two to one; UDP "
        "takes twice as many. A monitor of your own belongs under [[expected]]. Of fewer TCP "
        "targets a sequential test tells with `false_alarm` as its error (0.00001: nine failures "
        "more than successes), not of what goes out, inside only of ports of one host, at low "
        "severity; 0 turns it off.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        self._least = settings.port_scan.targets
        self._window = round(settings.port_scan.window * 1e9)
        self._quiet = max(round(settings.quiet * 1e9), 2 * self._window)
        self._kept = max(_TARGETS, 2 * self._least)
        self._sources = Sources(
            Knocks, settings.sources, settings.sources * max(_TARGETS_A_SOURCE, self._least)
        )
        self._doorstep = Doorstep(settings.sources, self._quiet)
        self._named = Named(settings.sources)
        self._known = Marks()
        self._reach = Reach()
        self._few = Few(settings.port_scan.false_alarm)
        self._look = min(self._least, self._few.line or self._least)
        self._porch = Porch(settings.sources, self._look - 1, self._window, self._quiet)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; a finding for each source whose failed contacts make a scan."""
        found: list[Finding] = []
        failed, numbers = batch.probed
        if len(numbers):
            talked = numbers[batch.successes]
            self._few.answering.add(talked, int(batch.flows["end"].max()))
        for part in spans(batch.flows["end"], self._window // 2):
            rows = self._reach.kept(batch, part, part[failed[part]])
            rows, held = self._let(batch, rows, numbers)
            tried, aimed = batch.flows.take(rows), numbers[rows]
            groups = Groups(tried["orig_hi"], tried["orig_lo"])
            many = self._note_failures(tried, aimed, groups, held)
            self._note_successes(batch, part[batch.successes[part]], numbers)
            found += self._judge(tried, groups, many)
        self._sources.sweep(round(now * 1e9) - self._quiet)
        self._known.wipe(self._sources)
        return found

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Learn which addresses DNS gave: to fail at those is no sweep of hosts."""
        del now
        self._named.hear(events)
        return []

    def counters(self) -> dict[str, int]:
        """Return sources and targets held, and sources that had to make room."""
        return {
            "sources": len(self._sources),
            "targets": self._sources.weight,
            "sources_shed": self._sources.shed + self._porch.shed,
            "one_target_flows": self._doorstep.waiting,
            "few_targets_shed": self._few.shed,
        }

    def _let(
        self, batch: Batch, rows: NDArray[np.intp], numbers: NDArray[np.uint64]
    ) -> tuple[NDArray[np.intp], NDArray[np.void]]:
        """Return the rows of sources that have tried many, and what was held of these."""
        tried = batch.flows.take(rows)
        let = self._doorstep.let(tried, numbers[rows], tags=batch.orig[rows])
        rows, tried = rows[let.rows], tried.compress(let.rows)
        columns = (tried[name] for name in ("resp_hi", "resp_lo", "start", "end"))
        passed, held = self._porch.let(Tried(batch.orig[rows], numbers[rows], *columns), let.held)
        self._known.add(batch.orig[rows])
        return rows[passed], held

    def _note_successes(
        self, batch: Batch, rows: NDArray[np.intp], numbers: NDArray[np.uint64]
    ) -> None:
        """Note whom known sources talked with; who never failed needs no record."""
        rows = rows[self._known.may_hold(batch.orig[rows])]
        if not len(rows):
            return
        flows = batch.flows.take(rows)
        groups = Groups(flows["orig_hi"], flows["orig_lo"])
        latest = groups.latest(flows["end"])
        ordered = numbers[rows[groups.order]]
        firsts = rows[groups.order[groups.starts]]
        held = self._porch.leave(batch.orig[firsts], np.array(latest, np.int64))
        for place, first in waited(held).items():
            begun = self._active(groups.sources[place], int(held["last"][place]), 0)
            recall(begun, first, self._window)
        for place, source in enumerate(groups.sources):
            record = self._sources.get(source)
            if record is None:
                continue
            record.turn(latest[place], self._window)
            if record.talked is None:
                record.talked = set()
            if len(record.talked) < self._kept:
                some = ordered[groups.bounds[place] : groups.bounds[place + 1]][: self._kept]
                record.talked.update(some.tolist())
                self._sources.weigh(record, record.size())

    def _note_failures(
        self, flows: NDArray[np.void], numbers: NDArray[np.uint64], groups: Groups,
        held: NDArray[np.void],
    ) -> list[int]:  # fmt: skip
        """Note who failed at what; return the groups whose sources have enough of it."""
        if not len(flows):
            return []
        rows, many = groups.order, []
        tried, waiting = numbers[rows].tolist(), waited(held.take(rows[groups.starts]))
        hosts = list(
            zip(flows["resp_hi"][rows].tolist(), flows["resp_lo"][rows].tolist(), strict=True)
        )
        for place, (source, time, started, begin, end) in enumerate(zip(
            groups.sources, groups.latest(flows["end"]), groups.earliest(flows["start"]),
            groups.bounds, groups.bounds[1:], strict=False,
        )):  # fmt: skip
            record = self._active(source, time, started)
            if place in waiting:
                recall(record, waiting[place], self._window)
            record.turn(time, self._window)
            failed, sample = record.failed, record.sample
            record.flows += end - begin
            if len(failed) < self._kept:
                failed.update(tried[begin : min(end, begin + self._kept)])
            if len(sample) < SAMPLE:
                remember(sample, hosts[begin : min(end, begin + SAMPLE)])
            size = len(failed) + len(record.failed_before)
            self._sources.weigh(record, size + len(record.talked or ()) + len(record.talked_before))
            if size >= self._look:
                many.append(place)
            else:
                record.look_at = 0
        return many

    def _judge(self, flows: NDArray[np.void], groups: Groups, many: list[int]) -> list[Finding]:
        """Return findings for sources that failed just now; some may be evicted already."""
        found = []
        for place in many:
            source = groups.sources[place]
            record = self._sources.get(source)
            if record is not None and self._crossed(record):
                rows = groups.order[groups.bounds[place] : groups.bounds[place + 1]]
                finding = self._finding(source, record, flows.take(rows))
                if finding is not None:
                    found.append(finding)
        return found

    def _active(self, source: int, time: int, started: int) -> Knocks:
        old = self._sources.get(source)
        if old is not None and time - old.last > self._quiet:
            self._sources.drop(source)
        record = self._sources.active(source, time)
        if not record.flows:
            record.started = started
        return record

    def _crossed(self, record: Knocks) -> bool:
        """Tell whether a source's shape is worth a look: judging it costs more than counting."""
        size = len(record.failed) + len(record.failed_before)
        if size < self._look:
            record.look_at = 0
            return False
        if record.growth is not None:
            return record.growth.would(record.flows, record.last)
        if size < record.look_at:
            return False
        record.look_at = int(size * _LOOK_AGAIN) + 1
        return True

    def _finding(self, source: int, record: Knocks, flows: NDArray[np.void]) -> Finding | None:
        failed = record.failed | record.failed_before
        talked = (record.talked or NOTHING) | record.talked_before
        direction, least = direction_name(flows), self._least
        scan = shape(failed, talked, self._named.hosts, least)
        if scan is None:
            least = self._few.line
            scan = self._few.shape(
                failed, talked, self._named.hosts, record.flows, direction, record.last
            )
        if scan is None:
            return None
        record.growth = record.growth or Growth()
        record.growth.due(record.flows, record.last)
        subject = address_text(source >> 64, source & ((1 << 64) - 1))
        full = max(len(record.failed), len(record.failed_before)) >= self._kept
        return Finding(
            rule=self.rule, subject=subject, key=f"{self.rule}|{subject}",
            title=_title(subject, scan, full=full), first_seen=record.started / 1e9,
            last_seen=record.last / 1e9, count=record.flows,
            severity=_severity(direction, scan, few=least < self._least), classification="scanner",
            score=_score(scan, self._least), value=scan.value, threshold=least,
            targets=tuple(address_text(*host) for host in record.sample),
            evidence=self._evidence(scan, record, direction, full=full)
            | {"test": "sequential" if least < self._least else "count"},
        )  # fmt: skip

    def _evidence(
        self, scan: Shape, record: Knocks, direction: str, *, full: bool
    ) -> dict[str, Any]:
        return {
            "shape": scan.kind,
            "proto": protocol_name(scan.proto),
            "hosts": scan.hosts,
            "port_count": len(scan.ports),
            "ports": list(scan.ports[:SAMPLE]),
            "failed_targets": scan.value,
            "at_least": full,
            "succeeded_targets": scan.succeeded,
            "failed_flows": record.flows,
            "window": self._window / 1e9,
            "direction": direction,
        }


def _title(subject: str, scan: Shape, *, full: bool) -> str:
    proto = protocol_name(scan.proto)
    about = "at least " if full else ""
    if scan.proto in {1, 58}:
        return f"{subject} pinged {about}{scan.hosts} hosts that did not answer"
    if not scan.proto:
        return f"{subject} probed {about}{len(scan.ports)} IP protocols of one host"
    if scan.kind == "vertical":
        return f"{subject} probed {about}{len(scan.ports)} {proto} ports of one host"
    if scan.kind == "horizontal":
        return f"{subject} probed port {scan.ports[0]}/{proto} of {about}{scan.hosts} hosts"
    return f"{subject} probed {about}{len(scan.ports)} {proto} ports of {scan.hosts} hosts"


def _severity(direction: str, scan: Shape, *, few: bool) -> str:
    """The internet knocks all day; a machine of ours that knocks is likely not its owner's."""
    if few:
        return "info" if direction == "incoming" else "medium"
    if direction in {"outgoing", "internal"}:
        return "high"
    return "low" if direction == "incoming" and not scan.succeeded else "medium"


def _score(scan: Shape, least: int) -> float:
    share = scan.value / (scan.value + scan.succeeded)
    return round(share * (1 - math.exp2(-scan.value / least)), 3)
