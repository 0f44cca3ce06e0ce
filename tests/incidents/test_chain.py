"""The chain holds, and any change to it is found."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.incidents.chain import MAX_BODY, START, Head, canonical, check, link
from ipwatchd.records.incident import IncidentEvent, event_hash

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def chain_of(bodies: list[dict[str, Any]], site: str = "manila") -> list[IncidentEvent]:
    """Return a chain with an event for each body."""
    events: list[IncidentEvent] = []
    head = START
    for number, body in enumerate(bodies):
        event = link(
            site, head, time=number, incident="MANILA-000001", actor="anna", kind="note", body=body
        )
        events.append(event)
        head = Head(event.seq, event.hash)
    return events


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), min_size=1, max_size=5))
def test_a_chain_holds_after_a_round_trip_through_json(bodies: list[dict[str, Any]]) -> None:
    """Whatever a body holds, its hash is the same at the site and at the centre."""
    events = chain_of(bodies)
    again = msgspec.json.decode(msgspec.json.encode(events), type=list[IncidentEvent])
    head, broken = check("manila", again)
    assert broken is None
    assert head == Head(events[-1].seq, events[-1].hash)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_lost_or_moved_event_is_named(data: st.DataObject) -> None:
    """Any one field changed, event left out or two exchanged: the first bad link is found."""
    events = chain_of([{"text": str(number)} for number in range(6)])
    place = data.draw(st.integers(0, 4))
    harm = data.draw(st.sampled_from(["actor", "body", "time", "kind", "lose", "swap"]))
    event = events[place]
    changes: dict[str, Any] = {
        "actor": "mallory", "body": {"text": "x"}, "time": event.time + 1, "kind": "state",
    }  # fmt: skip
    if harm == "lose":
        del events[place]
    elif harm == "swap":
        events[place], events[place + 1] = events[place + 1], events[place]
    else:
        events[place] = msgspec.structs.replace(event, **{harm: changes[harm]})
    head, broken = check("manila", events)
    assert head.seq == place
    assert broken is not None
    assert broken.why


def test_a_rewritten_tail_does_not_fit_what_was_there_before() -> None:
    """A chain made anew from the middle on is refused at the first event that differs."""
    honest = chain_of([{"text": str(number)} for number in range(5)])
    forged = chain_of([{"text": "0"}, {"text": "0"}, *({"text": str(n)} for n in range(2, 5))])
    head, broken = check("manila", [honest[0], honest[1], *forged[2:]])
    assert head.seq == 2
    assert broken is not None
    assert broken.seq == 3


def test_another_sites_event_is_refused() -> None:
    """An event's site is part of what is checked."""
    _, broken = check("cebu", chain_of([{}]))
    assert broken is not None
    assert "manila" in broken.why


def test_the_hash_can_be_repeated_with_any_json_library() -> None:
    """The digest is SHA-256 over compact JSON with sorted keys, as the record says."""
    event = chain_of([{"b": 1, "a": "x"}])[0]
    fields = [
        event.site, event.seq, event.time, event.incident, event.actor, event.kind, event.body,
        event.previous,
    ]  # fmt: skip
    text = json.dumps(fields, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == event.hash == event_hash(event)


def test_numbers_of_numpy_and_broken_text_become_plain() -> None:
    """What a detector or a badly encoded mail hands in can't stop an incident."""
    body = {"n": np.int64(3), "ports": np.array([1, 2]), "text": "caf\udce9"}
    assert canonical(body) == {"n": 3, "ports": [1, 2], "text": "caf?"}


def test_a_body_over_the_limit_is_refused_with_its_size() -> None:
    """A 30 MB text does not get into the log."""
    with pytest.raises(ValueError, match="over the limit"):
        canonical({"text": "x" * MAX_BODY})
