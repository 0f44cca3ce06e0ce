"""Facts become a priority."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipwatchd.incidents.triage import priority, triage

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.finding import Finding


def test_the_priority_is_impact_plus_urgency_less_one() -> None:
    """The three by three table has P1 in one corner and P5 in the other."""
    table = [[priority(impact, urgency) for urgency in (1, 2, 3)] for impact in (1, 2, 3)]
    assert table == [["P1", "P2", "P3"], ["P2", "P3", "P4"], ["P3", "P4", "P5"]]
    with pytest.raises(ValueError, match="1"):
        priority(0, 2)


@pytest.mark.parametrize(
    ("severity", "evidence", "expected"),
    [
        ("critical", {}, "P1"),
        ("high", {}, "P2"),
        ("high", {"blocked": True}, "P3"),
        ("medium", {}, "P3"),
        ("medium", {"direction": "outgoing"}, "P2"),
        ("info", {"blocked": True}, "P5"),
        ("purple", {}, "P3"),
    ],
)
def test_facts_move_the_priority(
    finding: Callable[..., Finding], severity: str, evidence: dict[str, object], expected: str
) -> None:
    """What was stopped is less urgent, what comes from a machine of ours hits harder."""
    assert triage(finding(severity=severity, evidence=evidence)).priority == expected


def test_the_class_is_the_findings_or_the_rules(finding: Callable[..., Finding]) -> None:
    """A finding's own RSIT type counts, then the rule's, then it is undetermined."""
    assert triage(finding(classification="ddos")).classification == "ddos"
    assert triage(finding(classification="")).classification == "scanner"
    assert triage(finding(rule="new", classification="")).classification == "undetermined"
