"""Time stamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.logs.when import classic, clf, epoch, rfc3339, stamp

MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001  made aware below
    lambda moment: moment.replace(tzinfo=UTC, microsecond=0)
)


@given(MOMENTS, st.integers(0, 363 * 86400))
@settings(max_examples=200, deadline=None)
def test_classic_finds_its_year(moment: datetime, later: int) -> None:
    """Within a year after it was written a stamp without a year is read back."""
    if (moment.month, moment.day) == (2, 29):
        later = min(later, 300 * 86400)
    text = moment.strftime("%b %e %H:%M:%S")
    assert classic(text, (moment + timedelta(seconds=later)).timestamp()) == moment.timestamp()


def test_classic_over_new_year() -> None:
    """December's lines read in January are of the old year; a clock may be a day ahead."""
    now = datetime(2027, 1, 1, 0, 5, tzinfo=UTC).timestamp()
    assert (
        classic("Dec 31 23:59:59", now)
        == datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    )
    assert classic("Jan  1 12:00:00", now) == datetime(2027, 1, 1, 12, tzinfo=UTC).timestamp()
    assert classic("Feb 29 00:00:00", now) == datetime(2024, 2, 29, tzinfo=UTC).timestamp()


@given(MOMENTS, st.integers(-14 * 4, 14 * 4))
@settings(max_examples=100, deadline=None)
def test_offsets(moment: datetime, quarters: int) -> None:
    """RFC 3339 and the common log format are read with their offset."""
    total = abs(quarters) * 15
    sign = "-" if quarters < 0 else "+"
    local = moment + timedelta(minutes=total if quarters >= 0 else -total)
    hours, minutes = f"{total // 60:02d}", f"{total % 60:02d}"
    text = local.strftime("%Y-%m-%dT%H:%M:%S")
    assert rfc3339(f"{text}{sign}{hours}:{minutes}") == moment.timestamp()
    text = local.strftime("%d/%b/%Y:%H:%M:%S")
    assert clf(f"{text} {sign}{hours}{minutes}") == moment.timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000_000, 1_700_000_000),
        ("1700000000.5", 1_700_000_000.5),
        (1_700_000_000_000_000_000, 1_700_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14 22:13:20,250", 1_700_000_000.25),
        ("14/Nov/2023:22:13:20 +0000", 1_700_000_000),
    ],
)
def test_epoch(value: object, seconds: float) -> None:
    """Numbers of any unit and texts of any kind are read."""
    assert epoch(value) == seconds


@pytest.mark.parametrize(
    "value", [None, True, [], -1, 0, float("nan"), float("inf"), "x", "2023-13-40T99:99:99Z"]
)
def test_no_time(value: object) -> None:
    """What is no time is none."""
    assert epoch(value) is None
    assert classic(str(value), 0) is None


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text(text: str) -> None:
    """No text raises."""
    for one in (text, f"Nov 21 {text}", f"99/Nov/0000:{text}"):
        assert epoch(one) is None or epoch(one) is not None
        classic(one, 0)


@pytest.mark.parametrize(
    ("kind", "text", "whole", "fraction"),
    [
        ("iso", "2026-11-21 19:00:01,357", "2026-11-21 19:00:01", 0.357),
        ("iso", "2026-11-21T20:00:01.5+01:00", "2026-11-21T20:00:01+01:00", 0.5),
        ("ctime", "Sat Nov 21 19:00:01.25 2026", "Sat Nov 21 19:00:01 2026", 0.25),
    ],
)
def test_parts_of_a_second(kind: str, text: str, whole: str, fraction: float) -> None:
    """A stamp with a fraction is later than its second by just that; behind a zone stands none."""
    second = stamp(kind, whole, 0)
    assert second is not None
    assert stamp(kind, text, 0) == second + fraction
    assert stamp(kind, f"{whole}.5", 0) == (second + 0.5 if whole[-1] == "1" else None)
