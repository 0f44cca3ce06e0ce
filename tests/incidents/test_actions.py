"""What may be done in which state, held against the text that asked for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import booleans, sampled_from
from msgspec.structs import replace

from ipwatchd.incidents.actions import ACTIONS, MACHINES, InvalidActionError, decide, possible
from ipwatchd.incidents.chain import START, Head, link
from ipwatchd.incidents.fold import apply
from ipwatchd.incidents.grouping import opened_by
from ipwatchd.incidents.policy import load_policy
from ipwatchd.records.incident import OPEN_STATES, STATES, Report, Task

if TYPE_CHECKING:
    from ipwatchd.incidents.bodies import Body
    from ipwatchd.records.incident import Incident

POLICY = load_policy()
FACTS = {
    "confidentiality": "no", "integrity": "no", "availability": "no", "data": "none",
    "malicious": "yes", "ongoing": "no", "spread": "one",
}  # fmt: skip
PERSONAL = FACTS | {"data": "customer"}
HIGH = FACTS | {"privileged": "yes", "ongoing": "yes"}

ALLOWED = {
    ("NEW", "TRIAGE"), ("TRIAGE", "CONFIRMED"), ("CONFIRMED", "CONTAINED"),
    ("CONTAINED", "RESOLVED"), ("RESOLVED", "REVIEW"), ("REVIEW", "CLOSED"),
    ("NEW", "REJECTED"), ("TRIAGE", "REJECTED"), ("NEW", "MERGED"), ("TRIAGE", "MERGED"),
    ("CONTAINED", "CONFIRMED"), ("CLOSED", "TRIAGE"), ("REJECTED", "TRIAGE"),
}  # fmt: skip
"""Every way there is, as the specification says it; nothing else may ever happen."""


def fresh(**changes: Any) -> Incident:
    """Return an incident just opened by a report, with one mandatory step and one other."""
    report = Report(id="r1", received=5.0, channel="call", reporter="ana", text="no dial tone")
    body = replace(
        opened_by(report),
        tasks=(Task(sop="s", step="must", mandatory=True), Task(sop="s", step="may")),
    )
    event = link(
        "manila", START, time=5.0, incident="MANILA-000001", actor="ana", kind="opened", body=body
    )
    incident = apply(None, event)
    for name, value in changes.items():
        setattr(incident, name, value)
    return incident


def doing(incident: Incident, action: str, **ask: Any) -> tuple[str, Body]:
    """Decide on an action of ben's."""
    ask = {"actor": "ben", "reason": "", "now": 6.0} | ask
    return decide(incident, action, policy=POLICY, **ask)


class Life(RuleBasedStateMachine):
    """An incident to which anybody does anything, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.incident = fresh()
        self.head = Head(1, "1" * 64)

    def _do(self, action: str, actor: str, reason: str, details: dict[str, Any]) -> None:
        before = self.incident
        try:
            kind, body = doing(before, action, actor=actor, reason=reason, details=details)
        except InvalidActionError:
            return
        event = link(
            "manila", self.head, time=6.0, incident=before.id, actor=actor, kind=kind, body=body
        )
        self.head = Head(event.seq, event.hash)
        self.incident = apply(before, event)
        self._judge(before, actor, reason)

    def _judge(self, before: Incident, actor: str, reason: str) -> None:
        """Hold what happened against the specification, not against the code's own table."""
        after = self.incident
        if before.state == after.state:
            return
        assert (before.state, after.state) in ALLOWED
        if after.state == "CONFIRMED":
            assert after.classification not in {"", "undetermined"}
            assert not POLICY.assessment.missing(after.facts)
        if after.state == "CLOSED":
            assert all(one.done for one in after.tasks if one.mandatory)
            assert all(one.done for one in after.obligations)
            assert after.feedback
            assert after.resolution
        if after.state == "REJECTED":
            assert reason
            if before.priority in {"P1", "P2"} or before.personal:
                assert before.proposal is not None
                assert before.proposal.actor != actor

    @rule(
        action=sampled_from(
            ["take", "confirm", "contain", "resolve", "review", "close", "reject", "reopen",
             "feedback", "hold", "resume"]
        ),
        actor=sampled_from(["ben", "cora"]), reason=sampled_from(["", "a reason"]),
    )  # fmt: skip
    def move(self, action: str, actor: str, reason: str) -> None:
        """Move it on, or try to."""
        self._do(action, actor, reason, {})

    @rule(word=sampled_from(["phishing: a call", "undetermined", "nonsense", ""]))
    def classify(self, word: str) -> None:
        """Name its class."""
        self._do("classify", "ben", word, {})

    @rule(answers=sampled_from([FACTS, PERSONAL, HIGH, {"spread": "many"}, {}]))
    def assess(self, answers: dict[str, str]) -> None:
        """Answer questions."""
        self._do("assess", "ben", "", {"answers": answers})

    @rule(step=sampled_from(["must", "s/may", "other"]), done=booleans())
    def tick(self, step: str, done: bool) -> None:
        """Tick a step, or take the tick back."""
        self._do("tick" if done else "untick", "ben", "", {"step": step})

    @rule(done=sampled_from([0.0, 9.0]))
    def oblige(self, done: float) -> None:
        """A duty begins or is met."""
        duty = {"id": "npc-72h", "title": "notify the NPC", "due": 100.0, "done": done}
        self._do("oblige", "clock", "", {"obligation": duty})

    @rule(word=sampled_from(["P1", "p4", "auto", "P9"]), reason=sampled_from(["", "the CEO's"]))
    def prioritise(self, word: str, reason: str) -> None:
        """Override the priority."""
        self._do("prioritise", "ben", reason, {"priority": word})

    @rule()
    def merge(self) -> None:
        """Merge it only rarely, by a target that has to be named."""
        self._do("merge", "ben", "the same", {})

    @invariant()
    def it_is_whole(self) -> None:
        """The priority follows from impact and urgency unless it was overridden."""
        one = self.incident
        assert one.state in STATES
        assert one.priority == (one.override or f"P{one.impact + one.urgency - 1}")
        assert set(possible(one.state)) <= set(ACTIONS)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("state", STATES)
def test_a_refusal_says_what_is_possible(state: str) -> None:
    """Every state lets one write a note, and names its possible actions where it refuses."""
    incident = fresh(state=state)
    with pytest.raises(InvalidActionError, match="possible") as refusal:
        doing(incident, "explode")
    named = set(re.findall(r"[a-z]+", str(refusal.value)))
    assert set(possible(state)) - named == set(MACHINES)
    assert "note" in possible(state)


def test_only_closed_and_rejected_reopen() -> None:
    """Reopening leads to triage, from the two ends that allow it; feedback is due anew."""
    assert [state for state in STATES if "reopen" in possible(state)] == ["CLOSED", "REJECTED"]


def test_taking_over_changes_the_owner_and_not_the_state() -> None:
    """A second pair of hands does not set a confirmed incident back."""
    for state in OPEN_STATES[1:]:
        _, body = doing(fresh(state=state), "take", actor="cora")
        assert (getattr(body, "after", ""), getattr(body, "owner", "")) == (state, "cora")


@pytest.mark.parametrize(
    ("state", "action", "says"),
    [("REVIEW", "close", "s/must .*feedback"), ("NEW", "reject", "reason"),
     ("NEW", "note", "text"), ("NEW", "classify", "RSIT"), ("NEW", "merge", "merged into"),
     ("TRIAGE", "confirm", "class .*confidentiality"), ("NEW", "hold", "wait"),
     ("NEW", "resume", "not on hold"), ("NEW", "assess", "confidentiality=no"),
     ("NEW", "prioritise", "P1, P2"), ("NEW", "tick", "SOP/STEP"), ("NEW", "read", "SOP"),
     ("NEW", "feedback", "told")],
)  # fmt: skip
def test_guards_name_what_is_missing(state: str, action: str, says: str) -> None:
    """An action without what it is due is refused, and the sentence names it."""
    with pytest.raises(InvalidActionError, match=says):
        doing(fresh(state=state), action, reason="  ")


def test_an_override_needs_a_reason() -> None:
    """Nobody makes it a P5 without saying why."""
    with pytest.raises(InvalidActionError, match="reason"):
        doing(fresh(), "prioritise", details={"priority": "P5"})


def test_feedback_on_a_finding_judges_the_detector() -> None:
    """What a detector raised is called true, false or benign, for its rate of false alarms."""
    scan = fresh(rule="port-scan")
    with pytest.raises(InvalidActionError, match="false-positive"):
        doing(scan, "feedback", reason="we looked")
    _, body = doing(scan, "feedback", reason="false-positive: the printer asks everybody")
    assert getattr(body, "verdict", "") == "false-positive"
    assert getattr(body, "text", "") == "the printer asks everybody"


def test_nobody_forges_a_receipt() -> None:
    """A receipt in a request's details is refused: only what carried it out writes one."""
    with pytest.raises(InvalidActionError, match="receipt"):
        doing(fresh(), "response", reason="denied", details={"receipt": {"id": "x"}})
