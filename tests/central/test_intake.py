"""What the centre takes, ignores and refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.central.intake import Accept, Conflict, Gap, decide, flaw
from ipwatchd.incidents.chain import START, Head, link

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.records.incident import IncidentEvent

    Chain = Callable[..., list[IncidentEvent]]


def head_of(log: list[IncidentEvent]) -> Head:
    """Return the end of a log."""
    return Head(log[-1].seq, log[-1].hash) if log else START


def notes(count: int) -> list[IncidentEvent]:
    """Return a chain of notes."""
    log: list[IncidentEvent] = []
    for _ in range(count):
        log.append(
            link("manila", head_of(log), time=1.0, incident="M-1", actor="a", kind="note", body={})
        )
    return log


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=30))
def test_any_pieces_in_any_order_never_double_or_reorder(pieces: list[tuple[int, int]]) -> None:
    """Whatever pieces of a chain arrive, what is held is a beginning of it."""
    log, held = notes(12), list[object]()
    stored: list[IncidentEvent] = []
    for first, count in pieces:
        batch = log[first : first + count]
        decision = decide(head_of(stored), {one.seq: one.hash for one in stored}, batch)
        if isinstance(decision, Accept):
            stored.extend(decision.fresh)
            assert decision.head == head_of(stored)
        else:
            assert decision == Gap(len(stored) + 1)
        held.append(decision)
        assert stored == log[: len(stored)]


def test_a_fork_is_seen_where_it_begins_and_behind_it(chain: Chain) -> None:
    """Another event for a held seq, or one that follows from another: both are conflicts."""
    ours, theirs = chain(5), chain(9, salt="forged")
    held = {one.seq: one.hash for one in ours}
    assert decide(head_of(ours), held, theirs[:3]) == Conflict(1, ours[0].hash, theirs[0].hash)
    assert decide(head_of(ours), held, theirs[5:]) == Conflict(5, ours[4].hash, theirs[4].hash)


def test_a_tampered_batch_is_refused_with_its_reason(chain: Chain) -> None:
    """A changed body, a hole within, a number below one, another site: each is named."""
    log = chain(4)
    changed = [log[0], msgspec.structs.replace(log[1], actor="mallory"), log[2]]
    assert "event 2 was changed" in flaw("manila", changed)
    assert "missing" in flaw("manila", [log[0], log[2]])
    assert "can't be" in flaw("manila", [msgspec.structs.replace(log[0], seq=0)])
    assert "can't be" in flaw("manila", [msgspec.structs.replace(log[0], seq=1 << 70)])
    assert "not of cebu" in flaw("cebu", log)
    assert not flaw("manila", log[1:])
    assert not flaw("manila", [])
