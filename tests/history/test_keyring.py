"""The archive under a key a day: asked as if it lay in clear, anonymous when the key is gone."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ipwatchd.backup import backup
from ipwatchd.config import HistorySettings
from ipwatchd.history import traces
from ipwatchd.history.keyring import FOLDER, Keyring
from ipwatchd.history.subject import subject_of
from ipwatchd.history.traces import search
from ipwatchd.records.address import split
from ipwatchd.records.event import Auth
from ipwatchd.records.filter import parse
from tests.history.made import SMALL, T0, flow

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.history import History
    from tests.history.made import Open

KEYED = HistorySettings(free_bytes=1, key_days=2)
DAY = 86_400.0
FIRST, SECOND = "2026-05-28", "2026-05-29"
NOW = T0 + 1.5 * DAY
WORDS = (
    "", "addr:10.20.0.5", "addr:10.20.0.0/16", "src:203.0.113.0/24", "!addr:10.20.0.5",
    "dst:2001:db8::/32 port:443", "addr:0.0.0.0/0", "!src:::/0", "country:RU", "agent:maria",
    "addr:::ffff:10.20.0.5/128", "by:orig every:1d count:resp", "by:addr", "by:service",
    "addr:203.0.113.9 by:resp count:orig",
)  # fmt: skip


async def fill(history: History) -> None:
    """Two days of flows of both families, sealed, and some in memory."""
    for day in (0, 1):
        start = T0 + day * DAY
        history.add_flows(
            np.concatenate([
                flow(start=start), flow("10.20.0.6", "203.0.113.9", start=start + 1),
                flow("203.0.113.77", "10.20.0.5", start=start + 2, direction="incoming"),
                flow("2001:db8::5", "2001:db8:1::1", start=start + 3),
            ]), start + 10,
        )  # fmt: skip
        history.add_events(
            [Auth(ts=start, orig="10.20.0.6", user="maria", result="success", service="vpn")], start
        )
        await history.flush(start + 10)
        await history.flush(start + 100)
    history.add_flows(flow(start=NOW - 5), NOW)
    await history.flush(NOW)


async def answers(history: History, words: str) -> list[str]:
    """Return an answer's rows in an order of their own."""
    rows = await history.flows(parse(words, NOW), 1000)
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


async def test_a_keyed_archive_answers_as_one_in_clear(open_history: Open, tmp_path: Path) -> None:
    """Every question has the same answer, also as a stream; segments hold no true address."""
    async with open_history(SMALL) as plain:
        await fill(plain)
        expected = {words: await answers(plain, words) for words in WORDS}
    wipe(tmp_path)
    async with open_history(KEYED) as keyed:
        await fill(keyed)
        for words, rows in expected.items():
            assert await answers(keyed, words) == rows, words
        batches = [batch async for batch in keyed.stream("flows", parse("addr:10.20.0.5", NOW))]
        streamed = [json.dumps(row, sort_keys=True) for batch in batches for row in batch.rows]
        assert sorted(streamed) == expected["addr:10.20.0.5"]
    assert sum(len(rows) for rows in expected.values()) > 40
    assert in_segments(tmp_path, "10.20.0.5") == in_segments(tmp_path, "203.0.113.9") == 0


def wipe(folder: Path) -> None:
    """Empty a folder."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


def key_of(folder: Path) -> bytes:
    """Return the first day's key."""
    return (folder / FOLDER / f"{FIRST}.key").read_bytes()


def holds(folder: Path, secret: bytes) -> bool:
    """Tell whether bytes are in any file."""
    return any(secret in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def in_segments(folder: Path, address: str) -> int:
    """Count the rows of segments that have an address as it is."""
    hi, lo = split(address)
    found = 0
    for path in folder.rglob("*.parquet"):
        rows = pq.read_table(path, partitioning=None)
        for side in ("orig", "resp"):
            columns = (rows[f"{side}_{half}"].to_numpy() for half in ("hi", "lo"))
            same = [np.equal(*pair) for pair in zip(columns, (hi, lo), strict=True)]
            found += int((same[0] & same[1]).sum())
    return found


async def test_dropping_a_key_makes_its_day_anonymous(open_history: Open, tmp_path: Path) -> None:
    """The key is in no file; the day answers no address, its sums and prefixes stay; others as before."""  # noqa: E501 - one line says it
    async with open_history(KEYED) as history:
        await fill(history)
        before = await answers(history, "by:service")
        key = key_of(tmp_path)
        dropped = await history.drop_key(FIRST, NOW, "ana")
        assert (dropped.flows, dropped.left.found) == (4, {})
        assert dropped.day.key == hashlib.sha256(key).hexdigest()
        assert not holds(tmp_path, key)
        assert await answers(history, "by:service") == before
        rows = await history.flows(parse("addr:10.20.0.5", NOW), 100)
        assert min(row["start"] for row in rows) > T0 + DAY - 1
        assert history.days_sealed_off == (FIRST,)
        others = await history.flows(parse("!addr:10.20.0.5", NOW), 100)
        assert min(row["start"] for row in others) > T0 + DAY - 1
        lost = [row for row in await history.flows(parse("", NOW), 100) if row.get("anonymous")]
        assert len(lost) == 4
        # Prefixes stay: two neighbours of 10.20.0.0/24 share as many bits as before.
        a, b = (split(row["orig"])[1] for row in lost if row["resp"] == lost_target(lost))
        assert (a ^ b).bit_length() == (split("10.20.0.5")[1] ^ split("10.20.0.6")[1]).bit_length()
        with pytest.raises(LookupError, match="no key of 2026-05-28"):
            await history.drop_key(FIRST, NOW, "ana")
        # A flow of that day that comes late is anonymous at once.
        history.add_flows(flow("198.51.100.1", start=T0 + 50), NOW + 1)
        await history.flush(NOW + 200)
        assert await history.flows(parse("src:198.51.100.1", NOW), 100) == []
        assert in_segments(tmp_path, "198.51.100.1") == 0


def lost_target(rows: list[dict[str, Any]]) -> str:
    """Return the responder that two of the flows have in common."""
    targets = [row["resp"] for row in rows]
    return max(targets, key=targets.count)


def test_a_key_is_found_in_a_file_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts at a time: also where it lies across the end of one, each once."""
    monkeypatch.setattr(traces, "_PART", 50)
    key = bytes(range(32))
    (tmp_path / "big").write_bytes(b"x" * 30 + key + b"y" * 200 + key)
    (tmp_path / "empty").touch()
    found = traces.search_bytes(tmp_path, key)
    assert found == traces.Search(2, 294, {"big": 2}, [], [])


async def test_keys_go_when_their_time_is_over(open_history: Open) -> None:
    """Of `key_days` 2 the first day's key goes two days after its end, and not before."""
    async with open_history(KEYED) as history:
        await fill(history)
        midnight = T0 // DAY * DAY + 3 * DAY
        assert await history.drop_due_keys(midnight - 1) == []
        (gone,) = await history.drop_due_keys(midnight)
        assert (gone.day.day, gone.day.by) == (FIRST, "key_days")
        assert [bool(one.dropped) for one in history.archive_keys()][:2] == [True, False]
    async with open_history(HistorySettings(free_bytes=1)) as history:  # keys no more: those stay
        assert await history.drop_due_keys(midnight + 90 * DAY) == []
        assert await history.flows(parse("addr:10.20.0.5 since:2026-05-29", NOW), 10)


async def test_a_clock_that_leaps_ahead_drops_no_key(open_history: Open) -> None:
    """Two months at once: only after a day at the new time is it believed, as in retention."""
    leap = T0 + 60 * DAY
    async with open_history(KEYED) as history:
        await fill(history)
        await history.retain(NOW)
        for hours in (0, 12, 23):
            await history.retain(leap + hours * 3600)
            assert await history.drop_due_keys(leap + hours * 3600) == []
        await history.retain(leap + DAY)
        assert len(await history.drop_due_keys(leap + DAY)) == len(history.archive_keys()) > 0


async def test_a_drop_that_a_crash_cut_short_is_finished(
    open_history: Open, tmp_path: Path
) -> None:
    """Told as dropped, the key still there: the day answers no address, the next look ends it."""
    async with open_history(KEYED) as history:
        await fill(history)
        key = key_of(tmp_path)
        await history.drop_key(FIRST, NOW, "ana")
        (tmp_path / FOLDER / f"{FIRST}.key").write_bytes(key)
    async with open_history(HistorySettings(free_bytes=1)) as history:
        rows = await history.flows(parse("addr:10.20.0.5", NOW), 100)
        assert min(row["start"] for row in rows) > T0 + DAY - 1
        (gone,) = await history.drop_due_keys(NOW + 60)
        assert (gone.day.day, gone.day.dropped, gone.day.by) == (FIRST, NOW, "ana")
        assert not holds(tmp_path, key)


async def test_erasure_reaches_under_keys(open_history: Open, tmp_path: Path) -> None:
    """An address goes from keyed days; a day without its key is named, nobody can tell who is in it."""  # noqa: E501 - one line says it
    who = subject_of("10.20.0.5")
    async with open_history(KEYED) as history:
        await fill(history)
        keyed = Keyring(tmp_path / FOLDER, 2).days()
        assert search(tmp_path, who, keyed).found
        await history.drop_key(FIRST, NOW, "ana")
        erased = await history.erase(who, NOW)
        assert erased.removed["flows"] == 3
        assert (erased.left.found, erased.left.anonymous) == ({}, [FIRST])
        assert len(await history.flows(parse("since:2026-05-29T12:00", NOW + DAY), 100)) == 2


async def test_a_backup_has_no_keys(open_history: Open, tmp_path: Path) -> None:
    """It says which days are keyed; what it holds of them is anonymous from the start."""
    async with open_history(KEYED) as history:
        await fill(history)
        async with history.still(NOW):
            made = backup(tmp_path, tmp_path.parent / "copy", site="manila", now=NOW)
    assert f"{FOLDER}/{FIRST}.json" in made.files
    assert not [name for name in made.files if name.endswith(".key") and name.startswith(FOLDER)]


async def test_turned_on_in_the_middle_of_a_day(open_history: Open) -> None:
    """A day that began in clear ends in clear: no day is half of each."""
    async with open_history(SMALL) as history:
        await fill(history)
    async with open_history(KEYED) as history:
        history.add_flows(flow(start=T0 + DAY + 50), NOW)
        await history.flush(NOW + 300)
        assert history.archive_keys() == []
        assert len(await history.flows(parse("addr:10.20.0.5", NOW), 100)) == 6


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    """A key that is not the day's is refused, a crash half-way through dropping is finished."""
    ring = Keyring(tmp_path / FOLDER, 2)
    assert ring.writer(FIRST, begun=False, now=T0) is not None
    path = tmp_path / FOLDER / f"{FIRST}.key"
    key = path.read_bytes()
    path.write_bytes(bytes(32))
    with pytest.raises(ValueError, match=r"2026-05-28\.key is damaged"):
        Keyring(tmp_path / FOLDER, 2).days()
    done, _ = Keyring(tmp_path / FOLDER, 2).drop(FIRST, T0, "ana")
    assert (done.key, path.exists()) == (hashlib.sha256(key).hexdigest(), False)
