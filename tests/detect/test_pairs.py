"""Pairs keep their latest contacts as a deque each would, and never more pairs than allowed."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.detect.pairs import KEPT, Pairs

CONTACTS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 1000)), min_size=1, max_size=300)


@given(CONTACTS, st.integers(1, 150))
@settings(max_examples=100, deadline=None)
def test_contacts_are_those_of_a_deque(contacts: list[tuple[int, int]], size: int) -> None:
    """For any cut into batches: the latest contacts, how many there were, first and last time."""
    pairs, want = Pairs(64), defaultdict(list)
    rows = {}
    for first in range(0, len(contacts), size):
        part = contacts[first : first + size]
        keys = np.array([key for key, _ in part], np.uint64)
        times = np.arange(first, first + len(part), dtype=np.int64) + 7
        amounts = np.array([amount for _, amount in part], np.uint64)
        for noted in pairs.note(keys, times, amounts):
            for place, row in enumerate(noted.rows.tolist()):
                mine = noted.order[noted.starts[place] :][: noted.counts[place]]
                assert len(set(keys[mine].tolist())) == 1
                key = int(keys[mine[0]])
                assert rows.setdefault(key, row) == row
                assert (place in noted.new) == (key not in want) == (noted.before[place] == 0)
                want[key] += zip(times[mine].tolist(), amounts[mine].tolist(), strict=True)
    assert len(pairs) == len(want)
    for key, row in rows.items():
        assert pairs.contacts(row) == want[key][-KEPT:]
        assert int(pairs.seen[row]) == len(want[key])
        assert (int(pairs.started[row]), int(pairs.last[row])) == (
            want[key][0][0],
            want[key][-1][0],
        )


@given(st.lists(st.integers(1, 400), min_size=1, max_size=400), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_the_longest_quiet_make_room(keys: list[int], limit: int) -> None:
    """There are never more than allowed; who came last is held; all that went are counted."""
    pairs = Pairs(limit)
    times = np.arange(len(keys), dtype=np.int64) + 1
    made = 0
    for noted in pairs.note(np.array(keys, np.uint64), times, np.ones(len(keys), np.uint64)):
        made += len(noted.new)
        assert len(pairs) <= max(limit, 2)
        assert len(set(noted.rows.tolist())) == len(noted.rows)
    assert made == len(pairs) + pairs.shed
    held = {int(pairs.key[row]) for row in np.flatnonzero(pairs.seen)}
    assert keys[-1] in held


def test_the_quiet_are_forgotten_and_begin_anew() -> None:
    """After a sweep a pair has no contacts left from before."""
    pairs, one = Pairs(8), np.ones(1, np.uint64)
    for time in (10, 20):
        list(pairs.note(one, np.array([time], np.int64), one))
    pairs.sweep(21)
    assert len(pairs) == 0
    [noted] = pairs.note(one, np.array([30], np.int64), one)
    assert pairs.contacts(int(noted.rows[0])) == [(30, 1)]
    assert pairs.shed == 0
