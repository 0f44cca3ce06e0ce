"""Finding → severity, priority and class.

From facts: how bad the rule says it is, whether it was stopped, whether it comes from inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.records.finding import SEVERITIES

if TYPE_CHECKING:
    from ipwatchd.records.finding import Finding

__all__ = ["Triage", "priority", "severity_rank", "triage"]

HIGH, MEDIUM, LOW = 1, 2, 3

_BY_SEVERITY: Final = {
    "critical": (HIGH, HIGH),
    "high": (HIGH, MEDIUM),
    "medium": (MEDIUM, MEDIUM),
    "low": (MEDIUM, LOW),
    "info": (LOW, LOW),
}
"""severity → impact and urgency, before the facts change them."""

_BY_RULE: Final = {
    "port_scan": "scanner",
    "password_guessing": "brute-force",
}
"""rule → RSIT type, where a finding names none."""

_UNKNOWN: Final = "undetermined"


class Triage(NamedTuple):
    """What an incident starts with. `impact` and `urgency` are 1 (high) to 3 (low)."""

    severity: str
    impact: int
    urgency: int
    priority: str
    classification: str


def triage(finding: Finding) -> Triage:
    """Return how bad a finding is, how fast somebody must look, and its class.

    Facts are taken from the evidence where a detector gives them: `blocked` (the firewall stopped
    it) lowers the urgency, `direction` outgoing or internal (a machine of ours does it) raises the
    impact.
    """
    severity = finding.severity if finding.severity in _BY_SEVERITY else "medium"
    impact, urgency = _BY_SEVERITY[severity]
    if finding.evidence.get("blocked") is True:
        urgency = min(LOW, urgency + 1)
    if finding.evidence.get("direction") in {"outgoing", "internal"}:
        impact = max(HIGH, impact - 1)
    kind = finding.classification or _BY_RULE.get(finding.rule, _UNKNOWN)
    return Triage(severity, impact, urgency, priority(impact, urgency), kind)


def priority(impact: int, urgency: int) -> str:
    """Return P1 to P5 of impact and urgency, each 1 (high) to 3 (low)."""
    if not (HIGH <= impact <= LOW and HIGH <= urgency <= LOW):
        raise ValueError(f"impact {impact} and urgency {urgency} must be 1 (high) to 3 (low)")
    return f"P{impact + urgency - 1}"


def severity_rank(severity: str) -> int:
    """Return where a severity stands, the worst highest; -1 where it is none."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1
