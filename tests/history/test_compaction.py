"""Small segments become large ones; every flow is there exactly once, wherever a crash falls."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq
import pytest

from ipwatchd.config import HistorySettings
from ipwatchd.history import archive as archives
from ipwatchd.history.address_index import holds
from ipwatchd.history.archive import Segment
from ipwatchd.history.compaction import MOST_ROWS, due
from ipwatchd.history.lake import FlowQuery
from ipwatchd.history.rollup import pack
from ipwatchd.history.subject import subject_of
from ipwatchd.records.address import split
from ipwatchd.records.filter import Filter, parse
from tests.history.made import T0, flow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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


def found_in(folder: Path, pattern: str) -> list[Path]:
    """Return the files of a kind."""
    return list(folder.rglob(pattern))


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
        assert not history.shed()
        await history.retain(DAY0 + 86_400 + 1000)
        assert (await history.status())["segments"] == 1
        assert await history.flows(EVERYTHING, 100) == before


async def test_a_merged_segment_that_is_damaged_at_the_start(
    open_history: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash before its parts went, and a disk that lost it: history opens, with the parts."""
    async with open_history(EACH) as history:
        await fill(history, 6)
        before = await history.flows(EVERYTHING, 100)
    parts = set(segments(tmp_path))

    def fail(*_: object) -> None:
        raise OSError("the power went")

    async with open_history(EACH) as history:
        with monkeypatch.context() as patched:
            patched.setattr(archives.Archive, "inspect", fail)
            await history.retain(DAY0 + 86_400 + 1000)
    (merged,) = set(segments(tmp_path)) - parts
    (path,) = found_in(tmp_path, merged)
    path.write_bytes(b"PAR1" + bytes(400))
    async with open_history(EACH) as history:
        assert await history.flows(EVERYTHING, 100) == before
        assert segments(tmp_path) == sorted(parts)
        assert history.shed() == {"segments_bad": 1}


async def test_a_flush_waits_for_no_merge(
    open_history: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flows are flushed and sealed while a merge runs; its segment then takes its parts' place."""
    begun, go_on = threading.Event(), threading.Event()
    original = archives.Archive.merge

    def held(self: archives.Archive, names: Sequence[str], mark: str) -> Path | None:
        begun.set()
        go_on.wait()
        return original(self, names, mark)

    monkeypatch.setattr(archives.Archive, "merge", held)
    now = DAY0 + 86_400 + 1000
    async with open_history(EACH) as history:
        await fill(history, 6)
        await history.retain(now, beside=True)
        await asyncio.to_thread(begun.wait)
        await fill(history, 1, start=now)
        assert len(segments(tmp_path)) == 7
        before = await history.flows(EVERYTHING, 100)
        go_on.set()
        await history.retain(now)
        assert len(segments(tmp_path)) == 2
        assert await history.flows(EVERYTHING, 100) == before


async def test_what_is_erased_during_a_merge_does_not_come_back(
    open_history: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge of segments that are written anew meanwhile is thrown away, and done again later."""
    done, go_on = threading.Event(), threading.Event()
    original = archives.Archive.merge

    def held(self: archives.Archive, names: Sequence[str], mark: str) -> Path | None:
        part = original(self, names, mark)
        done.set()
        go_on.wait()
        return part

    now = DAY0 + 86_400 + 1000
    async with open_history(EACH) as history:
        await fill(history, 6)
        with monkeypatch.context() as patched:
            patched.setattr(archives.Archive, "merge", held)
            await history.retain(now, beside=True)
            await asyncio.to_thread(done.wait)
            erased = await history.erase(subject_of("10.20.0.3"), now)
            go_on.set()
            assert not erased.left.found
            await history.retain(now)
        await history.retain(now)
        assert len(segments(tmp_path)) == 1
        assert len(await history.flows(EVERYTHING, 100)) == 5
        assert await history.flows(parse("addr:10.20.0.3", T0), 10) == []


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


async def test_a_question_can_be_stopped(
    open_history: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelling a question about flows ends the work behind it; the next one is answered."""
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    ended: list[Exception] = []

    def endless(self: FlowQuery, *_: object) -> None:
        loop.call_soon_threadsafe(begun.set)
        try:
            self.db.execute("SELECT count(*) FROM range(100000000) a, range(100000000) b")
        except duckdb.InterruptException as error:
            ended.append(error)
            raise

    async with open_history(EACH) as history:
        await fill(history, 20)
        with monkeypatch.context() as patched:
            patched.setattr(FlowQuery, "newest", endless)
            question = asyncio.ensure_future(history.flows(EVERYTHING, 10))
            await begun.wait()
            question.cancel()
            with pytest.raises(asyncio.CancelledError):
                await question
        assert ended
        assert len(await history.flows(EVERYTHING, 10)) == 10


async def test_an_index_finds_what_the_whole_segment_holds(
    open_history: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merged: either end of a flow, IPv4 and IPv6, by the index as without it."""
    monkeypatch.setattr(archives, "SMALL_GROUP", 16)
    ends = ["10.20.0.5", "203.0.113.9", "2001:db8::1", "2001:db8:0:1::1", "198.51.100.7"]
    async with open_history(EACH) as history:
        for number in range(200):
            orig, resp = ends[number % 5], ends[(number * 3 + 1) % 5]
            history.add_flows(flow(orig, resp, start=DAY0 + number, sport=number), DAY0 + number)
            if number % 50 == 49:
                await history.flush(DAY0 + number)
        await history.retain(DAY0 + 86_400 + 1000)
        (index,) = found_in(tmp_path, ".*.idx")
        questions = [parse(f"{key}:{end}", T0) for key in ("addr", "src", "dst") for end in ends]
        questions += [parse("addr:10.20.0.6", T0), parse("addr:10.20.0.5,2001:db8::1 port:443", T0)]
        indexed = [await history.flows(one, 1000) for one in questions]
        streamed = [
            row async for batch in history.stream("flows", questions[1]) for row in batch.rows
        ]
        index.unlink()
        plain = [await history.flows(one, 1000) for one in questions]
    assert indexed == plain
    assert [len(rows) for rows in indexed[:5]] == [80, 80, 40, 80, 80]
    assert sorted(row["start"] for row in streamed) == sorted(row["start"] for row in indexed[1])


async def test_an_index_that_is_damaged_or_of_another_segment_is_not_believed(
    open_history: Open, tmp_path: Path
) -> None:
    """The segment is read whole then; an orphan goes at the next start."""
    async with open_history(EACH) as history:
        await fill(history, 6)
        await history.retain(DAY0 + 86_400 + 1000)
        (index,) = found_in(tmp_path, ".*.idx")
        good = index.read_bytes()
        for bad in (b"", good[:50], b"X" * len(good), good[:8] + bytes([9]) + good[9:]):
            index.write_bytes(bad)
            assert len(await history.flows(parse("addr:10.20.0.3", T0), 10)) == 1
        index.write_bytes(good)
        index.with_name(".1-gone.idx").write_bytes(good)
    async with open_history(EACH) as history:
        assert found_in(tmp_path, ".*.idx") == [index]
        assert len(await history.flows(parse("addr:10.20.0.3", T0), 10)) == 1


async def test_erasure_rewrites_the_index(open_history: Open, tmp_path: Path) -> None:
    """The erased address is in no index, the others are found by it."""
    async with open_history(EACH) as history:
        await fill(history, 6)
        await history.retain(DAY0 + 86_400 + 1000)
        await history.erase(subject_of("10.20.0.3"), DAY0 + 86_400 + 1000)
        (index,) = found_in(tmp_path, ".*.idx")
        one, other = pack(*split("10.20.0.3")), pack(*split("10.20.0.4"))
        assert holds(index, one, one) == 0
        assert holds(index, other, other) == 1
        assert len(await history.flows(parse("addr:10.20.0.4", T0), 10)) == 1
        assert await history.flows(parse("addr:10.20.0.3", T0), 10) == []


async def test_old_segments_without_nat_are_read_and_merged(
    open_history: Open, tmp_path: Path
) -> None:
    """What an earlier release wrote answers beside new segments, and is merged with them."""
    translated = flow(start=DAY0 + 60)
    translated["nat_hi"], translated["nat_lo"] = split("198.51.100.1")
    translated["nat_port"] = 61_000
    async with open_history(EACH) as history:
        history.add_flows(flow(start=DAY0), DAY0)
        await history.flush(DAY0)
        (old,) = found_in(tmp_path, "*.parquet")
        rows = pq.read_table(old, partitioning=None).drop_columns(["nat_hi", "nat_lo", "nat_port"])
        pq.write_table(rows, old)
        assert [row.get("nat") for row in await history.flows(EVERYTHING, 9)] == [None]
        history.add_flows(translated, DAY0 + 60)
        await history.flush(DAY0 + 60)
        for _ in range(2):
            found = await history.flows(EVERYTHING, 9)
            assert [(row.get("nat"), row.get("nat_port")) for row in found] == [
                ("198.51.100.1", 61_000), (None, None),
            ]  # fmt: skip
            assert len(await history.flows(parse("nat:198.51.100.1", T0), 9)) == 1
            await history.retain(DAY0 + 86_400 + 1000)
        assert len(segments(tmp_path)) == 1
