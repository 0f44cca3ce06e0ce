"""A batch cut into spans by number is what it is cut into parts; a flood in an hour shows."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.batch import spans
from ipwatchd.detect.flood import Flood
from ipwatchd.detect.suspects import FEW, in_spans
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.flow import STATES, empty_flows


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3)), max_size=60),
    st.integers(1, 10**5),
)
@settings(max_examples=150, deadline=None)
def test_spans_are_the_parts_of_a_batch(given_rows: list[tuple[int, int]], span: int) -> None:
    """Rows come part by part, each under a number of its own; parts with hardly a packet do not."""
    flows = empty_flows(len(given_rows))
    flows["end"] = [end for end, _ in given_rows]
    flows["orig_packets"] = [packets for _, packets in given_rows]
    want = [
        part.tolist() for part in spans(flows["end"], span)
        if len(part) >= FEW or flows["orig_packets"][part].sum() >= FEW
    ]  # fmt: skip
    rows, numbers = in_spans(flows, np.arange(len(flows)), span)
    cuts = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    assert [part.tolist() for part in np.split(rows, cuts) if len(part)] == want
    assert numbers.tolist() == sorted(numbers.tolist())


def test_a_flood_in_an_hours_batch_is_told_as_it_came() -> None:
    """Half-open connections of two seconds are a flood, as many over the hour are none."""
    count, hour = 900, 3600 * 10**9
    flows = empty_flows(count)
    flows["orig_lo"], flows["resp_lo"] = V4_PREFIX | 45 << 24, V4_PREFIX | 10 << 24
    flows["orig_lo"] += np.arange(count, dtype=np.uint64)
    flows["proto"], flows["resp_port"], flows["state"] = 6, 443, STATES.index("S0")
    flows["orig_flags"], flows["orig_packets"], flows["orig_bytes"] = 2, 1, 44
    flows["start"] = flows["end"] = np.linspace(0, hour, count).astype(np.int64)
    assert Flood(DetectSettings()).flows(flows, 3600.0) == []
    flows["start"][1:] = flows["end"][1:] = hour - np.arange(count - 1)[::-1] * 2_000_000
    [finding, *later] = Flood(DetectSettings()).flows(flows, 3600.0)
    assert finding.subject == "10.0.0.0"
    assert all(one.key == finding.key for one in later)
