"""Batches cut by source and by time lose and mix nothing."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.detect.batch import Groups, address_hash, by_address, runs, slices
from ipwatchd.records.flow import empty_flows

HALVES = st.tuples(st.integers(0, 3), st.integers(0, 5))


@given(st.lists(HALVES, max_size=60))
@settings(max_examples=150, deadline=None)
def test_groups_are_what_a_dict_would_be(addresses: list[tuple[int, int]]) -> None:
    """Each address has its rows, in order, with their greatest and least values."""
    hi = np.array([high for high, _ in addresses], np.uint64)
    lo = np.array([low for _, low in addresses], np.uint64)
    want = defaultdict(list)
    for row, (high, low) in enumerate(addresses):
        want[high << 64 | low].append(row)
    assert {source: rows.tolist() for source, rows in by_address(hi, lo)} == want
    groups = Groups(hi, lo)
    rows = np.arange(len(addresses))
    assert groups.latest(rows) == [max(want[source]) for source in groups.sources]
    assert groups.earliest(rows) == [min(want[source]) for source in groups.sources]


@given(st.lists(st.integers(0, 10**6), max_size=60), st.integers(1, 10**5))
@settings(max_examples=150, deadline=None)
def test_slices_hold_every_flow_once_and_span_little(ends: list[int], span: int) -> None:
    """A file that holds hours in one batch is taken as it went: in order, a span at a time."""
    flows = empty_flows(len(ends))
    flows["end"] = ends
    parts = list(slices(flows, span))
    seen = [end for part in parts for end in part["end"].tolist()]
    assert sorted(seen) == sorted(ends)
    for part in parts:
        assert len(part)
        assert int(part["end"].max()) - int(part["end"].min()) <= span
    latest = [int(part["end"].max()) for part in parts]
    assert latest == sorted(latest)


@given(st.lists(st.integers(0, 4), max_size=40))
@settings(max_examples=100, deadline=None)
def test_runs_are_those_of_groupby(numbers: list[int]) -> None:
    """Each run of equal numbers has its beginning and its length; of nothing there is none."""
    starts, sizes = runs(np.array(sorted(numbers), np.int64))
    want = [(key, len(list(same))) for key, same in groupby(sorted(numbers))]
    got = zip(starts.tolist(), sizes.tolist(), strict=True)
    assert [(sorted(numbers)[start], size) for start, size in got] == want


def test_the_hash_is_the_same_in_every_run() -> None:
    """A replay on another day must find the same, so the hash has no seed."""
    hi, lo = np.array([0], np.uint64), np.array([0xFFFF_C000_0201], np.uint64)
    assert address_hash(hi, lo).tolist() == [122544047991620456]
