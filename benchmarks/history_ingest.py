"""History's ingest: flows a second of CPU into both stores, and bytes a flow on disk.

Flows of a site of 1,000 agents are made from a fixed seed; the same flows go into one SQLite table
with an index on each address, a gzip conn.log and nfcapd.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from history_peers import gzip_logs, nfcapd, plain

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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--flows", type=int, default=300_000, help="flows a flush")
    parser.add_argument("--flushes", type=int, default=5)
    parser.add_argument("--peers", type=int, default=500_000, help="flows that peers get, at most")
    asked = parser.parse_args()
    batches = [make(asked.flows, second) for second in range(asked.flushes)]
    some = batches[: max(1, asked.peers // asked.flows)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mine = asyncio.run(ours(folder, batches))
        peers = {
            "sqlite_two_indexes": plain(folder / "plain.db", some),
            "gzip_conn_log": gzip_logs(folder / "conn.log.gz", some),
            "nfdump": nfcapd(folder / "nfcapd", some, T0),
        }
    archive = mine["archive_bytes_per_flow"]
    sizes = peers["nfdump"]["bytes_per_flow"]
    answer: dict[str, Any] = {
        "flows": asked.flows * asked.flushes,
        "ipwatchd": mine,
        **peers,
        "archive_to_sqlite_bytes": archive / peers["sqlite_two_indexes"]["bytes_per_flow"],
        "archive_to_nfdump_zstd_bytes": archive / sizes["zstd"],
    }
    if asked.json:
        print(json.dumps(answer))
        return
    print(f"{answer['flows']} flows, {asked.flows} a flush; peers {sum(map(len, some))}")
    print(
        f"  both stores          {mine['flows_per_cpu_second']:>10,.0f} flows/s of CPU, "
        f"archive {archive:.1f} B a flow, roll-ups {mine['database_bytes_per_flow']:.1f}"
    )
    for peer in ("sqlite_two_indexes", "gzip_conn_log"):
        one = peers[peer]
        print(f"  {peer:<20} {one['flows_per_cpu_second']:>10,.0f} flows/s of CPU, "
              f"{one['bytes_per_flow']:.1f} B a flow")  # fmt: skip
    forms = ", ".join(
        f"{name} {sizes[name]:.1f}" for name in ("uncompressed", "lz4", "bz2", "zstd")
    )
    print(f"  nfdump ({sizes['stored']:.1%} arrived)  B a flow: {forms}")
    print(f"  archive is {answer['archive_to_sqlite_bytes']:.2f} of plain SQLite, "
          f"{answer['archive_to_nfdump_zstd_bytes']:.2f} of nfdump's through zstd")  # fmt: skip


if __name__ == "__main__":
    main()
