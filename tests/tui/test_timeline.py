"""The timeline in words: who was told, which step was ticked, what a duty asks, what failed."""

from __future__ import annotations

from datetime import UTC

import msgspec
import pytest

from ipwatchd.incidents import bodies
from ipwatchd.records import incident as parts
from ipwatchd.records.paging import Letter, Page
from tui.casefile import casefile
from tui.columns import Context
from tui.timeline import timeline

NOON = 1_763_726_400.0  # 2025-11-21 12:00:00 UTC
_LETTER = Letter(
    number=2, time=NOON, channel="mail", about="update", to="p@acme.example", name="acme"
)
EVENTS = {
    "state": (
        bodies.State(action="reject", before="NEW", after="REJECTED", reason="test", second="ana"),
        ("reject: NEW → REJECTED", "agreed to what ana proposed", "test"),
    ),
    "assessed": (
        bodies.Assessed(facts={}, impact=1, urgency=1, priority="P1", because=("data is out",)),
        ("P1 because data is out",),
    ),
    "prioritised": (bodies.Prioritised(priority="", reason="calm"), ("by the facts again", "calm")),
    "classified": (bodies.Classified(classification="scanner"), ("class scanner",)),
    "held": (bodies.Held(), ("it waits no longer",)),
    "feedback": (bodies.Feedback(text="told jose", verdict="benign"), ("benign", "told jose")),
    "step": (bodies.Step(sop="lost", step="lock", note="late"), ("lost/lock", "late")),
    "read": (bodies.Read(sop="lost", version="3"), ("lost 3",)),
    "proposed": (
        bodies.Proposed(
            proposal=parts.Proposal(
                action="waive", actor="ana", reason="small", time=NOON, target="gdpr.authority"
            )
        ),
        ("waive gdpr.authority: a second must agree", "small"),
    ),
    "obliged": (
        bodies.Obliged(obligation=parts.Obligation(id="a.b", title="Tell them", due=NOON)),
        ("Tell them, due 2025-11-21 12:00:00",),
    ),
    "aware": (bodies.Aware(at=NOON, reason="rang"), ("since 2025-11-21 12:00:00", "rang")),
    "told": (bodies.Told(fields={"nature": "a list"}), ("nature: a list",)),
    "noticed": (
        bodies.Noticed(
            obligation="a.b",
            notice=parts.Notice(
                stage="initial", time=NOON, by="ana", reference="B. Cruz", missing=("measures",)
            ),
        ),
        ("initial notice of a.b, B. Cruz, without measures",),
    ),
    "paged": (
        bodies.Paged(
            policy="urgent", cause="opened", priority="P1", step=0, round=0, need=1,
            pages=(Page(number=1, time=NOON, channel="mail", to="a@b", person="ana"),),
        ),
        ("ana by mail, opened",),
    ),
    "delivered": (
        bodies.Delivered(page=0, ok=False, why="refused", letter=2),
        ("letter 2 failed, refused",),
    ),
    "acked": (bodies.Acked(by="ana", via="link"), ("ana by link",)),
    "absorbed": (bodies.Absorbed(incident="LAB-2"), ("LAB-2 is part of it now",)),
    "marked": (bodies.Marked(tlp="TLP:RED", reason="names"), ("TLP:RED", "names")),
    "updated": (
        bodies.Updated(
            audience="client", language="es", tlp="TLP:AMBER", to="p@acme.example", way="mail",
            subject="s", text="Hola\n\nfin", letters=(_LETTER,),
        ),
        ("client, p@acme.example, TLP:AMBER, es, by mail", "Hola", "fin"),
    ),
    "posted": (bodies.Posted(letters=(_LETTER,)), ("acme by mail",)),
    "translated": (bodies.Translated(report="4f1c", language="en", text="x"), ("4f1c into en",)),
    "watched": (
        bodies.Watched(
            subject="10.0.0.1", since=0.0, until=1.0, flows=12, bytes=3000, peer_count=2,
            peers=("10.0.0.2",), services=("tls",),
        ),
        ("10.0.0.1: 12 flows, 3.0 kB, 2 peers", "10.0.0.2, tls"),
    ),
    "collected": (
        bodies.Collected(
            exhibits=(parts.Exhibit(name="flows.json", sha256="0", bytes=1, taken=NOON),),
            missing={"pcap": "not configured"},
        ),
        ("flows.json", "no pcap: not configured"),
    ),
    "checked": (
        bodies.Checked(
            report="4f1c", facts=({"claim": "agent", "said": "jose", "fact": "is not known"},)
        ),
        ("agent jose: is not known",),
    ),
    "suggested": (
        bodies.Suggested(duplicates=({"id": "LAB-7", "score": 0.81, "why": ["same day"]},)),
        ("like LAB-7 (81%: same day)",),
    ),
    "jumped": (bodies.Jumped(step=1, reason="ana is ill"), ("to step 1", "ana is ill")),
}  # fmt: skip


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_says_what_happened(kind: str) -> None:
    """The bodies are those of the log, and each says in words what its kind is about."""
    body, wanted = EVENTS[kind]
    event = {
        "time": NOON, "actor": "ben", "kind": kind, "body": msgspec.to_builtins(body)
    }  # fmt: skip
    shown = "\n".join("".join(piece.text for piece in line) for line in timeline(event, 100, UTC))
    for text in wanted:
        assert text in shown
    assert "␊" not in shown


def test_a_long_update_takes_few_lines_and_controls_are_shown() -> None:
    """What strangers wrote can't fill the page, nor write to the terminal."""
    body = {"text": "\n".join(f"line {one}\x1b[31m" for one in range(500))}
    lines = timeline({"time": NOON, "kind": "updated", "body": body}, 80, UTC)
    assert len(lines) == 20
    assert not any("\x1b" in piece.text for line in lines for piece in line)


def test_a_range_and_an_awareness_are_no_raw_values() -> None:
    """People concerned are 240, or 1,000 to 2,000; not an object."""
    facts = {"subjects": {"min": 240, "max": 240}, "records": {"min": 1000, "max": 2000}}
    lines = casefile({"facts": facts}, 80, Context(NOON, UTC))
    text = ["".join(piece.text for piece in line).split() for line in lines]
    assert ["subjects", "240"] in text
    assert ["records", "1,000", "to", "2,000"] in text
