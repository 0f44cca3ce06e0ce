"""The store: what went in comes out, over restarts, bad files, full disks and strange clocks."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from ipwatchd import sqlite
from ipwatchd.config import HistorySettings
from ipwatchd.history import buffer
from ipwatchd.history.subject import subject_of
from ipwatchd.records.event import AnyEvent, Auth, Blocked, Dhcp, Dns, Http, Sip, Tls
from ipwatchd.records.filter import Filter, parse
from ipwatchd.records.policy import RANGE
from ipwatchd.sqlite import CorruptStoreError
from tests.history.made import SMALL, T0, flow

if TYPE_CHECKING:
    from pathlib import Path

    import aiosqlite

    from tests.history.made import Open

EVERYTHING = Filter()


async def test_flows_come_out_as_they_went_in(open_history: Open) -> None:
    """A flow is found before it is sealed and after, in the JSON shape of the manual."""
    async with open_history() as history:
        history.add_flows(flow(), T0 + 1)
        await history.flush(T0 + 1)
        before = await history.flows(EVERYTHING, 10)
    async with open_history() as history:
        after = await history.flows(EVERYTHING, 10)
    assert before == after
    assert after[0] == {
        "start": T0, "end": T0 + 1, "proto": "tcp", "orig": "10.20.0.5", "orig_port": 40000,
        "resp": "203.0.113.9", "resp_port": 443, "orig_packets": 10, "orig_bytes": 1000,
        "resp_packets": 12, "resp_bytes": 5000, "state": "SF", "service": "tls",
        "community_id": after[0]["community_id"], "vlan": 0, "iface": "",
        "direction": "outgoing", "orig_zone": "agents", "resp_zone": "internet",
        "orig_country": "", "resp_country": "RU",
    }  # fmt: skip


async def test_totals_and_rollups(open_history: Open) -> None:
    """Top talkers, throughput and one address add up over several flushes."""
    async with open_history() as history:
        for second in range(3):
            history.add_flows(flow(start=T0 + second), T0 + second)
            await history.flush(T0 + second)
        top = await history.top(T0 - 10, T0 + 10, 5)
        assert [row["address"] for row in top] == ["10.20.0.5", "203.0.113.9"]
        assert top[1] == {
            "address": "203.0.113.9", "zone": "internet", "country": "RU", "agent": "", "flows": 3,
            "packets": 66, "bytes": 18000, "last_seen": T0 + 3,
        }  # fmt: skip
        assert await history.throughput(T0 - 60) == [
            {"ts": T0 // 60 * 60, "bytes": 18000, "packets": 66, "flows": 3}
        ]
        about = await history.address("203.0.113.9")
        assert about is not None
        assert (about["flows"], about["bytes"], about["first_seen"]) == (3, 18000, T0)
        assert about["services"][0]["service"] == "tls"
        assert about["peers"][0]["zone"] == "agents"
        assert about["places"][0]["operator"] == "Example Net"
        assert about["sessions"][0]["flows"] == 3
        assert [row["ts"] for row in about["hours"]] == [int(T0) // 3600 * 3600]
        assert await history.address("192.0.2.77") is None
        with pytest.raises(ValueError, match="none of bytes, flows, packets"):
            await history.top(0, T0, 5, by="zone; DROP TABLE address")


async def test_the_seven_records(open_history: Open) -> None:
    """Each kind shows what flows, events and list changes said of addresses."""
    dhcp = Dhcp(ts=T0, message="ACK", mac="02:00:00:00:00:05", address="10.20.0.5", hostname="desk")
    events: list[AnyEvent] = [
        Dns(ts=T0, orig="10.20.0.5", resp="10.30.0.53", name="Crm.Example.com", response=True,
            rcode="NOERROR", answers=("203.0.113.9", "not-an-address.example.com")),
        Tls(ts=T0, orig="10.20.0.5", resp="203.0.113.9", name="crm.example.com"),
        Http(ts=T0, orig="10.20.0.5", resp="203.0.113.9", name="api.example.com", method="POST"),
        Sip(ts=T0, orig="10.20.0.5", resp="10.30.0.2", method="REGISTER", user="maria"),
        Auth(ts=T0, orig="203.0.113.9", resp="10.30.0.1", user="root", result="failure",
             service="ssh"),
        Blocked(ts=T0, orig="203.0.113.9", resp="10.30.0.1", resp_port=22, proto="tcp",
                action="drop"),
        dhcp,
    ]  # fmt: skip
    incoming = flow("203.0.113.9", "10.30.0.1", port=22, direction="incoming", zones=(2, 1))
    async with open_history() as history:
        history.add_flows(np.concatenate([flow(), incoming]), T0)
        history.add_events(events, T0)
        history.add_list_change(
            ts=T0 - 5, list="deny", network="203.0.113.0/24", action="add", author="ana", reason="x"
        )
        await history.flush(T0 + 1)
        found = {
            kind: await history.records(kind, EVERYTHING, 10)
            for kind in ("incoming", "agent", "session", "list", "geo", "api", "activity")
        }
        (row,) = found["incoming"]
        assert (row["address"], row["target"], row["proto"]) == ("203.0.113.9", "10.30.0.1", "tcp")
        assert (row["port"], row["count"], row["denied"], row["country"]) == (22, 1, 1, "RU")
        (row,) = found["agent"]
        assert (row["agent"], row["address"], row["source"]) == ("maria", "10.20.0.5", "sip")
        assert (row["mac"], row["device"]) == ("02:00:00:00:00:05", "desk")
        assert {(row["address"], row["agent"]) for row in found["session"]} == {
            ("10.20.0.5", "maria"), ("203.0.113.9", ""), ("10.30.0.1", ""),
        }  # fmt: skip
        (row,) = found["list"]
        assert (row["network"], row["action"], row["hits"]) == ("203.0.113.0/24", "add", 1)
        (row,) = found["geo"]
        assert (row["address"], row["asn"], row["built"]) == ("203.0.113.9", 64500, 1_770_000_000)
        (row,) = found["api"]
        assert (row["name"], row["method"], row["count"]) == ("api.example.com", "POST", 1)
        assert {"traffic", "list", "auth", "blocked"} <= {row["kind"] for row in found["activity"]}
        about = await history.address("203.0.113.9")
        assert about is not None
        assert {row["name"] for row in about["names"]} == {"crm.example.com", "api.example.com"}
        assert len(await history.events(parse("kind:auth user:ro*t", T0), 10)) == 1
        assert msgspec.convert((await history.events(parse("kind:dhcp", T0), 1))[0], Dhcp) == dhcp


async def test_forged_events_do_no_harm(open_history: Open) -> None:
    """Addresses that are none, lone surrogates and quotes in names are stored, not raised."""
    events: list[AnyEvent] = [
        Auth(ts=T0, orig="'; DROP TABLE event; --", user="a\udc80b\0c", result="success",
             service="x" * 1000),
        Dns(ts=T0, name="%_\\*", response=True, rcode="NOERROR", answers=("999.1.1.1",) * 500),
        Blocked(ts=T0, orig="", resp="", proto="nonsense", action="drop"),
        Blocked(ts=float("nan"), resp_port=1 << 80, action="drop"),
        Http(ts=float("inf"), name="x", status=-(1 << 70)),
    ]  # fmt: skip
    async with open_history() as history:
        history.add_events(events, T0)
        await history.flush(T0)
        assert (await history.status())["degraded"] == ""
        assert len(await history.events(EVERYTHING, 10)) == 5


async def test_sessions_go_on_over_a_restart(open_history: Open) -> None:
    """An open session is taken up again and not doubled."""
    async with open_history() as history:
        history.add_flows(flow(), T0)
        await history.flush(T0)
    async with open_history() as history:
        history.add_flows(flow(start=T0 + 300), T0 + 300)
        await history.flush(T0 + 300)
        rows = await history.records("session", parse("addr:10.20.0.5", T0), 10)
        assert [(row["start"], row["end"], row["flows"]) for row in rows] == [(T0, T0 + 301, 2)]
        await history.flush(T0 + 300 + 1000)
        rows = await history.records("session", EVERYTHING, 10)
        assert not any(row["open"] for row in rows)


async def test_a_second_reader_sees_what_is_written(open_history: Open, tmp_path: Path) -> None:
    """A folder that a daemon writes to is read beside it, and not written by the reader."""
    async with open_history() as writer, open_history(read_only=True) as reader:
        writer.add_flows(flow(), T0)
        await writer.flush(T0)
        assert len(await reader.top(T0 - 10, T0 + 10, 5)) == 2
        reader.add_flows(flow(), T0)
        await reader.flush(T0)
        await reader.retain(T0 + 1e9)
        assert (await writer.top(T0 - 10, T0 + 10, 1))[0]["flows"] == 1


async def test_a_damaged_database_is_named(open_history: Open, tmp_path: Path) -> None:
    """One sentence with the file and the mend."""
    async with open_history() as history:
        history.add_flows(flow(), T0)
    path = tmp_path / "history.db"
    path.write_bytes(b"this is no database, " * 500)
    with pytest.raises(CorruptStoreError, match=r"history\.db is damaged"):
        async with open_history():
            pass


async def test_damaged_and_deleted_segments(open_history: Open, tmp_path: Path) -> None:
    """A damaged segment is skipped and named, a deleted one counted; the rest answers."""
    for number in range(3):
        async with open_history() as history:
            history.add_flows(flow(start=T0 + number), T0)
    files = sorted((tmp_path / "archive").rglob("*.parquet"))
    assert len(files) == 3
    files[0].write_bytes(b"PAR1" + b"\0" * 400 + b"PAR1")
    files[1].unlink()
    async with open_history() as history:
        assert len(await history.flows(EVERYTHING, 10)) == 1
        assert history.segments_skipped == (files[0],)
        assert history.shed()["segments_gone"] == 1


@pytest.mark.parametrize("merged", [False, True])
async def test_damage_in_every_way_of_asking(
    open_history: Open, tmp_path: Path, merged: bool
) -> None:
    """Rows, sums, streams, one address, a merge, an erasure: the rest answers, damage is named."""
    day = T0 // 86_400 * 86_400
    async with open_history() as history:
        for number in range(6):  # two segments a day
            at = day + number * 43_200
            history.add_flows(flow(start=at), at)
            await history.flush(at)
            await history.flush(at + 100)
        if merged:
            await history.retain(day + 4 * 86_400)
        files = sorted((tmp_path / "archive").rglob("*.parquet"))
        assert len(files) == (3 if merged else 6)
        bad, gone = files[0], files[-1]
        size = bad.stat().st_size
        with bad.open("r+b") as file:
            file.write(b"\xff" * (size - 2000))
        gone.unlink()
        left = 2 if merged else 4
        for question in ("", "addr:10.20.0.5", "addr:10.20.0.5,10.20.0.6", "port:443"):
            assert len(await history.flows(parse(question, T0), 10)) == left, question
            assert set(history.segments_skipped) == {bad, gone}, question
            rows = [
                row
                async for batch in history.stream("flows", parse(question, T0))
                for row in batch.rows
            ]
            assert len(rows) == left, question
            assert set(history.segments_skipped) == {bad, gone}, question
        (sums,) = await history.flows(parse("by:service", T0), 10)
        assert sums["flows"] == left
        assert set(history.segments_skipped) == {bad, gone}
        await history.retain(day + 4 * 86_400)
        await history.erase(subject_of("10.20.0.9"), T0)
        assert (await history.status())["degraded"] == ""
    async with open_history() as history:
        assert history.shed()["segments_gone"] == 1
        assert len(await history.flows(EVERYTHING, 10)) == left


async def test_leftovers_of_a_crash(open_history: Open, tmp_path: Path) -> None:
    """Half-written files go; a sealed segment that was not registered is taken up, once."""
    async with open_history() as history:
        history.add_flows(flow(), T0)
    (sealed,) = (tmp_path / "archive").rglob("*.parquet")
    shutil.copy(sealed, sealed.with_name("1-later.parquet"))
    sealed.with_name("2-half.part").write_bytes(b"PAR1")
    sealed.with_name("3-bad.parquet").write_bytes(b"nothing")
    async with open_history() as history:
        assert history.shed() == {"segments_unfinished": 1, "segments_bad": 1}
        assert len(await history.flows(EVERYTHING, 10)) == 2
        assert sealed.with_name("3-bad.bad").exists()
        assert not sealed.with_name("2-half.part").exists()


async def test_retention_by_age_and_bytes(open_history: Open, tmp_path: Path) -> None:
    """Old rows and segments go, each by its own limit; over the budget the oldest segments go."""
    settings = HistorySettings(flow_days=2, event_days=3, rollup_days=10, free_bytes=1)
    day = 86400.0
    async with open_history(settings) as history:
        for ago in range(12):
            history.add_flows(flow(start=T0 - ago * day), T0 - ago * day)
            history.add_events([Tls(ts=T0 - ago * day, name="a.example")], T0)
        await history.flush(T0)
    async with open_history(settings) as history:
        await history.retain(T0)
        held = await history.status()
        assert (held["segments"], held["flows"], held["removed"]["segments"]) == (3, 3, 9)
        assert len(await history.events(EVERYTHING, 100)) == 4
        assert held["oldest"] >= T0 - 12 * day
        assert len(await history.throughput(0)) == 10
    async with open_history(HistorySettings(archive_bytes=1, free_bytes=1)) as history:
        await history.retain(T0)
        assert (await history.status())["segments"] == 0
    assert list((tmp_path / "archive").rglob("date=*")) == []


async def test_the_clock_jumps(open_history: Open) -> None:
    """Back a year and forth again: every flow is kept under its own time, nothing raises."""
    async with open_history() as history:
        for at in (T0, T0 - 365 * 86400, T0 + 30, T0 + 10 * 365 * 86400, T0 + 60):
            history.add_flows(flow(start=at), at)
            await history.flush(at)
        assert (await history.status())["degraded"] == ""
        rows = await history.flows(EVERYTHING, 10)
        assert len(rows) == 5
        assert len(await history.flows(parse("until:2026-01-01", T0), 10)) == 1


async def test_the_disk_fills(open_history: Open, tmp_path: Path) -> None:
    """Step by step the archive, events, then roll-ups stop, said in status and counted."""
    free = shutil.disk_usage(tmp_path).free
    for part, word in ((1.5, "archive has"), (3, "events have"), (8, "roll-ups have")):
        async with open_history(HistorySettings(free_bytes=int(free * part))) as history:
            await history.flush(T0)
            history.add_flows(flow(), T0)
            history.add_events([Tls(ts=T0, name="a.example")], T0)
            await history.flush(T0)
            status = await history.status()
            assert word in status["degraded"]
            assert status["shed"]["flows_not_archived"] == 1
            assert ("events" in status["shed"]) == (part > 1.5)
            assert ("flows" in status["shed"]) == (part > 3)
    assert list((tmp_path / "archive").rglob("*.parquet")) == []


async def test_a_database_that_is_full_loses_nothing(
    open_history: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLITE_FULL keeps the sums in memory and writes them when there is room."""
    monkeypatch.setattr(buffer, "MAX_FLOWS", 3000)
    many = np.concatenate([flow(f"10.20.{n // 250}.{n % 250}") for n in range(2000)])
    async with open_history() as history:
        (pages,) = await (await history._db.execute("PRAGMA page_count")).fetchone() or (0,)
        await history._db.execute(f"PRAGMA max_page_count = {pages}")
        history.add_flows(many, T0)
        await history.flush(T0)
        status = await history.status()
        assert "database or disk is full" in status["degraded"]
        assert status["waiting"] == 2000
        history.add_flows(many, T0)
        await history.flush(T0)
        assert (await history.status())["waiting"] == 4000
        assert history.shed() == {"flows_not_archived": 1000}
        await history._db.execute("PRAGMA max_page_count = 1073741823")
        await history.flush(T0)
        assert (await history.status())["degraded"] == ""
        assert sum(row["flows"] for row in await history.throughput(0)) == 4000


async def test_events_above_the_bound_are_counted(
    open_history: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of events fills the buffer and no more."""
    monkeypatch.setattr(buffer, "MAX_EVENTS", 10)
    async with open_history() as history:
        history.add_events([Tls(ts=T0, name="a.example")] * 25, T0)
        assert history.shed() == {"events": 15}


async def test_new_zones_after_a_reload(open_history: Open) -> None:
    """Indices mean the new zones from then on; what was there before keeps its name."""
    async with open_history() as history:
        history.add_flows(flow(zones=(0, 2)), T0)
        history.rename(zones=("vpn", "agents", "internet"))
        history.add_flows(flow("10.9.0.1", zones=(0, 2)), T0)
        await history.flush(T0)
        rows = await history.flows(EVERYTHING, 10)
        assert {(row["orig"], row["orig_zone"]) for row in rows} == {
            ("10.20.0.5", "agents"), ("10.9.0.1", "vpn"),
        }  # fmt: skip


async def test_what_an_entry_would_touch(open_history: Open) -> None:
    """The preview of a network: addresses, flows and bytes since then, the busiest first."""
    async with open_history() as history:
        history.add_flows(np.concatenate([flow(), flow(resp="203.0.113.10", octets=(1, 1))]), T0)
        await history.flush(T0)
        network = np.zeros(1, RANGE)
        network["first_lo"], network["last_lo"] = 0xFFFFCB007100, 0xFFFFCB0071FF
        found = await history.touched(network, T0 - 60)
        assert (found["addresses"], found["flows"], found["bytes"]) == (2, 2, 6002)
        assert found["busiest"][0]["address"] == "203.0.113.9"
        assert (await history.touched(network, T0 + 86400))["addresses"] == 0


async def test_segments_are_sealed_when_due(open_history: Open, tmp_path: Path) -> None:
    """By age or by rows; sorted by originator, compressed, with statistics."""
    settings = msgspec.structs.replace(SMALL, segment_seconds=60.0, segment_rows=100)
    async with open_history(settings) as history:
        history.add_flows(flow(), T0)
        await history.flush(T0)
        await history.flush(T0 + 59)
        assert (await history.status())["segments"] == 0
        await history.flush(T0 + 60)
        assert (await history.status())["segments"] == 1
        batch = np.concatenate([flow(f"10.20.9.{200 - n}") for n in range(100)])
        history.add_flows(batch, T0 + 61)
        await history.flush(T0 + 61)
        assert (await history.status())["segments"] == 2
    newest = max(
        (tmp_path / "archive").rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns
    )
    group = pq.ParquetFile(newest).metadata.row_group(0)
    assert newest.parent.name == "date=2026-05-28"
    assert newest.parent.parent.name == "site=manila"
    assert group.column(2).compression == "ZSTD"
    assert group.column(2).statistics.has_min_max
    originators = pq.ParquetFile(newest).read(["orig_lo"])["orig_lo"].to_pylist()
    assert originators == sorted(originators)


async def test_flush_and_queries_side_by_side(open_history: Open) -> None:
    """Readers and the writer share the file without blocking or failing one another."""
    async with open_history() as history:

        async def write() -> None:
            for second in range(20):
                history.add_flows(flow(start=T0 + second), T0 + second)
                await history.flush(T0 + second)

        async def read() -> None:
            for _ in range(20):
                await history.top(T0 - 10, T0 + 100, 5)
                await history.records("session", EVERYTHING, 5)

        await asyncio.gather(write(), read(), history.flows(EVERYTHING, 5))
        assert (await history.status())["degraded"] == ""
        assert (await history.top(T0, T0 + 100, 1))[0]["flows"] == 20


async def test_a_stream_does_not_check_a_large_file_again(
    open_history: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of the daemon that writes is no sign of a kill: rows come at once."""
    async with open_history() as history:
        history.add_events([Tls(ts=T0, name="a.example")], T0)
        await history.flush(T0)
        monkeypatch.setattr(sqlite, "CHECKED_WHOLE", 0)
        checked, original = [], sqlite._check

        async def check(db: aiosqlite.Connection, path: Path, *, whole: bool) -> None:
            checked.append(whole)
            await original(db, path, whole=whole)

        monkeypatch.setattr(sqlite, "_check", check)
        rows = [row async for batch in history.stream("events", EVERYTHING) for row in batch.rows]
        assert (len(rows), checked) == (1, [False])


def test_sqlite_is_new_enough() -> None:
    """UPSERT without a conflict target needs 3.35."""
    assert sqlite3.sqlite_version_info >= (3, 35)
