"""The same thing going on is one incident: what a finding adds, and when that is written down.

A group is the living edge of one incident. Findings of its key gather here and become one `grown`
event every few seconds, so that 1,000 findings/s of one attack cost one write in GROW_SECONDS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import msgspec

from ipwatchd.incidents.bodies import Grown, Opened
from ipwatchd.incidents.chain import plain
from ipwatchd.incidents.fold import LISTED, bounded_union
from ipwatchd.incidents.taxonomy import UNDETERMINED
from ipwatchd.incidents.triage import Triage, severity_rank, triage
from ipwatchd.records.incident import OPEN_STATES, Incident, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ipwatchd.records.finding import Finding

__all__ = ["EVIDENCE_BYTES", "GROW_SECONDS", "Group", "bounded_evidence", "opened", "opened_by"]

GROW_SECONDS: Final = 5.0
EVIDENCE_BYTES: Final = 16 << 10
"""JSON bytes of evidence kept in an event: a detector's list of a million ports stays out."""
TITLE: Final = 200
TARGET: Final = 200
IMPACT_OF_REPORT, URGENCY_OF_REPORT = 2, 2


def opened(finding: Finding) -> Opened:
    """Return the event body that makes an incident of a finding."""
    facts = triage(finding)
    return Opened(
        rule=finding.rule, subject=finding.subject, title=finding.title[:TITLE],
        severity=facts.severity, priority=facts.priority, impact=facts.impact,
        urgency=facts.urgency, first_seen=finding.first_seen, last_seen=finding.last_seen,
        count=finding.count, classification=facts.classification, key=finding.key,
        targets=_targets(finding), evidence=bounded_evidence(_shown(finding)),
    )  # fmt: skip


def _shown(finding: Finding) -> dict[str, Any]:
    """Return the evidence and, before it, the line that was crossed: reviews tune by it."""
    if not finding.threshold:
        return finding.evidence
    line = {"value": finding.value, "threshold": finding.threshold, "confidence": finding.score}
    return {**line, **finding.evidence}


def opened_by(report: Report, classification: str = UNDETERMINED) -> Opened:
    """Return the event body that makes an incident of what a person told us, as yet unjudged."""
    line = report.text.strip().partition("\n")[0]
    return Opened(
        rule="report", subject=report.subject, title=line[:TITLE] or f"report by {report.channel}",
        severity="medium", priority="P3", impact=IMPACT_OF_REPORT, urgency=URGENCY_OF_REPORT,
        first_seen=report.received, last_seen=report.received, count=1,
        classification=classification, report=report,
    )  # fmt: skip


def bounded_evidence(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return evidence that JSON can hold, its largest parts left out where it is too much."""
    encoded = {str(key): _json(value) for key, value in evidence.items()}
    kept = {key: msgspec.json.decode(value) for key, value in encoded.items()}
    size = sum(map(len, encoded.values()))
    for key in sorted(encoded, key=lambda name: len(encoded[name]), reverse=True):
        if size <= EVIDENCE_BYTES:
            break
        size -= len(encoded[key])
        kept[key] = f"left out: {len(encoded[key]):,} bytes"
    return kept


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value, enc_hook=plain)
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError):
        return msgspec.json.encode(ascii(value))


def _targets(finding: Finding) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one[:TARGET] for one in finding.targets[: 10 * LISTED]))[:LISTED]


class Group(msgspec.Struct, kw_only=True):
    """What one key has grown to, written or not. `written` is when an event was last written.

    `episode` is the `first_seen` of the findings that go on: their `count` is a running total, so
    only what is more than `episode_count` is new. Another `first_seen` begins another episode.
    """

    id: str
    key: str
    state: str
    changed: float
    severity: str
    priority: str
    written: float
    targets: frozenset[str] = frozenset()
    episode: float = 0.0
    episode_count: int = 0
    pending: Grown | None = None
    urgent: bool = False

    @classmethod
    def of(
        cls, incident: Incident, *, written: float, finding: Finding | None = None, key: str = ""
    ) -> Self:
        """Return the group of an incident as it stands; `finding` is the one that opened it.

        `key` is another than the incident's where what it opened was merged into this one.
        """
        return cls(
            id=incident.id, key=key or incident.key, state=incident.state, changed=incident.updated,
            severity=incident.severity, priority=incident.priority, written=written,
            targets=frozenset(incident.targets),
            episode=finding.first_seen if finding else 0.0,
            episode_count=finding.count if finding else 0,
        )  # fmt: skip

    def over(self, now: float, reopen_seconds: float) -> bool:
        """Tell whether it was closed so long ago that more of the same is something new."""
        return self.state not in OPEN_STATES and now - self.changed >= reopen_seconds

    def due(self, now: float) -> bool:
        """Tell whether what is pending shall be written; also where the clock was set back."""
        if self.pending is None:
            return False
        return self.urgent or self.state == "CLOSED" or abs(now - self.written) >= GROW_SECONDS

    def add(self, finding: Finding) -> None:
        """Gather what a finding adds."""
        facts = triage(finding)
        worse = self._worse(facts)
        before = self.pending or Grown(
            findings=0, count=0, first_seen=finding.first_seen, last_seen=finding.last_seen
        )
        self.pending = msgspec.structs.replace(
            before, findings=before.findings + 1, count=before.count + self._more(finding),
            first_seen=min(before.first_seen, finding.first_seen),
            last_seen=max(before.last_seen, finding.last_seen),
            targets=self._new_targets(before, finding),
            evidence=_shown(finding) or before.evidence, **worse,
        )  # fmt: skip
        self.urgent = self.urgent or bool(worse)

    def growth(self) -> Grown | None:
        """Return what is pending as the body of an event."""
        if self.pending is None:
            return None
        evidence = bounded_evidence(self.pending.evidence)
        return msgspec.structs.replace(self.pending, evidence=evidence)

    def settled(self, incident: Incident, now: float) -> None:
        """Take over what was written: nothing is pending now."""
        self.pending, self.urgent, self.written = None, False, now
        self.follow(incident)

    def follow(self, incident: Incident) -> None:
        """Take over how the incident stands."""
        self.state, self.changed = incident.state, incident.updated
        self.severity, self.priority = incident.severity, incident.priority
        self.targets = frozenset(incident.targets)

    def _more(self, finding: Finding) -> int:
        same = finding.first_seen == self.episode
        more = finding.count - self.episode_count if same else finding.count
        self.episode_count = max(self.episode_count, finding.count) if same else finding.count
        self.episode = finding.first_seen
        return max(0, more)

    def _new_targets(self, before: Grown, finding: Finding) -> tuple[str, ...]:
        if len(self.targets) + len(before.targets) >= LISTED:
            return before.targets
        return bounded_union(
            before.targets, (one for one in _targets(finding) if one not in self.targets)
        )

    def _worse(self, facts: Triage) -> dict[str, Any]:
        more_severe = severity_rank(facts.severity) > severity_rank(self.severity)
        if not more_severe and facts.priority >= self.priority:
            return {}
        self.severity = facts.severity if more_severe else self.severity
        self.priority = min(facts.priority, self.priority)
        return {
            "severity": self.severity, "priority": self.priority, "impact": facts.impact,
            "urgency": facts.urgency,
        }  # fmt: skip
