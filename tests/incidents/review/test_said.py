"""Events in words: whoever reads a case on paper sees who did what, and how duties ended."""

from __future__ import annotations

from typing import Any

import pytest

from ipwatchd.incidents import bodies
from ipwatchd.incidents.chain import plain
from ipwatchd.incidents.review.said import duty_of, is_told, said_of
from ipwatchd.records.incident import IncidentEvent, Notice, Obligation, Proposal, Report
from ipwatchd.records.paging import Page


def event(kind: str, body: bodies.Body) -> IncidentEvent:
    """Return an event as the log has it: its body went through JSON."""
    import msgspec

    held: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body, enc_hook=plain))
    return IncidentEvent(
        site="s", seq=1, time=1.0, incident="S-1", actor="ana", kind=kind, body=held,
        previous="", hash="",
    )  # fmt: skip


def moment(seconds: float) -> str:
    """Write a time so that a test can read it."""
    return f"t{seconds:.0f}"


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("opened", bodies.Opened(
            rule="report", subject="", title="Laptop gone", severity="medium", priority="P3",
            impact=2, urgency=2, first_seen=1.0, last_seen=1.0, count=1,
            report=Report(id="r", received=1.0, channel="call", reporter="grace",
                          text="Laptop gone\nin a taxi\nat nine"),
        ), "grace by call: Laptop gone, P3; in a taxi; at nine"),
        ("paged", bodies.Paged(
            policy="urgent", cause="opened", priority="P1", step=1, round=0, need=1,
            pages=(Page(number=1, time=1.0, person="ben", channel="mail", to="b@x"),),
        ), "step 2: ben by mail; opened"),
        ("noticed", bodies.Noticed(obligation="gdpr.controller", notice=Notice(
            stage="initial", time=1.0, by="dina", reference="by phone", missing=("measures",),
        )), "gdpr.controller: initial notice; by phone; lacks measures"),
        ("acked", bodies.Acked(by="ana", via="link"), "is on it (by link)"),
        ("aware", bodies.Aware(at=60.0, reason="she rang"), "since t60; she rang"),
        ("assessed", bodies.Assessed(
            facts={"data": ["contact", "health"], "subjects": {"min": 2, "max": 9}}, impact=1,
            urgency=1, priority="P1", because=("it is out",),
        ), "data contact, health, subjects 2 to 9; P1 because it is out"),
        ("proposed", bodies.Proposed(proposal=Proposal(
            action="waive", actor="ana", reason="encrypted", time=1.0, target="gdpr.authority",
        )), "waive gdpr.authority (encrypted)"),
        ("state", bodies.State(action="reject", before="NEW", after="REJECTED", reason="a test",
                               second="ana"),
         "reject: NEW → REJECTED; a test; proposed by ana"),
        ("note", bodies.Note(text="asked her"), "asked her"),
        ("marked", bodies.Marked(tlp="TLP:RED"), "TLP:RED"),
    ],
)  # fmt: skip
def test_an_event_is_a_sentence(kind: str, body: bodies.Body, words: str) -> None:
    """Every kind says what it is about."""
    assert said_of(event(kind, body), moment) == words


def test_what_came_and_went_with_each_answer_is_left_out() -> None:
    """Duties that only may apply, and pages that left, fill no timeline; what failed stands."""

    def told(state: str) -> bool:
        duty = Obligation(id="a.b", title="Tell", due=9.0, state=state)
        return is_told(event("obliged", bodies.Obliged(obligation=duty)))

    assert [told(state) for state in ("", "waived", "possible", "void")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert not is_told(event("delivered", bodies.Delivered(page=1, ok=True)))
    assert is_told(event("delivered", bodies.Delivered(page=1, ok=False, why="refused")))


@pytest.mark.parametrize(
    ("duty", "words", "mood"),
    [
        ({"state": "void"}, "does not apply", "quiet"),
        ({"state": "waived", "by": ("ana", "ben"), "note": "encrypted"},
         "waived by ana and ben; encrypted", "quiet"),
        ({"state": "met", "done": 5.0}, "t5 in time", "good"),
        ({"state": "met", "done": 15.0}, "t15 late", "bad"),
        ({"done": 5.0, "open": ("measures",)}, "t5 in time; still lacks measures", "bad"),
        ({"state": "possible", "asks": ("countries",)}, "open: countries not answered", "bad"),
        ({}, "not yet", "bad"),
    ],
)  # fmt: skip
def test_how_a_duty_ended(duty: dict[str, Any], words: str, mood: str) -> None:
    """What does not apply, or was waived, is not shown as missed."""
    one = Obligation(id="a.b", title="Tell", due=10.0, **duty)
    assert duty_of(one, moment) == (words, mood)
