"""History over an hour of ingest: memory, the longest flush; then what retention of a day costs.

python benchmarks/history_soak.py [--json] [--seconds N] [--flows N] [--store FOLDER]

`--seconds` of the capture's clock with `--flows` each are taken as fast as they go, flushed each
second, with retention and merging every five minutes of that clock. Then a day is retained: of the
same store, or of a store of history_query.py --keep FOLDER (FOLDER/state), which is copied first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from history_ingest import T0, ZONES, locate, make

from ipwatchd.config import HistorySettings
from ipwatchd.history import History

PAGE = resource.getpagesize()
DAY = 86_400.0


def resident() -> int:
    """Return the bytes of memory in use now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


async def hour(folder: Path, seconds: int, flows: int) -> dict[str, Any]:
    """Take an hour; return memory in MB every sixth of it, and the longest flush."""
    settings = HistorySettings(free_bytes=1)
    history = await History.open(folder, "soak", settings, locate=locate, zones=ZONES)
    memory, longest = [], 0.0
    begun = time.process_time()
    try:
        for second in range(seconds):
            now = T0 + second
            history.add_flows(make(flows, second), now)
            before = time.perf_counter()
            await history.flush(now)
            longest = max(longest, time.perf_counter() - before)
            if second % 300 == 299:
                await history.retain(now, beside=True)
            if second % (seconds // 6) == seconds // 6 - 1:
                memory.append(resident() >> 20)
        held = await history.status()
    finally:
        await history.close(T0 + seconds)
    return {
        "flows": seconds * flows, "memory_mb": memory, "longest_flush_seconds": longest,
        "cpu_seconds": time.process_time() - begun, "shed": held["shed"],
    }  # fmt: skip


async def day(folder: Path, site: str) -> dict[str, Any]:
    """Retain one day; return seconds, what went, and how long a flush had to wait meanwhile."""
    settings = HistorySettings(free_bytes=1, archive_bytes=1 << 40, database_bytes=1 << 40)
    history = await History.open(folder, site, settings, locate=locate, zones=ZONES)
    longest, flushes = 0.0, 0
    try:
        held = await history.status()
        now = float(held["newest"]) + DAY
        age = int((now - float(held["oldest"])) // DAY)
        history.settings = msgspec.structs.replace(
            settings, flow_days=age - 1, hour_days=age - 1, event_days=age - 1
        )
        before = time.perf_counter()
        work = asyncio.create_task(history.retain(now))
        while not work.done():
            history.add_flows(make(100, flushes), now)
            begun = time.perf_counter()
            await history.flush(now)
            longest, flushes = max(longest, time.perf_counter() - begun), flushes + 1
            await asyncio.sleep(0.05)
        await work
        seconds = time.perf_counter() - before
        removed = dict(history.removed)
    finally:
        await history.close(now)
    return {"seconds": seconds, "flushes_meanwhile": flushes, "longest_flush_seconds": longest,
            "removed": removed}  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--flows", type=int, default=2_000, help="flows a second")
    parser.add_argument("--store", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "state"
        if asked.store:
            shutil.copytree(asked.store / "state", folder)
            answer = {"retention": asyncio.run(day(folder, "bench"))}
        else:
            answer = {"hour": asyncio.run(hour(folder, asked.seconds, asked.flows))}
    if asked.json:
        print(json.dumps(answer))
        return
    for part, figures in answer.items():
        print(part)
        for what, value in figures.items():
            print(
                f"  {what:<22} {value:.3f}" if isinstance(value, float) else f"  {what:<22} {value}"
            )


if __name__ == "__main__":
    main()
