"""Questions over a month: one address's activity and its flows, the top talkers of a day.

python benchmarks/history_query.py [--json] [--flows N] [--peer N] [--keep FOLDER]

Deterministic flows over 30 days go through our stores, an hour a flush, days merged as the daemon
does. The same hours go to nfcapd (LZ4 files), thinned to `--peer` flows where that is fewer, and
nfdump's time is then scaled up. Cold means: a new process, and the kernel told to drop the pages of
all files. `activity` is the record of that name, `all_flows` the listing of every flow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from history_ingest import T0, ZONES, locate, make
from history_peers import nfcapd_month, nfdump_month

from ipwatchd.config import HistorySettings
from ipwatchd.history import History

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SITE = "bench"
HOURS = 30 * 24
START = T0 // 86_400 * 86_400
ADDRESS = "8.0.19.136"  # one of the 20,000 outside, in the middle of the distribution
QUESTIONS = ("activity", "newest", "all_flows", "top")
SETTINGS = HistorySettings(free_bytes=1, archive_bytes=1 << 40)


def hour_of(rows: int, hour: int) -> NDArray[np.void]:
    """Return the flows of one hour of the month."""
    flows = make(rows, hour)
    lasted = flows["end"] - flows["start"]
    # The place in the second becomes the place in the hour.
    flows["start"] = (START + hour * 3_600) * 10**9 + flows["start"] % 10**9 * 3_600
    flows["end"] = flows["start"] + lasted
    return flows


async def fill(folder: Path, flows: int) -> dict[str, float]:
    """Write the month; return the seconds of CPU that taking flows and merging days took."""
    history = await History.open(folder, SITE, SETTINGS, locate=locate, zones=ZONES)
    taking = merging = 0.0
    for hour in range(HOURS):
        now = START + (hour + 1) * 3600.0
        batch = hour_of(flows // HOURS, hour)
        before = time.process_time()
        history.add_flows(batch, now)
        await history.flush(now)
        taking += time.process_time() - before
        if hour % 24 == 0 and hour:
            before = time.process_time()
            await history.retain(now)
            merging += time.process_time() - before
            print(f"day {hour // 24}", end="\r", file=sys.stderr)
    before = time.process_time()
    end = START + HOURS * 3600.0
    await history.flush(end + 60)
    taking += time.process_time() - before
    await history.retain(end + 1_800)
    await history.close(end + 1_860)
    return {"taking_seconds": round(taking), "merging_seconds": round(merging),
            "flows_per_cpu_second": round(flows / taking)}  # fmt: skip


async def ask(folder: Path, what: str) -> tuple[float, int]:
    """Ask one question in this process; return its seconds and rows."""
    from ipwatchd.records.filter import parse

    end = START + HOURS * 3600.0
    history = await History.open(folder, SITE, SETTINGS, locate=locate, zones=ZONES, read_only=True)
    before = time.perf_counter()
    match what:
        case "activity":
            rows = len(await history.records("activity", parse(f"{ADDRESS} since:30d", end), 1000))
        case "all_flows":
            rows = len(await history.flows(parse(f"{ADDRESS} since:30d", end), 1_000_000))
        case "newest":
            rows = len(await history.flows(parse(f"{ADDRESS} since:30d", end), 100))
        case _:
            rows = len(await history.top(end - 86_400, end, 100))
    seconds = time.perf_counter() - before
    await history.close(end)
    return seconds, rows


def forget(folder: Path) -> None:
    """Tell the kernel to drop the pages of every file of a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def cold(folder: Path, what: str, repeats: int) -> dict[str, Any]:
    """Ask in new processes with the files' pages dropped; return the median."""
    found = []
    for _ in range(repeats):
        forget(folder / "state")
        command = [sys.executable, __file__, "--ask", what, "--keep", str(folder)]
        found.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    return {"seconds": statistics.median(one[0] for one in found), "rows": found[0][1]}


def peer(folder: Path, flows: int, share: int) -> dict[str, float]:
    """Have nfdump list the address, once warmed by nothing; scale where it has a share."""
    made = folder / "nfcapd"
    if not made.exists():
        nfcapd_month(made, (hour_of(share // HOURS, hour) for hour in range(HOURS)), START)
    forget(made)
    found = nfdump_month(made, ADDRESS)
    size = sum(path.stat().st_size for path in made.iterdir())
    return {**found, "share": share / flows, "scaled": found["seconds"] * flows / share,
            "bytes_per_flow": size / share}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--peer", type=int, default=1_000_000, help="flows that nfdump gets")
    parser.add_argument("--keep", type=Path, help="a folder that stays, and is used again")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("fill", "peer"), help="make one store and end")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    if asked.ask:
        print(json.dumps(asyncio.run(ask(asked.keep / "state", asked.ask))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        run(asked, asked.keep or Path(temporary))


def run(asked: argparse.Namespace, folder: Path) -> None:
    """Make what is not there yet, ask, and print."""
    state = folder / "state"
    if asked.only != "peer" and not state.exists():
        state.mkdir(parents=True)
        spent = asyncio.run(fill(state, asked.flows))
        print(f"{asked.flows} flows: {spent}", file=sys.stderr)
    share = min(asked.flows, asked.peer)
    if asked.only == "fill":
        return
    answer: dict[str, Any] = {"flows": asked.flows, "nfdump": peer(folder, asked.flows, share)}
    if asked.only == "peer":
        return
    archive = sum(path.stat().st_size for path in (state / "archive").rglob("*") if path.is_file())
    answer["archive_bytes_per_flow"] = archive / asked.flows
    answer["database_bytes_per_flow"] = (state / "history.db").stat().st_size / asked.flows
    for what in QUESTIONS:
        answer[what] = cold(folder, what, asked.repeats)
    for what in ("activity", "all_flows"):
        answer[what]["times_faster"] = answer["nfdump"]["scaled"] / answer[what]["seconds"]
    if asked.json:
        print(json.dumps(answer))
        return
    print(f"{asked.flows} flows over 30 days: archive {answer['archive_bytes_per_flow']:.1f} B a "
          f"flow, history.db {answer['database_bytes_per_flow']:.1f}")  # fmt: skip
    for what in QUESTIONS:
        faster = answer[what].get("times_faster")
        more = f", nfdump takes {faster:.0f} times as long" if faster else ""
        print(f"  {what:<10} {answer[what]['seconds']:7.3f} s  {answer[what]['rows']} rows{more}")
    theirs = answer["nfdump"]
    print(
        f"  nfdump     {theirs['scaled']:7.3f} s  {theirs['rows']} rows from "
        f"{theirs['share']:.0%} of the flows, {theirs['bytes_per_flow']:.1f} B a flow"
    )


if __name__ == "__main__":
    main()
