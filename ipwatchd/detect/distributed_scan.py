"""Distributed scans: many sources that each try few ports of one host, and together a great many.

Counts, for each responder, the distinct ports that failed and who tried them. The noise of the
internet also comes from everywhere, yet to few ports at a time; a dead server is asked for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.batch import Groups, direction_name, spans
from ipwatchd.detect.contact import TCP, of_nobody, to_many
from ipwatchd.detect.doorstep import SLOT, Doorstep
from ipwatchd.detect.porch import Porch, Tried, Waited, waited
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.records.address import address_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.finding import Finding

__all__ = ["DistributedScan"]

_KEPT: Final = 512  # ports, and sources, of one host in a window
_KEPT_A_HOST: Final = 32  # in the mean: bounds all together
_SAMPLE: Final = 20
_OWN_PORT: Final = 32768  # Linux' first ephemeral port: what comes there may be a late answer


class _Host:
    """Who tried what of one host in this window. Times are epoch ns."""

    __slots__ = ("began", "flows", "growth", "last", "ports", "sources", "started", "weight")

    def __init__(self, time: int) -> None:
        self.began = self.started = self.last = time
        self.weight = 0
        self.flows = 0
        self.ports: set[int] = set()
        self.sources: dict[int, int] = {}
        self.growth = Growth()


class DistributedScan(Rule):
    """Detector of the rule distributed-scan."""

    rule = "distributed-scan"
    section = "distributed_scan"
    about = About(
        "Distributed scan",
        "scanner",
        "Many sources tried many ports of one host together, each only a few, so that none of them "
        "is a port scan by itself: a botnet at work, or one scanner among decoys (nmap -D).",
        "Nobody is to blame alone: deny what goes on, and see which of the ports answered. The "
        "host is the subject; the sources in the evidence may be forged.",
        "`ports` distinct and failed within `window`, from at least `sources`; the internet's "
        "noise stays far below.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.distributed_scan
        self._one = one
        self._few = settings.port_scan.targets
        self._window = round(one.window * 1e9)
        self._hosts = Sources(_Host, settings.sources, settings.sources * _KEPT_A_HOST)
        self._doorstep = Doorstep(settings.sources, self._window)
        self._porch = Porch(settings.sources, one.ports - 1, self._window, 2 * self._window)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; a finding for each host that many sources try together."""
        found: list[Finding] = []
        flows = batch.flows
        rows = np.flatnonzero(
            batch.probes & (flows["proto"] == TCP) & (flows["resp_port"] < _OWN_PORT)
        )
        flows = flows.take(rows)
        rows = rows[~to_many(flows) & ~of_nobody(flows, "resp")]
        for part in spans(batch.flows["end"][rows], self._window // 2):
            some = rows[part]
            flows = batch.flows.take(some)
            # Who tries one host from one address is no news here: the pair is the target.
            pairs = batch.orig[some] ^ flows["resp_port"].astype("u8")
            let = self._doorstep.let(flows, pairs, "resp", batch.resp[some])
            found += self._many(batch, some[let.rows])
        self._hosts.sweep(round(now * 1e9) - 2 * self._window)
        return found

    def counters(self) -> dict[str, int]:
        """Return hosts held, and those that had to make room."""
        return {"hosts": len(self._hosts), "hosts_shed": self._hosts.shed + self._porch.shed}

    def _many(self, batch: Batch, rows: NDArray[np.intp]) -> list[Finding]:
        """Take flows of hosts that were tried more than a few times."""
        flows = batch.flows.take(rows)
        # No two flows are one target: of a record too each flow counts.
        once = (batch.orig[rows] ^ flows["start"].astype(np.uint64)) << np.uint64(16)
        columns = (flows[name] for name in ("orig_hi", "orig_lo", "start", "end"))
        tried = Tried(batch.resp[rows], once | flows["resp_port"], *columns)
        passed, held = self._porch.let(tried, np.zeros(len(rows), SLOT))
        return self._take(flows.compress(passed), held)

    def _take(self, flows: NDArray[np.void], held: NDArray[np.void]) -> list[Finding]:
        if not len(flows):
            return []
        found = []
        groups = Groups(flows["resp_hi"], flows["resp_lo"])
        high, low = flows["orig_hi"][groups.order].tolist(), flows["orig_lo"][groups.order].tolist()
        sources = [top << 64 | bottom for top, bottom in zip(high, low, strict=True)]
        ports = flows["resp_port"][groups.order].tolist()
        waiting = waited(held.take(groups.order[groups.starts]))
        for place, (host, begin, end, time, started) in enumerate(zip(
            groups.sources, groups.bounds, groups.bounds[1:], groups.latest(flows["end"]),
            groups.earliest(flows["start"]), strict=False,
        )):  # fmt: skip
            record = self._hosts.active(host, time)
            if place in waiting:
                self._recall(record, waiting[place])
            self._turn(record, time)
            if not record.flows:
                record.started = started
            record.flows += end - begin
            some = slice(begin, min(end, begin + _KEPT))
            self._note(record, sources[some], ports[some])
            self._hosts.weigh(record, len(record.ports) + len(record.sources))
            if len(record.ports) >= self._one.ports:
                finding = self._judge(host, record, flows.take(groups.order[begin:end]))
                if finding is not None:
                    found.append(finding)
        return found

    def _recall(self, record: _Host, held: Waited) -> None:
        """Take over the flows that were held."""
        self._turn(record, held.began)
        if not record.flows:
            record.began, record.started = held.began, held.started
        record.flows += held.flows
        sources = [top << 64 | low for top, low in zip(held.hi, held.lo, strict=True)]
        self._note(
            record, sources[: held.tried], [one & 0xFFFF for one in held.targets][: held.tried]
        )

    def _turn(self, record: _Host, time: int) -> None:
        """Begin a new window where the old one is over."""
        if time - record.began >= self._window:
            record.began = time
            record.ports.clear()
            record.sources.clear()
            record.flows = 0
            record.growth = Growth()

    def _note(self, record: _Host, sources: list[int], ports: list[int]) -> None:
        known = record.sources
        if len(known) >= _KEPT and known.keys().isdisjoint(sources):
            return
        for source, port in zip(sources, ports, strict=True):
            if source not in known and len(known) >= _KEPT:
                continue
            tried = known[source] = known.get(source, 0) + 1
            # A source that tries many is a port scan of its own, and says nothing of the others.
            if tried < self._few and len(record.ports) < _KEPT:
                record.ports.add(port)

    def _judge(self, host: int, record: _Host, flows: NDArray[np.void]) -> Finding | None:
        if not record.growth.would(record.flows, record.last):
            return None
        few = [one for one, tried in record.sources.items() if tried < self._few]
        ports = len(record.ports)
        if len(few) < self._one.sources:
            return None
        record.growth.due(record.flows, record.last)
        subject = address_text(host >> 64, host & ((1 << 64) - 1))
        direction = direction_name(flows)
        return self.finding(
            subject, f"{len(few)} sources together probed {ports} tcp ports of {subject}",
            seen=(record.started / 1e9, record.last / 1e9), count=record.flows,
            severity="medium", value=ports, threshold=self._one.ports,
            targets=(subject,),
            evidence={
                "ports": sorted(record.ports)[:_SAMPLE], "port_count": ports,
                "at_least": ports >= _KEPT or len(record.sources) >= _KEPT,
                "source_count": len(few),
                "sources": [
                    address_text(one >> 64, one & ((1 << 64) - 1)) for one in few[:_SAMPLE]
                ],
                "window": self._one.window, "direction": direction,
                "note": "sources may be forged",
            },
        )  # fmt: skip
