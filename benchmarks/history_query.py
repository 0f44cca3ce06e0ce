"""Questions over a month: one address's activity and its flows, the top talkers of a day.

python benchmarks/history_query.py [--json] [--flows N] [--keep FOLDER]

Deterministic flows over 30 days go through our stores, an hour a flush; the same flows to nfdump
(an nfcapd file in LZ4; of more than a million a sample, its time scaled up). Cold means: a new
process, and the kernel told to drop the files' pages.
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
from history_peers import nfcapd, nfdump_query

from ipwatchd.config import HistorySettings
from ipwatchd.history import History

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SITE = "bench"
HOURS = 30 * 24
START = T0 // 86_400 * 86_400
ADDRESS = "8.0.19.136"  # one of the 20,000 outside, in the middle of the distribution
SETTINGS = HistorySettings(free_bytes=1, archive_bytes=1 << 40)


def hour_of(rows: int, hour: int) -> NDArray[np.void]:
    """Return the flows of one hour of the month."""
    flows = make(rows, hour)
    lasted = flows["end"] - flows["start"]
    # The place in the second becomes the place in the hour.
    flows["start"] = (START + hour * 3_600) * 10**9 + flows["start"] % 10**9 * 3_600
    flows["end"] = flows["start"] + lasted
    return flows


async def fill(folder: Path, flows: int) -> float:
    """Write the month; return the seconds of CPU it took."""
    before = time.process_time()
    history = await History.open(folder, SITE, SETTINGS, locate=locate, zones=ZONES)
    for hour in range(HOURS):
        now = START + (hour + 1) * 3600.0
        history.add_flows(hour_of(flows // HOURS, hour), now)
        await history.flush(now)
        if hour % 24 == 23:
            await history.retain(now)
    await history.close(START + HOURS * 3600.0 + 60)
    return time.process_time() - before


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
            rows = 0
            async for batch in history.stream("flows", parse(f"{ADDRESS} since:30d", end)):
                rows += len(batch.rows)
        case "newest":
            rows = len(await history.flows(parse(f"{ADDRESS} since:30d", end), 100))
        case _:
            rows = len(await history.top(end - 86_400, end, 100))
    seconds = time.perf_counter() - before
    await history.close(end)
    return seconds, rows


def cold(folder: Path, what: str, repeats: int) -> dict[str, Any]:
    """Ask in new processes with the files' pages dropped; return the median."""
    found = []
    for _ in range(repeats):
        for path in folder.rglob("*"):
            if path.is_file():
                handle = os.open(path, os.O_RDONLY)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)
        command = [sys.executable, __file__, "--ask", what, "--keep", str(folder)]
        found.append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    return {"seconds": statistics.median(one[0] for one in found), "rows": found[0][1]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="a folder that stays, and is used again")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    if asked.ask:
        print(json.dumps(asyncio.run(ask(asked.keep / "state", asked.ask))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        if not (folder / "state").exists():
            (folder / "state").mkdir(parents=True)
            cpu = asyncio.run(fill(folder / "state", asked.flows))
            print(f"{asked.flows} flows written in {cpu:.0f} s of CPU", file=sys.stderr)
        answer: dict[str, Any] = {"flows": asked.flows}
        for what in ("activity", "newest", "all_flows", "top"):
            answer[what] = cold(folder, what, asked.repeats)
        sample = [hour_of(asked.flows // HOURS, hour) for hour in range(24)]
        sample = sample[: max(1, 500_000 // max(1, len(sample[0])))]
        peer = nfcapd(Path(temporary) / "nfcapd", sample, START)
        seconds = nfdump_query(peer["file"], ADDRESS)
        answer["nfdump_scaled"] = seconds * asked.flows / sum(map(len, sample))
        answer["times_faster"] = answer["nfdump_scaled"] / answer["all_flows"]["seconds"]
    if asked.json:
        print(json.dumps(answer))
        return
    for what in ("activity", "newest", "all_flows", "top"):
        print(f"  {what:<10} {answer[what]['seconds']:7.3f} s  {answer[what]['rows']} rows")
    print(f"  nfdump     {answer['nfdump_scaled']:7.3f} s (scaled), "
          f"{answer['times_faster']:.0f} times ours")  # fmt: skip


if __name__ == "__main__":
    main()
