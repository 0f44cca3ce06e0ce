"""What may be done in which state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import sampled_from

from ipwatchd.incidents.actions import ACTIONS, TRANSITIONS, InvalidActionError, decide, possible
from ipwatchd.incidents.chain import START, Head, link
from ipwatchd.incidents.fold import apply
from ipwatchd.incidents.grouping import opened_by
from ipwatchd.records.incident import OPEN_STATES, STATES, Report

if TYPE_CHECKING:
    from ipwatchd.records.incident import Incident


def fresh(**changes: Any) -> Incident:
    """Return an incident just opened by a report."""
    report = Report(id="r1", received=5.0, channel="call", reporter="ana", text="no dial tone")
    event = link(
        "manila", START, time=5.0, incident="MANILA-000001", actor="ana", kind="opened",
        body=opened_by(report),
    )  # fmt: skip
    incident = apply(None, event)
    for name, value in changes.items():
        setattr(incident, name, value)
    return incident


class Life(RuleBasedStateMachine):
    """An incident to which anybody does anything, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.incident = fresh()
        self.head = Head(1, "1" * 64)

    @rule(action=sampled_from(ACTIONS), reason=sampled_from(["", "phishing: a call"]))
    def do(self, action: str, reason: str) -> None:
        """Act: it goes where the table says, or is refused and nothing changes."""
        before = self.incident.state
        if action not in possible(before):
            with pytest.raises(InvalidActionError):
                decide(self.incident, action, actor="ben", reason=reason)
            return
        try:
            kind, body = decide(self.incident, action, actor="ben", reason=reason)
        except InvalidActionError:
            if reason:
                raise
            return
        event = link(
            "manila", self.head, time=6.0, incident=self.incident.id, actor="ben", kind=kind,
            body=body,
        )  # fmt: skip
        self.head = Head(event.seq, event.hash)
        self.incident = apply(self.incident, event)
        assert self.incident.state == TRANSITIONS.get(action, {}).get(before, before)

    @invariant()
    def closed_says_what_was_done(self) -> None:
        """No closed incident is without a resolution; every state is one of the known."""
        assert self.incident.state in STATES
        assert self.incident.state != "CLOSED" or self.incident.resolution


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_the_way_through() -> None:
    """The states of a case that goes its way, in order."""
    incident, seen = fresh(), ["NEW"]
    for action in (
        "take",
        "confirm",
        "contain",
        "confirm",
        "contain",
        "resolve",
        "review",
        "close",
    ):
        _, body = decide(incident, action, actor="ben", reason="blocked the caller")
        incident.state = getattr(body, "after", "")
        incident.resolution = getattr(body, "resolution", "") or incident.resolution
        seen.append(incident.state)
    assert seen == [
        "NEW", "TRIAGE", "CONFIRMED", "CONTAINED", "CONFIRMED", "CONTAINED", "RESOLVED", "REVIEW",
        "CLOSED",
    ]  # fmt: skip
    assert tuple(dict.fromkeys(seen)) == STATES[:7]


@pytest.mark.parametrize("state", STATES)
def test_a_refusal_says_what_is_possible(state: str) -> None:
    """Every state lets one write a note, and names its possible actions where it refuses."""
    incident = fresh(state=state)
    with pytest.raises(InvalidActionError, match="possible") as refusal:
        decide(incident, "explode", actor="ben", reason="")
    assert all(action in str(refusal.value) for action in possible(state))
    assert "note" in possible(state)


def test_only_closed_and_rejected_reopen() -> None:
    """Reopening leads to triage, from the two ends that allow it."""
    assert [state for state in STATES if "reopen" in possible(state)] == ["CLOSED", "REJECTED"]


def test_taking_over_changes_the_owner_and_not_the_state() -> None:
    """A second pair of hands does not set a confirmed incident back."""
    for state in OPEN_STATES[1:]:
        _, body = decide(fresh(state=state), "take", actor="cora", reason="")
        assert (getattr(body, "after", ""), getattr(body, "owner", "")) == (state, "cora")


@pytest.mark.parametrize(
    ("state", "action", "says"),
    [("REVIEW", "close", "resolution"), ("NEW", "reject", "reason"), ("NEW", "note", "text"),
     ("NEW", "classify", "RSIT")],
)  # fmt: skip
def test_guards_name_what_is_missing(state: str, action: str, says: str) -> None:
    """An action without the words it is due is refused, and the sentence names them."""
    with pytest.raises(InvalidActionError, match=says):
        decide(fresh(state=state), action, actor="ben", reason="  ")
