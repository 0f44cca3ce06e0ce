"""History's ingest: flows a second of CPU into both stores, and bytes a flow on disk.

Flows of a site of 1,000 agents are made from a fixed seed; beside ours stands the same flows in
one plain SQLite table with an index on each address.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipwatchd.config import HistorySettings
from ipwatchd.history import History
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.flow import STATES, Direction, empty_flows
from ipwatchd.records.place import Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

T0 = 1_780_000_000
ZONES = ("agents", "internet")


def make(rows: int, second: int) -> NDArray[np.void]:
    """Return the flows of one second: agents to popular hosts, one in five coming in."""
    dice = np.random.default_rng(second)
    flows = empty_flows(rows)
    inside = np.uint64(V4_PREFIX | 10 << 24) + dice.integers(0, 1000, rows, np.uint64)
    hosts = dice.zipf(1.3, rows) % 20_000
    outside = np.uint64(V4_PREFIX | 8 << 24) + hosts.astype(np.uint64)
    comes_in = dice.random(rows) < 0.2
    server = np.uint64(V4_PREFIX | 10 << 24) + dice.integers(0, 20, rows, np.uint64)
    flows["orig_lo"] = np.where(comes_in, outside, inside)
    flows["resp_lo"] = np.where(comes_in, server, outside)
    flows["orig_zone"], flows["resp_zone"] = comes_in, ~comes_in
    flows["direction"] = np.where(comes_in, Direction.INCOMING, Direction.OUTGOING)
    flows["start"] = (T0 + second) * 10**9 + dice.integers(0, 10**9, rows)
    flows["end"] = flows["start"] + dice.exponential(5e9, rows).astype(np.int64)
    flows["orig_port"] = dice.integers(32_768, 61_000, rows)
    flows["resp_port"] = dice.choice([443, 53, 80, 5060, 22], rows, p=[0.6, 0.25, 0.1, 0.03, 0.02])
    flows["proto"] = np.where(flows["resp_port"] == 53, 17, 6)
    flows["service"] = dice.choice([1, 2, 3, 4], rows)
    flows["state"] = dice.choice([STATES.index("SF"), STATES.index("S0")], rows, p=[0.9, 0.1])
    flows["orig_packets"] = dice.geometric(0.1, rows)
    flows["resp_packets"] = dice.geometric(0.08, rows)
    flows["orig_bytes"] = flows["orig_packets"] * dice.integers(40, 400, rows, np.uint64)
    flows["resp_bytes"] = flows["resp_packets"] * dice.integers(60, 1400, rows, np.uint64)
    return flows


def locate(address: str) -> Place:
    """Place an address without a database: the look-up itself is not measured here."""
    return Place(zone="internet", country="DE", asn=3320) if address[:2] == "8." else Place()


def sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes of the archive and of the database."""
    archive = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    return archive, (folder / "history.db").stat().st_size


async def ours(folder: Path, batches: list[NDArray[np.void]]) -> dict[str, float]:
    """Take every batch into our stores, a flush each, and close."""
    settings = HistorySettings(segment_rows=500_000, segment_seconds=3600.0)
    history = await History.open(folder, "bench", settings, locate=locate, zones=ZONES)
    seconds = []
    for second, batch in enumerate(batches):
        before = time.process_time()
        history.add_flows(batch, T0 + second)
        await history.flush(T0 + second)
        seconds.append(time.process_time() - before)
    before = time.process_time()
    await history.close(T0 + len(batches))
    closing = time.process_time() - before
    rows = sum(map(len, batches))
    archive, database = sizes(folder)
    return {
        "flows_per_cpu_second": rows / (sum(seconds) + closing),
        "flush_median_seconds": statistics.median(seconds),
        "archive_bytes_per_flow": archive / rows,
        "database_bytes_per_flow": database / rows,
    }


def plain(folder: Path, batches: list[NDArray[np.void]]) -> dict[str, float]:
    """Put the same flows into one SQLite table with two indexes."""
    path = folder / "plain.db"
    db = sqlite3.connect(path)
    names = [name for name in batches[0].dtype.names or () if name != "partial"]
    db.execute(f"CREATE TABLE flow ({', '.join(names)})")
    db.execute("CREATE INDEX orig ON flow (orig_lo, start)")
    db.execute("CREATE INDEX resp ON flow (resp_lo, start)")
    before = time.process_time()
    for batch in batches:
        rows = zip(*(batch[name].tolist() for name in names), strict=True)
        marks = ", ".join("?" * len(names))
        db.executemany(f"INSERT INTO flow VALUES ({marks})", rows)  # noqa: S608 - our own columns
        db.commit()
    rate = sum(map(len, batches)) / (time.process_time() - before)
    db.close()
    size = path.stat().st_size / sum(map(len, batches))
    return {"flows_per_cpu_second": rate, "bytes_per_flow": size}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flows", type=int, default=100_000, help="flows a flush")
    parser.add_argument("--flushes", type=int, default=5)
    asked = parser.parse_args()
    batches = [make(asked.flows, second) for second in range(asked.flushes)]
    with tempfile.TemporaryDirectory() as folder:
        mine = asyncio.run(ours(Path(folder), batches))
        peer = plain(Path(folder), batches)
    answer: dict[str, Any] = {
        "flows": asked.flows * asked.flushes,
        "ipwatchd": mine,
        "sqlite_two_indexes": peer,
        "archive_to_sqlite_bytes": mine["archive_bytes_per_flow"] / peer["bytes_per_flow"],
    }
    if asked.json:
        print(json.dumps(answer))
        return
    print(f"{answer['flows']} flows, {asked.flows} a flush")
    print(
        f"  both stores          {mine['flows_per_cpu_second']:>10,.0f} flows/s of CPU, "
        f"flush {mine['flush_median_seconds']:.2f} s in the median"
    )
    print(f"  plain SQLite, 2 idx  {peer['flows_per_cpu_second']:>10,.0f} flows/s of CPU")
    print(f"  archive {mine['archive_bytes_per_flow']:.1f} B a flow, roll-ups "
          f"{mine['database_bytes_per_flow']:.1f}, plain SQLite {peer['bytes_per_flow']:.1f} "
          f"(archive is {answer['archive_to_sqlite_bytes']:.2f} of it)")  # fmt: skip


if __name__ == "__main__":
    main()
