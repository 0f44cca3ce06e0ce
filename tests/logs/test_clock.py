"""Clocks that are wrong are noticed, and never let a stamp into the future."""

from __future__ import annotations

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.logs.clock import AHEAD, Clock

NOW: Final = 1_795_291_200.0


@given(st.lists(st.floats(-1e6, 1e6), max_size=50), st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_stamp_is_in_the_future(offsets: list[float], live: bool) -> None:
    """Whatever a source claims, what comes out is at most the tolerance ahead; others stay."""
    clock = Clock(live=live)
    for offset in offsets:
        ts = clock.settle(NOW + offset, NOW)
        assert ts == (NOW if offset > AHEAD else NOW + offset)
    assert clock.clamped == sum(offset > AHEAD for offset in offsets)


def test_another_time_zone_is_named() -> None:
    """A clock eight hours ahead is told as a time zone, one that is four minutes off as a clock."""
    ahead = Clock(live=True)
    ahead.settle(NOW + 8 * 3600 + 1, NOW)
    assert "8 h: another time zone? set [logs] time_zone" in ahead.note()
    behind = Clock(live=True)
    for _ in range(20):
        behind.settle(NOW - 250, NOW)
    assert behind.note() == "its clock is 250 s behind: let it keep time by NTP"


def test_old_lines_of_a_file_are_no_slow_clock() -> None:
    """A file that is read late, or one prompt stamp among late ones, blames no clock."""
    late = Clock(live=False)
    mixed = Clock(live=True)
    for turn in range(20):
        late.settle(NOW - 90_000, NOW)
        mixed.settle(NOW - (0 if turn == 7 else 500), NOW)
    assert late.note() == mixed.note() == ""
