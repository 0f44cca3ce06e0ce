"""The throughput graph's arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.control.messages import Throughput
from tui import chart


def buckets(sizes: list[int], step: float = 60.0, start: float = 0.0) -> list[Throughput]:
    """Return buckets of these bytes; -1 is one that was left out."""
    return [
        Throughput(ts=start + i * step, bytes=size) for i, size in enumerate(sizes) if size >= 0
    ]


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=80), st.integers(1, 200))
@settings(max_examples=150, deadline=None)
def test_no_byte_is_lost_in_resampling(sizes: list[int], columns: int) -> None:
    """However wide the graph, the area under it is the traffic."""
    end = len(sizes) * 60.0
    bits = chart.resample(buckets(sizes), columns, 0.0, end)
    assert sum(bits) * end / columns == pytest.approx(sum(sizes) * 8, rel=1e-6, abs=1e-3)


def test_quiet_minutes_that_are_left_out_are_quiet() -> None:
    """A minute without a row is drawn as nothing, not as its neighbour."""
    assert chart.resample(buckets([6, -1, 6, 6]), 4, 0.0, 240.0) == [0.8, 0.0, 0.8, 0.8]


def test_a_bucket_that_is_still_filled_counts_by_its_time() -> None:
    """The last minute, ten seconds old, shows its speed and not a sixth of it."""
    assert chart.peak(buckets([600, 600, 100]), 0.0, 130.0) == 80.0


def test_the_width_of_buckets_is_found() -> None:
    """The commonest distance between buckets is their width."""
    assert chart.bucket_seconds(buckets([1, -1, 1, 1, 1], 10.0)) == 10.0
    assert chart.bucket_seconds([]) == 60.0


def test_the_scale_is_round() -> None:
    """The top of the scale is 1, 2 or 5 times a power of ten and not below the peak."""
    tops = [chart.ceiling(peak) for peak in (0, 0.9, 7, 12, 84e6, 100e6)]
    assert tops == [1000.0, 1.0, 10.0, 20.0, 100e6, 100e6]


def test_drawing_in_eighths() -> None:
    """A full column is full, a trickle is an eighth, nothing is blank."""
    assert chart.draw([0, 0.001, 50, 100], 2, 100.0) == ["   █", " ▁██"]


def test_nothing_to_draw() -> None:
    """No columns or no time is an empty graph."""
    assert chart.resample(buckets([1, 1]), 0, 0, 1) == []
    assert chart.resample([], 3, 0, 60) == [0.0, 0.0, 0.0]
