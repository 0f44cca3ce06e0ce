"""Numbers and times at a glance."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui import quantity

NOW = 1_763_730_000.0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (7, "7"), (999, "999"), (1000, "1.0k"), (12_431, "12.4k"), (999_600, "1.0M"),
        (84_200_000, "84.2M"), (123_456_789, "123M"), (2.5, "2.5"), (None, "0"), ("x", "0"),
        (float("nan"), "0"), (float("inf"), "0"),
    ],
)  # fmt: skip
def test_counts_are_short(value: object, shown: str) -> None:
    """Three digits and a letter; what is no number is none."""
    assert quantity.count(value) == shown


@given(st.floats(0, 1e20))
@settings(max_examples=200, deadline=None)
def test_counts_take_at_most_five_cells(value: float) -> None:
    """A column of five cells holds any count of a gateway's life."""
    assert len(quantity.count(value)) <= 5


@pytest.mark.parametrize(
    ("ago", "shown"),
    [(0, "now"), (0.5, "now"), (42, "42s"), (75, "1m"), (7200, "2h"), (90_000, "1d")],
)
def test_ages_are_one_unit(ago: float, shown: str) -> None:
    """How long ago is read in one unit; never seen is nothing."""
    assert quantity.age(NOW - ago, NOW) == shown
    assert quantity.age(0, NOW) == ""


def test_times_are_the_admins() -> None:
    """The time of day, the moment and the end are in the zone that is asked for."""
    assert quantity.clock(NOW, UTC) == "13:00"
    assert quantity.moment(NOW, UTC) == "2025-11-21 13:00:00"
    assert quantity.until(NOW + 3600, NOW, UTC) == "until 14:00"
    assert quantity.until(NOW + 200_000, NOW, UTC) == "until 11-23 20:33"
    assert quantity.until(NOW + 4e7, NOW, UTC) == "until 2027-02-27 12:06"
    assert quantity.until(0, NOW, UTC) == "for good"
    assert quantity.clock(1e300, UTC) == ""


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3600), ("1h 30m", 5400), ("forever", 0), (" 15M ", 900)]
)
def test_spans(text: str, seconds: float) -> None:
    """How long an entry stands is written as people write it."""
    assert quantity.span(text) == seconds


def test_a_bad_span_says_the_mend() -> None:
    """What is no span is refused with an example of one."""
    with pytest.raises(ValueError, match="write 90s, 15m"):
        quantity.span("an hour")


def test_lengths_of_time() -> None:
    """Uptime has two units."""
    assert [quantity.duration(s) for s in (5, 125, 3720, 273_840)] == [
        "5s", "2m 05s", "1h 02m", "3d 04h",
    ]  # fmt: skip


def test_sizes_and_rates() -> None:
    """Bytes and rates carry their unit."""
    assert quantity.size(4_210_000_000) == "4.2 GB"
    assert quantity.bits(84_200_000) == "84.2 Mbit/s"
    assert quantity.rate(12_431, "pkt") == "12.4k pkt/s"
