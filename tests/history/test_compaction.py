"""Small segments become large ones; every flow is there exactly once, wherever a crash falls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.config import HistorySettings
from ipwatchd.history import archive as archives
from ipwatchd.history.archive import Segment
from ipwatchd.history.compaction import MOST_ROWS, due
from ipwatchd.records.filter import Filter
from tests.history.made import T0, flow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipwatchd.history import History
    from tests.history.made import Open

EVERYTHING = Filter()
EACH = HistorySettings(free_bytes=1, segment_rows=1)
DAY0 = T0 // 86_400 * 86_400


async def fill(history: History, count: int, *, start: float = DAY0, step: float = 60.0) -> None:
    """Seal a segment for each flow."""
    for number in range(count):
        now = start + number * step
        history.add_flows(flow(orig=f"10.20.0.{number % 250}", start=now), now)
        await history.flush(now)


def segments(folder: Path) -> list[str]:
    """Return the names of the segments on disk."""
    return sorted(path.name for path in folder.rglob("*.parquet"))


async def test_minutes_become_hours_and_days(open_history: Open, tmp_path: Path) -> None:
    """Once an hour is over its segments are one, once the day is over there is one for the day."""
    async with open_history(EACH) as history:
        await fill(history, 10, step=600.0)
        before = await history.flows(EVERYTHING, 100)
        await history.retain(DAY0 + 3600 + 1000)
        assert len(segments(tmp_path)) == 1 + 4
        assert await history.flows(EVERYTHING, 100) == before
        await history.retain(DAY0 + 86_400 + 1000)
        assert len(segments(tmp_path)) == 1
        assert await history.flows(EVERYTHING, 100) == before
        assert (await history.status())["segments"] == 1
    async with open_history(EACH) as history:
        assert await history.flows(EVERYTHING, 100) == before
        assert not history.shed()


@pytest.mark.parametrize("point", ["merge", "reveal", "inspect", "remove"])
async def test_a_crash_during_a_merge_loses_and_doubles_nothing(
    open_history: Open, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Whichever step fails, the next start has each flow once."""
    async with open_history(EACH) as history:
        await fill(history, 6)
        before = await history.flows(EVERYTHING, 100)
    original: Callable[..., Any] = getattr(archives.Archive, point)
    calls = 0

    def fail(self: archives.Archive, *words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > (2 if point == "remove" else 0):
            raise OSError("the power went")
        return original(self, *words)

    async with open_history(EACH) as history:
        monkeypatch.setattr(archives.Archive, point, fail)
        await history.retain(DAY0 + 86_400 + 1000)
        assert "the power went" in history.degraded()
        monkeypatch.setattr(archives.Archive, point, original)
    async with open_history(EACH) as history:
        assert await history.flows(EVERYTHING, 100) == before
        assert history.shed() == ({"segments_unfinished": 1} if point == "reveal" else {})
        await history.retain(DAY0 + 86_400 + 1000)
        assert (await history.status())["segments"] == 1
        assert await history.flows(EVERYTHING, 100) == before


async def test_a_damaged_segment_is_left_alone(open_history: Open, tmp_path: Path) -> None:
    """A group with a segment that can't be read stays as it is."""
    async with open_history(EACH) as history:
        await fill(history, 3)
        _damage(tmp_path)
        await history.retain(DAY0 + 86_400 + 1000)
        assert len(segments(tmp_path)) == 3
        assert len(await history.flows(EVERYTHING, 10)) == 2


def _damage(folder: Path) -> None:
    path = next(folder.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])


def test_what_does_not_fit_stays_in_parts() -> None:
    """A group holds no more rows than the bound; what is not over yet is in none."""
    half = MOST_ROWS // 2
    rows = [Segment(f"date=d/{n}", half, 1, DAY0 + n, DAY0 + n + 1) for n in range(5)]
    found = due(rows, DAY0 + 7200)
    assert [len(group.names) for group in found] == [2, 2]
    assert due(rows, DAY0 + 3600) == []


async def test_a_clock_that_leaps_ahead_deletes_nothing(open_history: Open) -> None:
    """Two months ahead at once: a day has to pass at the new time before it is believed."""
    leap = DAY0 + 60 * 86_400
    async with open_history(EACH) as history:
        await fill(history, 2)
        await history.retain(DAY0 + 3600)
        for hours in range(24):
            await history.retain(leap + hours * 3600)
        assert len(await history.flows(EVERYTHING, 10)) == 2
        assert history.removed["doubted"] == 24
        await history.retain(DAY0 + 7200)  # somebody set it right
        await history.retain(leap)
        assert len(await history.flows(EVERYTHING, 10)) == 2
        for hours in range(25):
            await history.retain(leap + hours * 3600)
        assert await history.flows(EVERYTHING, 10) == []


async def test_old_list_changes_go_but_not_what_is_on_a_list(open_history: Open) -> None:
    """After the roll-ups' age: what was added and removed is forgotten, membership stays."""
    async with open_history() as history:
        for action in ("add", "remove"):
            history.add_list_change(
                ts=T0, list="deny", network="203.0.113.9", action=action, author="ops"
            )
        history.add_list_change(
            ts=T0, list="deny", network="198.51.100.7", action="add", author="ops"
        )
        await history.flush(T0)
        await history.retain(T0 + 401 * 86_400)
        rows = await history.records("list", EVERYTHING, 10)
    assert [(row["network"], row["action"]) for row in rows] == [("198.51.100.7/32", "add")]


async def test_a_question_can_be_stopped(open_history: Open) -> None:
    """Cancelling a question about flows ends the work behind it; the next one is answered."""
    async with open_history(EACH) as history:
        await fill(history, 20)
        question = asyncio.ensure_future(history.flows(EVERYTHING, 10))
        await asyncio.sleep(0.01)
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        assert len(await history.flows(EVERYTHING, 10)) == 10
