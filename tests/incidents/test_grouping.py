"""Findings of one key become few events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.incidents.chain import START, link
from ipwatchd.incidents.fold import LISTED, apply
from ipwatchd.incidents.grouping import EVIDENCE_BYTES, GROW_SECONDS, Group, bounded_evidence
from ipwatchd.incidents.grouping import opened as opening
from ipwatchd.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable


def group_of(finding: Finding, now: float = 1000.0) -> Group:
    """Return the group of an incident that a finding just opened."""
    event = link(
        "manila", START, time=now, incident="MANILA-000001", actor="x", kind="opened",
        body=opening(finding),
    )  # fmt: skip
    return Group.of(apply(None, event), written=now, finding=finding)


def test_growth_is_due_every_few_seconds(finding: Callable[..., Finding]) -> None:
    """What is pending is due after GROW_SECONDS, or where the clock was set back."""
    group = group_of(finding())
    assert not group.due(99_999.0)
    group.add(finding(count=25))
    assert not group.due(1000.0 + GROW_SECONDS - 0.1)
    assert group.due(1000.0 + GROW_SECONDS)
    assert group.due(1000.0 - GROW_SECONDS)


def test_what_gets_worse_is_due_at_once(finding: Callable[..., Finding]) -> None:
    """A raised severity or priority does not wait for the next write."""
    for worse in (finding(severity="critical"), finding(evidence={"direction": "internal"})):
        group = group_of(finding())
        group.add(worse)
        assert group.due(1000.0)
        growth = group.growth()
        assert growth is not None
        assert growth.priority < "P3"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1000.0, 2000.0]), st.integers(1, 50)), max_size=20))
def test_running_totals_are_not_counted_twice(reports: list[tuple[float, int]]) -> None:
    """Findings of one episode carry a running total; the incident's is the sum of episodes."""
    first = Finding(
        rule="r", subject="s", key="k", title="t", first_seen=1000.0, last_seen=1000.0, count=1,
        severity="low", classification="", score=1.0, value=1.0, threshold=1.0,
    )  # fmt: skip
    ordered = sorted(reports)
    group = group_of(first)
    for episode, count in ordered:
        group.add(
            Finding(
                rule="r", subject="s", key="k", title="t", first_seen=episode, last_seen=episode,
                count=count, severity="low", classification="", score=1.0, value=1.0, threshold=1.0,
            )
        )  # fmt: skip
    growth = group.growth()
    grown = growth.count if growth else 0
    totals = {1000.0: 1}
    for episode, count in ordered:
        totals[episode] = max(totals.get(episode, 0), count)
    assert 1 + grown == sum(totals.values())


def test_pending_targets_are_bounded(finding: Callable[..., Finding]) -> None:
    """However many targets an attack has, what waits in memory stays at LISTED."""
    group = group_of(finding())
    for number in range(50):
        group.add(finding(targets=tuple(f"10.{number}.0.{low}" for low in range(100))))
    growth = group.growth()
    assert growth is not None
    assert len(growth.targets) == LISTED


def test_evidence_too_large_loses_its_largest_parts() -> None:
    """The small facts stay, what is left out says how large it was, and anything becomes JSON."""
    kept = bounded_evidence({"ports": list(range(100_000)), "blocked": True, "odd": "\udce9"})
    assert kept["blocked"] is True
    assert "left out" in kept["ports"]
    assert kept["odd"] == r"'\udce9'"
    assert len(str(kept)) < EVIDENCE_BYTES
