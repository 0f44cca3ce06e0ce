"""docs/fleet-history.md in PySpark, in local mode, over the archives of three sites."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from ipwatchd.history import History
from tests.history.made import SMALL, T0, ZONES, flow, locate
from tests.history.test_fleet import record

ROOT = Path(__file__).resolve().parents[2]
DAY = 86_400.0


async def old_site(folder: Path) -> None:
    """Record a site whose segments were merged: indexes lie beside them."""
    history = await History.open(folder / "davao", "davao", SMALL, locate=locate, zones=ZONES)
    for hour in range(4):
        at = T0 + hour * 3600
        history.add_flows(flow("203.0.113.9", "10.22.0.5", start=at, direction="incoming",
                               zones=(2, 0)), at)  # fmt: skip
        history.add_flows(flow("10.22.0.5", "198.51.100.4", start=at), at)
        await history.flush(at)
        await history.flush(at + 100)
    await history.retain(T0 + 2 * DAY)
    await history.close(T0 + 2 * DAY)


@pytest.mark.soak
async def test_spark_gives_what_duckdb_gives(tmp_path: Path) -> None:
    """Five questions, the same rows from both engines; hidden files are no matter."""
    lake = tmp_path / "lake"
    lake.mkdir()
    for site, inside in (("manila", "10.20.0.5"), ("cebu", "10.21.0.5")):
        await record(tmp_path, site, inside)
    await old_site(tmp_path)
    for site in ("manila", "cebu", "davao"):
        (tmp_path / site / "archive" / f"site={site}").rename(lake / f"site={site}")
    assert list(lake.rglob(".*.idx"))
    made = await asyncio.to_thread(
        subprocess.run, ["tools/spark"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    done = await asyncio.to_thread(
        subprocess.run,
        [made.stdout.strip(), "benchmarks/history_fleet_spark.py", str(lake)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 5
    assert all(line.endswith("the same") for line in said), said
    assert not any(": 0 rows" in line for line in said), said
