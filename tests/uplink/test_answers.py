"""Answers are checked before they are believed."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.records.exchange import MAX_ENTRIES
from ipwatchd.uplink.answers import entries_of, held_of, refusal_of
from ipwatchd.uplink.protocol import Conflict, Denied, Failed, Gap, Held

ENTRY = {
    "id": 1, "list": "deny", "network": "203.0.113.7/24", "reason": "r", "author": "a",
    "created": 1.0, "source": "admin",
}  # fmt: skip


def lists(*entries: dict[str, object]) -> bytes:
    """Return an answer to a poll."""
    return msgspec.json.encode({"version": "v", "entries": entries})


@settings(max_examples=200, deadline=None)
@given(st.integers(100, 599), st.binary(max_size=200))
def test_any_bytes_become_an_answer(status: int, body: bytes) -> None:
    """No status and no bytes raise anything."""
    assert isinstance(held_of(status, body), Held | Gap | Conflict | Denied | Failed)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"committed": 5}', Held),
        (409, b'{"error": "gap", "expected": 3}', Gap),
        (409, b'{"error": "fork", "conflict": 3}', Conflict),
        (409, b'{"error": "?"}', Failed),
        (401, b"", Denied),
        (403, b'{"error": "other site"}', Denied),
        (200, b'{"committed": 1e99}', Failed),
        (503, b'{"error": "disk full"}', Failed),
    ],
)
def test_each_status_means_one_thing(status: int, body: bytes, kind: type) -> None:
    """Status and body decide together."""
    assert isinstance(held_of(status, body), kind)


def test_a_refusal_keeps_the_centres_words() -> None:
    """What the centre says is what the admin reads."""
    assert "disk full" in str(refusal_of(503, b'{"error": "disk full"}'))


def test_entries_are_canonical_and_of_the_centre() -> None:
    """Host bits are taken off, the source is set here, one entry a network stays."""
    (entry,) = entries_of(lists(ENTRY, ENTRY | {"id": 2, "network": "203.0.113.0/24"}))
    assert (entry.id, entry.network, entry.source) == (2, "203.0.113.0/24", "central")


@pytest.mark.parametrize(
    "change",
    [
        {"list": "maybe"},
        {"network": "all"},
        {"reason": "x" * 5000},
        {"created": "yesterday"},
    ],
)
def test_an_unsound_entry_refuses_the_set(change: dict[str, object]) -> None:
    """A set with holes would be a wrong set."""
    with pytest.raises(ValueError, match=r"centre|address"):
        entries_of(lists(ENTRY, ENTRY | change))


def test_too_many_entries_are_refused() -> None:
    """A broken centre can't fill the firewall."""
    with pytest.raises(ValueError, match="list entries, over"):
        entries_of(lists(*([ENTRY] * (MAX_ENTRIES + 1))))
