"""Contact with a denied address: who reached whom, and whether it was let through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.detect.about import About, Rule
from ipwatchd.detect.batch import by_address
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.records.address import address_array, address_text
from ipwatchd.records.event import Blocked
from ipwatchd.records.finding import SEVERITIES, Finding
from ipwatchd.records.flow import DIRECTIONS, protocol_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.detector import Denied
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.event import AnyEvent

__all__ = ["DeniedContact"]

_SHOWN: Final = 20  # our addresses and services named in a finding
_WEIGHT: Final = 2 * _SHOWN


class _Contact:
    """What was seen of one denied address. Times are epoch ns."""

    __slots__ = (
        "answered", "blocked", "direction", "growth", "last", "ours", "outgoing", "seen",
        "services", "severity", "started", "weight",
    )  # fmt: skip

    def __init__(self, time: int) -> None:
        self.started = self.last = time
        self.weight = 0
        self.seen = self.answered = self.blocked = 0
        self.outgoing = False
        self.direction = "unknown"
        self.ours: dict[str, None] = {}
        self.services: dict[str, None] = {}
        self.severity = ""
        self.growth = Growth()


class DeniedContact(Rule):
    """Detector of the rule denied-contact."""

    rule = "denied-contact"
    section = "denied_contact"
    about = About(
        "Contact with a denied address",
        "c2-server",
        "An address on a deny list (an admin's, a feed's, the centre's) came up in traffic, and "
        "perhaps was answered. Outgoing and answered is the worst: one of ours talks with it.",
        "Outgoing: look at our machine. Incoming: nothing where the firewall enforces.",
        "The lists themselves decide: ipwatchctl deny list, allow add.",
    )

    def __init__(self, settings: DetectSettings, denied: Denied) -> None:
        self._denied = denied
        self._quiet = round(settings.quiet * 1e9)
        self._sources = Sources(_Contact, settings.sources, settings.sources * _WEIGHT)
        self._not_listed = 0

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; a finding for each denied address that came up or grew."""
        flows = batch.flows
        found: list[Finding] = []
        for side, other in (("orig", "resp"), ("resp", "orig")):
            rows = np.flatnonzero(self._denied(flows[f"{side}_hi"], flows[f"{side}_lo"]))
            for source, places in by_address(flows[f"{side}_hi"][rows], flows[f"{side}_lo"][rows]):
                finding = self._flows(source, flows.take(rows[places]), other)
                if finding is not None:
                    found.append(finding)
        self._sources.sweep(round(now * 1e9) - self._quiet)
        return found

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take packets that the firewall stopped, or would have stopped in observe mode."""
        del now
        blocked = [event for event in events if isinstance(event, Blocked)]
        if not blocked:
            return []
        found = []
        sides = [
            self._denied(ends["hi"], ends["lo"]).tolist()
            for ends in (
                address_array(event.orig or "::" for event in blocked),
                address_array(event.resp or "::" for event in blocked),
            )
        ]
        for event, from_denied, to_denied in zip(blocked, *sides, strict=True):
            if not (from_denied or to_denied):
                self._not_listed += 1  # its entry ended before the event was read
                continue
            finding = self._event(event, outgoing=not from_denied)
            if finding is not None:
                found.append(finding)
        return found

    def counters(self) -> dict[str, int]:
        """Return addresses held, those that had to make room, and blocked packets of no entry."""
        return {
            "sources": len(self._sources),
            "sources_shed": self._sources.shed,
            "blocked_not_listed": self._not_listed,
        }

    def _active(self, source: int, time: int, started: int) -> _Contact:
        old = self._sources.get(source)
        if old is not None and time - old.last > self._quiet:
            self._sources.drop(source)
        record = self._sources.active(source, time)
        if not record.seen:
            record.started = started
        return record

    def _flows(self, source: int, flows: NDArray[np.void], other: str) -> Finding | None:
        """Note flows with one denied address; `other` is the side that is not it."""
        record = self._active(source, int(flows["end"].max()), int(flows["start"].min()))
        record.seen += len(flows)
        record.answered += int(np.count_nonzero(_answered(flows)))
        # Who opened it counts, not which zone: without zones the other side is taken for ours.
        record.outgoing |= other == "orig"
        record.direction = _direction(flows, record.direction)
        for row in flows[:_SHOWN]:
            service = f"{row['resp_port']}/{protocol_name(int(row['proto']))}"
            _note(record, address_text(int(row[f"{other}_hi"]), int(row[f"{other}_lo"])), service)
        return self._report(source, record)

    def _event(self, event: Blocked, *, outgoing: bool) -> Finding | None:
        subject, ours = (event.resp, event.orig) if outgoing else (event.orig, event.resp)
        [(hi, lo)] = address_array([subject]).tolist()
        time = round(event.ts * 1e9)
        source = hi << 64 | lo
        record = self._active(source, time, time)
        record.seen += 1
        record.blocked += event.action == "drop"
        record.outgoing |= outgoing
        _note(record, ours, f"{event.resp_port}/{event.proto}" if event.resp_port else event.proto)
        return self._report(source, record)

    def _report(self, source: int, record: _Contact) -> Finding | None:
        self._sources.weigh(record, len(record.ours) + len(record.services))
        severity = _severity(record)
        worse = not record.severity or (
            SEVERITIES.index(severity) > SEVERITIES.index(record.severity)
        )
        if not record.growth.due(record.seen, record.last) and not worse:
            return None
        record.severity = severity
        subject = address_text(source >> 64, source & ((1 << 64) - 1))
        return Finding(
            rule=self.rule, subject=subject, key=f"{self.rule}|{subject}",
            title=_title(subject, record), first_seen=record.started / 1e9,
            last_seen=record.last / 1e9, count=record.seen, severity=severity,
            classification="c2-server" if record.outgoing else "other",
            score=_SCORES[severity], value=record.seen, threshold=1, targets=tuple(record.ours),
            evidence=_evidence(record),
        )  # fmt: skip


_SCORES: Final = {"info": 0.2, "medium": 0.6, "high": 0.9}


def _severity(record: _Contact) -> str:
    """Ours that reaches out is worse than a stranger who knocks; an answer makes either worse."""
    if record.outgoing:
        return "high" if record.answered else "medium"
    return "medium" if record.answered else "info"


def _evidence(record: _Contact) -> dict[str, Any]:
    return {
        "contacts": record.seen,
        "answered": record.answered,
        "blocked_packets": record.blocked,
        # Triage's word: everything that is known of was stopped.
        "blocked": record.blocked > 0 and not record.answered,
        "opened_by": "ours" if record.outgoing else "denied",
        "direction": record.direction,
        "ours": list(record.ours),
        "services": list(record.services),
    }


def _title(subject: str, record: _Contact) -> str:
    ours = next(iter(record.ours), "")
    more = f" and {len(record.ours) - 1} more" if len(record.ours) > 1 else ""
    if record.outgoing:
        outcome = "was answered" if record.answered else "got no answer"
        return f"{ours}{more} contacted denied {subject} and {outcome}"
    outcome = "was answered" if record.answered else "got no answer"
    return f"denied {subject} contacted {ours}{more} and {outcome}"


def _answered(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    answered: NDArray[np.bool_] = (flows["orig_packets"] > 0) & (flows["resp_packets"] > 0)
    return answered


def _direction(flows: NDArray[np.void], before: str) -> str:
    """Return the direction of the newest flow that has one."""
    known = flows["direction"][flows["direction"] > 0]
    return DIRECTIONS[int(known[-1])] if len(known) else before


def _note(record: _Contact, ours: str, service: str) -> None:
    for names, name in ((record.ours, ours), (record.services, service)):
        if name and len(names) < _SHOWN:
            names[name] = None
