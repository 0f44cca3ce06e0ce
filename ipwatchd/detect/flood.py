"""Floods at one address: half-open connections, packets without an answer, amplified answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.batch import runs
from ipwatchd.detect.contact import ICMP, ICMP6, TCP, UDP, of_nobody, to_many
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.detect.suspects import (
    ACK,
    AMPLIFIERS,
    FEW,
    SYN,
    in_spans,
    openings,
    suspects,
    target_keys,
)
from ipwatchd.detect.unserved import answered_pings, strays, turned
from ipwatchd.records.address import V4_PREFIX, address_text
from ipwatchd.records.flow import DIRECTIONS, Direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.finding import Finding

__all__ = ["Flood"]

_SILENT: Final = np.array([UDP, ICMP, ICMP6])
_UNFINISHED: Final = 2  # half-open for each finished: a crowd of visitors finishes


class _Load:
    """What came at one target in this window and the one before. Times are epoch ns."""

    __slots__ = (
        "began", "finished", "growth", "last", "now", "seen", "sources", "started", "then",
        "weight",
    )  # fmt: skip

    def __init__(self, time: int) -> None:
        self.began = self.started = self.last = time
        self.weight = 0
        self.now = self.then = self.seen = self.finished = 0
        self.sources: dict[int, int] = {}
        self.growth = Growth()

    def turn(self, time: int, window: int) -> None:
        gone = time - self.began
        if gone >= window:
            self.then = self.now if gone < 2 * window else 0
            self.now = self.finished = 0
            self.sources.clear()
            self.began = time


class Flood(Rule):
    """Detector of the rule flood."""

    rule = "flood"
    section = "flood"
    about = About(
        "Flood",
        "ddos",
        "More half-open connections, unanswered packets, pings, segments of no connection or "
        "amplified answers arrive at one address within the window than service needs; or a "
        "machine of ours sends them.",
        "Incoming: ask the provider to filter, deny the sources if they are few and not forged. "
        "Outgoing: take the machine off the net, it is not its owner's any more. An amplifier: "
        "close the service to the internet.",
        "`syns` half-open connections, `packets` a second that serve nothing, `amplified_bytes` "
        "within `window`. Raise them above what a peak of your busiest service makes.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.flood
        self._window = round(one.window * 1e9)
        self._least = {
            "syn": one.syns,
            **dict.fromkeys(("packet", "ping", "stray"), round(one.packets * one.window)),
            "reflected": one.amplified_bytes, "amplifier": one.amplified_bytes,
        }  # fmt: skip
        self._amplification = one.amplification
        self._reflectors = one.reflectors
        self._quiet = max(round(settings.quiet * 1e9), 2 * self._window)
        self._loads = Sources(_Load, settings.sources, settings.sources * 16)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; a finding for each target that is flooded, or floods."""
        found: list[Finding] = []
        rows = np.flatnonzero(suspects(batch))
        rows, spans = in_spans(batch.flows, rows, self._window // 2)
        if len(rows):
            flows = batch.flows.take(rows)
            found += self._opened(flows, spans)
            silent = np.flatnonzero(
                np.isin(flows["proto"], _SILENT) & (flows["resp_packets"] == 0)
                & (flows["orig_packets"] > 0)
            )  # fmt: skip
            silent = silent[~to_many(flows.take(silent))]
            some = flows.take(silent)
            found += self._take("packet", some, spans[silent], self._within(some))
            for kind, mask in (("ping", answered_pings(flows)), ("stray", strays(flows))):
                rows = np.flatnonzero(mask)
                if len(rows):
                    some = flows.take(rows)
                    found += self._take(kind, some, spans[rows], self._within(some))
            found += self._amplified(flows, spans)
        self._loads.sweep(round(now * 1e9) - self._quiet)
        return found

    def counters(self) -> dict[str, int]:
        """Return targets held, and those that had to make room."""
        return {"targets": len(self._loads), "targets_shed": self._loads.shed}

    def _within(self, flows: NDArray[np.void]) -> NDArray[np.int64]:
        """Return the packets of each flow that fall into one window."""
        share = self._window / np.maximum(flows["end"] - flows["start"], self._window)
        packets: NDArray[np.int64] = (flows["orig_packets"] * share).astype(np.int64)
        return packets

    def _opened(self, flows: NDArray[np.void], spans: NDArray[np.int64]) -> list[Finding]:
        flags = flows["orig_flags"]
        opened = (flows["proto"] == TCP) & ((flags & SYN) != 0)
        half = opened & ((flags & ACK) == 0)
        rows, ended = np.flatnonzero(half), np.flatnonzero(opened & ~half)
        some = flows.take(rows)
        finished = np.sort(target_keys("syn", flows.take(ended), spans[ended]))
        return self._take("syn", some, spans[rows], openings(some), finished)

    def _amplified(self, flows: NDArray[np.void], spans: NDArray[np.int64]) -> list[Finding]:
        udp = flows["proto"] == UDP
        reflected = np.flatnonzero(
            udp & np.isin(flows["orig_port"], AMPLIFIERS) & (flows["resp_packets"] == 0)
            & (flows["orig_bytes"] > 0)
        )  # fmt: skip
        serves = udp & np.isin(flows["resp_port"], AMPLIFIERS)
        # Of answers alone capture takes the service for the responder: the victim never asked.
        unasked = np.flatnonzero(serves & (flows["orig_packets"] == 0) & (flows["resp_bytes"] > 0))
        answers = np.concatenate((flows.take(reflected), turned(flows.take(unasked))))
        found = self._take(
            "reflected", answers, np.concatenate((spans[reflected], spans[unasked])),
            answers["orig_bytes"].astype(np.int64),
        )  # fmt: skip
        ours = np.flatnonzero(
            serves & (flows["direction"] == Direction.INCOMING)
            & (flows["resp_bytes"] >= flows["orig_bytes"] * np.uint64(self._amplification))
        )  # fmt: skip
        some = flows.take(ours)
        return found + self._take(
            "amplifier", some, spans[ours], some["resp_bytes"].astype(np.int64)
        )

    def _take(
        self, kind: str, flows: NDArray[np.void], spans: NDArray[np.int64],
        amounts: NDArray[np.int64], finished: NDArray[np.uint64] | None = None,
    ) -> list[Finding]:  # fmt: skip
        """Add amounts to the targets of flows, span by span; `finished` are sorted keys."""
        if not len(flows):
            return []
        keys = target_keys(kind, flows, spans)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts, sizes = runs(keys)
        sums = np.add.reduceat(amounts[order], starts)
        # A scan has as many targets as flows: those of one small flow are not worth a record.
        worth = np.flatnonzero((sizes >= FEW) | (sums >= max(FEW, self._least[kind] // 20)))
        worth = worth[np.argsort(spans[order[starts[worth]]], kind="stable")]
        done = np.zeros(len(worth), np.int64)
        if finished is not None:
            some = keys[starts[worth]]
            done = np.searchsorted(finished, some, "right") - np.searchsorted(finished, some)
        found = []
        for place, ended in zip(worth.tolist(), done.tolist(), strict=True):
            begin = int(starts[place])
            rows = order[begin : begin + int(sizes[place])]
            finding = self._target(kind, flows.take(rows), int(sums[place]), ended)
            if finding is not None:
                found.append(finding)
        return found

    def _target(
        self, kind: str, flows: NDArray[np.void], amount: int, finished: int
    ) -> Finding | None:
        row = flows[0]
        port = int(row["resp_port"]) if kind == "syn" else 0
        key = (kind, int(row["resp_hi"]), int(row["resp_lo"]), port)
        time = int(flows["end"].max())
        load = self._loads.active(key, time)
        if not load.seen:
            load.started = int(flows["start"].min())
        load.turn(time, self._window)
        load.now += amount
        load.finished += finished
        load.seen += len(flows)
        self._note_sources(load, flows)
        self._loads.weigh(load, len(load.sources))
        least = self._least[kind]
        if load.now < least or load.now < _UNFINISHED * load.finished:
            return None
        if kind == "reflected" and len(load.sources) < self._reflectors:
            return None
        return self._found(kind, load, flows, port) if load.growth.due(load.seen, time) else None

    def _note_sources(self, load: _Load, flows: NDArray[np.void]) -> None:
        for hi, lo in zip(
            flows["orig_hi"][:256].tolist(), flows["orig_lo"][:256].tolist(), strict=True
        ):
            source = hi << 64 | lo
            if source in load.sources or len(load.sources) < 64:
                load.sources[source] = load.sources.get(source, 0) + 1

    def _found(self, kind: str, load: _Load, flows: NDArray[np.void], port: int) -> Finding:
        target = address_text(int(flows[0]["resp_hi"]), int(flows[0]["resp_lo"]))
        everywhere = bool(of_nobody(flows[:1], "resp")[0])
        direction = int(np.bincount(flows["direction"], minlength=5).argmax())
        top = max(load.sources, key=lambda one: load.sources[one])
        source = address_text(top >> 64, top & ((1 << 64) - 1))
        # A sum has no source, and a sum over many targets has no victim either: nobody is named.
        single = top not in _NOBODY and 2 * load.sources[top] > sum(load.sources.values())
        ours = single and direction in {Direction.OUTGOING, Direction.INTERNAL}
        count = f"at least {len(load.sources)}" if len(load.sources) >= 64 else len(load.sources)
        subject = source if ours else "site" if everywhere else target
        kinds = {"amplifier": "ddos-amplifier", "syn": "dos" if single else "ddos"}
        return self.finding(
            subject, self._title(
                kind, load, source if ours else "", target, port, everywhere=everywhere
            ),
            detail=f"{kind}|{port}" if port else kind,
            seen=(load.started / 1e9, load.last / 1e9), count=load.seen,
            severity="high" if ours or kind != "amplifier" else "medium", value=load.now,
            threshold=self._least[kind], classification=kinds.get(kind, "ddos"),
            targets=() if everywhere else (target,),
            evidence={
                "kind": kind, "unit": _WORDS[kind][1],
                "sources": "summed" if top in _NOBODY else count, "port": port,
                "finished": load.finished, "window": self._window / 1e9,
                "before": load.then, "many_targets": everywhere,
                "source": source if single else "many, perhaps forged",
                "direction": DIRECTIONS[direction],
            },
        )  # fmt: skip

    def _title(
        self, kind: str, load: _Load, ours: str, target: str, port: int, *, everywhere: bool
    ) -> str:
        at = "many addresses" if everywhere else f"{target} port {port}" if port else target
        amount = f"{load.now:,} {_WORDS[kind][0]} within {self._window / 1e9:g} s"
        if kind == "amplifier":
            return f"{target} answers the internet {load.now:,} bytes: it amplifies"
        if ours:
            return f"{ours} floods {at}: {amount}"
        return f"{at} {'are' if everywhere else 'is'} flooded: {amount}"


_NOBODY: Final = frozenset({0, V4_PREFIX})
_WORDS: Final = {
    "syn": ("half-open connections", "connections"),
    "packet": ("packets without an answer", "packets"),
    "ping": ("pings that were answered", "packets"),
    "stray": ("segments of no connection", "packets"),
    "reflected": ("bytes of amplified answers", "bytes"),
    "amplifier": ("bytes of answers", "bytes"),
}
