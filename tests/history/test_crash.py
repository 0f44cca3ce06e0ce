"""kill -9 and a full disk: nothing sealed is bad, nothing committed lost, the rest counted."""

from __future__ import annotations

import asyncio
import random
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from ipwatchd.records.filter import Filter

if TYPE_CHECKING:
    from tests.history.made import Open

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import asyncio, sys, numpy as np
from pathlib import Path
from ipwatchd.config import HistorySettings
from ipwatchd.history import History
from tests.history.made import T0, ZONES, flow, locate

async def main():
    settings = HistorySettings(segment_seconds=0.5, free_bytes=1)
    history = await History.open(
        Path(sys.argv[1]), "manila", settings, locate=locate, zones=ZONES
    )
    batch = np.concatenate([flow(f"10.20.{n // 250}.{n % 250}") for n in range(500)])
    for second in range(int(sys.argv[2])):
        history.add_flows(batch, T0 + second)
        await history.flush(T0 + second)
        print(second, flush=True)
    print((await history.status())["degraded"], flush=True)
    await history.close(T0 + 1e6)

asyncio.run(main())
"""

ON_A_SMALL_DISK = """
mount -t tmpfs -o size=1500k none "$1" && "$2" -c "$3" "$1" 40
status=$?
mkdir "$4" && cp -r "$1/." "$4"
exit $status
"""


def start(folder: Path, seconds: int) -> subprocess.Popen[str]:
    """Start a writer that says each second it has flushed."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(seconds)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def kill_after(writer: subprocess.Popen[str], lines: int, delay: float) -> int:
    """Kill a writer some time after it has said so many lines; return how many it said in all."""
    assert writer.stdout is not None
    for _ in range(lines):
        assert writer.stdout.readline()
    select.select([], [], [], delay)
    writer.send_signal(signal.SIGKILL)
    said = lines + len(writer.stdout.readlines())
    writer.wait()
    writer.stdout.close()
    return said


async def test_killed_at_any_moment(open_history: Open, tmp_path: Path) -> None:
    """What was flushed is there once, every segment reads, what was in none is counted."""
    dice = random.Random(7)
    flushed_at_least = 0
    for _ in range(4):
        writer = start(tmp_path, 100_000)
        flushed_at_least += 500 * kill_after(writer, dice.randint(1, 12), dice.random() / 10)
        async with open_history() as history:
            rolled_up = sum(row["flows"] for row in await history.throughput(0))
            archived = (await history.status())["flows"]
            lost = history.shed().get("flows_lost", 0)
            assert rolled_up >= flushed_at_least
            # One flush may have been committed without being said.
            assert rolled_up <= flushed_at_least + 4 * 500
            flushed_at_least = rolled_up
            assert archived <= rolled_up
            assert lost <= 500 * 3
        for path in (tmp_path / "archive").rglob("*.parquet"):
            assert pq.read_table(path).num_rows > 0
        assert not list((tmp_path / "archive").rglob("*.part"))


BUSY = """
import asyncio, os, signal, sys, numpy as np
from pathlib import Path
from ipwatchd.config import HistorySettings
from ipwatchd.history import History
from tests.history.made import T0, ZONES, flow, locate

async def main():
    settings = HistorySettings(segment_seconds=4.0, free_bytes=1)
    history = await History.open(
        Path(sys.argv[1]), "manila", settings, locate=locate, zones=ZONES
    )
    batch = np.concatenate([flow()] * 6000)
    for second in range(int(sys.argv[2])):
        history.add_flows(batch, T0 + second)
        await history.flush(T0 + second)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize(("seconds", "written", "sealed"), [(9, 1, 9), (11, 11, 9), (4, 1, 0)])
async def test_what_a_kill_takes_is_counted(
    open_history: Open, tmp_path: Path, seconds: int, written: int, sealed: int
) -> None:
    """Under load the tables lag by ten seconds, segments by theirs: the next start says it."""
    command = [sys.executable, "-c", BUSY, str(tmp_path), str(seconds)]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    async with open_history() as history:
        assert sum(row["flows"] for row in await history.throughput(0)) == written * 6000
        assert (await history.status())["flows"] == sealed * 6000
        lost = {"flows_lost": seconds - sealed, "flows_untallied": seconds - written}
        assert history.shed() == {name: count * 6000 for name, count in lost.items() if count}
    async with open_history() as history:
        assert history.shed() == {}


async def test_a_full_disk_degrades_and_recovers(tmp_path: Path, open_history: Open) -> None:
    """On a real file system without room the writer goes on and says so; what is there is sound."""
    shown = await asyncio.to_thread(
        subprocess.run,
        ["unshare", "-m", "sh", "-c", ON_A_SMALL_DISK, "sh", str(tmp_path), sys.executable, WRITER,
         f"{tmp_path}-copy"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    said = shown.stdout.splitlines()
    assert said[39] == "39"
    assert "history can't write" in said[40]
    copy = Path(f"{tmp_path}-copy")
    for path in (copy / "archive").rglob("*.parquet"):
        assert pq.read_table(path).num_rows > 0
    shutil.copytree(copy, tmp_path, dirs_exist_ok=True)
    async with open_history() as history:
        assert sum(row["flows"] for row in await history.throughput(0)) > 0
        assert len(await history.flows(Filter(), 10)) <= 10
