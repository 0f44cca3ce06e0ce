"""Hours become days, the oldest goes first, room is made before the disk is full."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ipwatchd.config import HistorySettings
from ipwatchd.history.buffer import Buffer
from ipwatchd.records.event import Tls
from ipwatchd.records.filter import parse
from tests.history.made import SMALL, T0, flow

if TYPE_CHECKING:
    import pytest

    from ipwatchd.history import History
    from tests.history.made import Open

ROOT = Path(__file__).resolve().parents[2]
DAY = 86_400.0
DAY0 = T0 // DAY * DAY
WHO = "10.20.0.5"


async def fill(history: History, days: int) -> None:
    """Record two flows a day, in different hours, with retention as the daemon does it."""
    for day in range(days):
        for hour in (9, 21):
            at = DAY0 + day * DAY + hour * 3600
            history.add_flows(flow(start=at), at)
            await history.flush(at)
        await history.retain(DAY0 + (day + 1) * DAY + 1000)


async def test_days_are_the_sums_of_their_hours(open_history: Open) -> None:
    """`top` gives the same from days as from hours, over any span, late flows included."""
    async with open_history() as history:
        await fill(history, 3)
        late = DAY0 + 23 * 3600  # a flow that ends days later counts in the day that it began
        history.add_flows(flow(start=late, seconds=3 * DAY), DAY0 + 4 * DAY)
        await history.flush(DAY0 + 4 * DAY)
        await history.retain(DAY0 + 5 * DAY)
        spans = [(0, 1), (0, 2), (0, 3), (0.5, 2.5), (1, 1.5), (0.1, 0.9), (-5, 9), (2, 2)]
        for since, until in spans:
            begun = [DAY0 + day * DAY + hour * 3600 for day in range(3) for hour in (9, 21)]
            expected = sum(
                DAY0 + since * DAY - 3600 < hour < DAY0 + until * DAY for hour in [*begun, late]
            )
            rows = await history.top(DAY0 + since * DAY, DAY0 + until * DAY, 5)
            found = {row["address"]: row["flows"] for row in rows}
            assert found.get(WHO, 0) == expected, (since, until)
        days = await history._rows("SELECT day, sum(flows) FROM rollup_day GROUP BY day")
        assert [row[1] for row in days] == [6, 4, 4]


async def test_old_hours_go_and_their_days_stay(open_history: Open) -> None:
    """After `hour_days` the timeline shows a day where it showed hours; sums stay the same."""
    async with open_history(msgspec.structs.replace(SMALL, hour_days=2)) as history:
        await fill(history, 6)
        rows = await history.records("activity", parse(f"addr:{WHO}", T0), 100)
        assert [(row["ts"] - DAY0) // DAY for row in rows] == [5, 5, 4, 4, 3, 2, 1, 0]
        assert [row["span"] for row in rows] == [3600] * 4 + [86_400] * 4
        assert [row["flows"] for row in rows] == [1] * 4 + [2] * 4
        about = await history.address(WHO)
        assert about is not None
        assert sum(row["flows"] for row in about["hours"]) == 12
        assert (about["services"][0]["flows"], about["peers"][0]["flows"]) == (12, 12)
        assert (await history.top(DAY0, DAY0 + 7 * DAY, 1))[0]["flows"] == 12


async def test_records_that_could_not_be_deleted(open_history: Open) -> None:
    """The flush of the next second goes well and hides nothing: said until retention goes well."""
    async with open_history() as history:
        await fill(history, 2)
        await history._db.execute("CREATE TRIGGER no BEFORE DELETE ON event BEGIN "
                                  "SELECT raise(ABORT, 'the disk refuses'); END")  # fmt: skip
        history.add_events([Tls(ts=DAY0, name="a.example")], DAY0 + 2 * DAY)
        await history.flush(DAY0 + 2 * DAY)
        settings, history.settings = history.settings, msgspec.structs.replace(SMALL, event_days=1)
        for at in (DAY0 + 3 * DAY, DAY0 + 3 * DAY + 1):
            await history.retain(at)
            await history.flush(at)
            assert "can't delete old records" in history.degraded()
        history.settings = settings
        await history.retain(DAY0 + 3 * DAY + 2)
        assert history.degraded() == ""


async def test_a_clock_that_leapt_ahead_and_back_counts_nothing_twice(open_history: Open) -> None:
    """Days that were folded too early take what comes later."""
    async with open_history() as history:
        history.add_flows(flow(start=DAY0 + 60), DAY0 + 60)
        await history.flush(DAY0 + 60)
        await history.retain(DAY0 + 120)
        await history.retain(DAY0 + 1.2 * DAY)  # a day ahead
        for at in (DAY0 + 180, DAY0 - 10 * DAY, DAY0 + 240):  # back, far back, as it was
            history.add_flows(flow(start=at), at)
            await history.flush(at)
            await history.retain(at)
        assert (await history.top(DAY0, DAY0 + DAY, 1))[0]["flows"] == 3
        assert (await history.top(DAY0 - 11 * DAY, DAY0 + 2 * DAY, 1))[0]["flows"] == 4
        assert (await history.status())["degraded"] == ""


async def test_the_database_keeps_to_its_bytes(open_history: Open) -> None:
    """Over `database_bytes` the oldest days go; who an address is stays."""
    many = np.concatenate([flow(f"10.20.{n // 250}.{n % 250}") for n in range(1500)])
    settings = msgspec.structs.replace(SMALL, database_bytes=800_000)
    async with open_history(settings) as history:
        for day in range(8):
            batch = many.copy()
            batch["start"] += round(day * DAY * 1e9)
            batch["end"] += round(day * DAY * 1e9)
            history.add_flows(batch, T0 + day * DAY)
            await history.flush(T0 + day * DAY)
        before = await history.status()
        await history.retain(T0 + 8 * DAY)
        after = await history.status()
        assert after["removed"]["rows_over_budget"] > 1500
        assert after["addresses"] == before["addresses"]
        assert (await history.top(T0 + 7 * DAY - 10, T0 + 8 * DAY, 1))[0]["flows"] == 1500
        assert await history.top(DAY0, DAY0 + DAY, 1) == []


ON_A_SMALL_DISK = """
import asyncio, os, shutil, sys, traceback, numpy as np
from pathlib import Path
from ipwatchd.config import HistorySettings
from ipwatchd.history import History
from ipwatchd.records.filter import Filter
from tests.history.made import T0, ZONES, flow, locate

disk = Path(sys.argv[1])
dice = np.random.default_rng(7)

def batch(second):
    flows = np.concatenate([flow()] * 4000)
    for name in ("orig_port", "orig_bytes", "resp_bytes", "start"):
        flows[name] = dice.integers(1, 60000, len(flows))
    flows["start"] += round((T0 + second) * 1e9)
    flows["end"] = flows["start"]
    return flows

async def main():
    settings = HistorySettings(segment_seconds=1.0, free_bytes=600_000)
    history = await History.open(disk, "manila", settings, locate=locate, zones=ZONES)
    for second in range(70):  # twice what the disk holds
        history.add_flows(batch(second), T0 + second)
        await history.flush(T0 + second)
    status = await history.status()
    assert status["degraded"] == "", status
    assert status["removed"]["segments_for_space"] > 5, status
    assert shutil.disk_usage(disk).free >= 500_000
    newest = await history.flows(Filter(), 1)
    assert newest[0]["start"] >= T0 + 69, newest
    fill = disk / "fill"
    for second in range(70, 76):
        with fill.open("ab", buffering=0) as file:  # somebody else takes all that there is
            for size in (1 << 16, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass
        history.add_flows(batch(second), T0 + second)
        await history.flush(T0 + second)
    status = await history.status()
    print(status["degraded"])
    fill.unlink()
    for second in range(76, 79):
        history.add_flows(batch(second), T0 + second)
        await history.flush(T0 + second)
    status = await history.status()
    assert status["degraded"] == "", status
    newest = await history.flows(Filter(), 1)
    assert newest[0]["start"] >= T0 + 78, newest
    print(sum(row["flows"] for row in await history.throughput(0)), history.shed())
    await history.close(T0 + 200)

try:
    asyncio.run(main())
except BaseException:
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)  # the connections' threads would go on
"""


async def test_room_is_made_before_the_disk_is_full(tmp_path: Path) -> None:
    """On a real disk of 3 MB: oldest segments go, somebody fills it, it goes on with room again."""
    shown = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "-m", "--propagation", "private", "sh", "-c",
         'mount -t tmpfs -o size=3m none "$1" && exec "$2" -c "$3" "$1"', "sh", str(tmp_path),
         sys.executable, ON_A_SMALL_DISK],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    degraded, sums = shown.stdout.splitlines()
    assert "have stopped" in degraded or "can't write" in degraded
    written, _, shed = sums.partition(" ")
    told = eval(shed)  # noqa: S307 - a dict that the script printed
    assert int(written) + told.get("flows", 0) == 79 * 4000
    assert told["flows_not_archived"] > 0


async def test_nothing_is_given_up_for_room_that_it_would_not_make(
    open_history: Open, tmp_path: Path
) -> None:
    """A floor above what the disk has: the archive stays, and says that it stopped."""
    async with open_history() as history:
        history.add_flows(flow(), T0)
    floor = shutil.disk_usage(tmp_path).free * 3 // 2
    async with open_history(HistorySettings(free_bytes=floor)) as history:
        await history.flush(T0)
        status = await history.status()
        assert status["segments"] == 1
        assert "the flow archive has stopped" in status["degraded"]


async def test_sums_that_wait_are_combined(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be written, parts become one: memory is bounded by what differs."""
    from ipwatchd.history import pending
    from ipwatchd.history.sessions import no_sessions

    monkeypatch.setattr(pending, "_MOST_PARTS", 2)
    waits = pending.Pending(no_sessions(), 1)
    buffer = Buffer()
    for second in range(10):
        buffer.add_flows(flow(start=T0 + second), archive=False)
        waits.add(list(buffer.flows), T0 + second, 900.0)
        buffer.drop_flows(1)
    assert waits.flows == 10
    assert len(waits._parts) <= 2
    summary = waits.summary()
    assert summary.flows == 10
    assert summary.rollups["flows"].tolist() == [10, 10]
