"""A feed from its file into the store: seconds, memory, what a change writes, and the loop's worst wait.

    python benchmarks/lists_feed.py [--json] [--sizes 10000,100000]

Four fifths single addresses, the rest /24, as plain text. "Changed" is the same feed with one entry
in a hundred replaced. Seconds of the wall and of CPU; no network, no kernel rules.
"""  # noqa: E501 - one line says it

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from ipwatchd.config.settings import FeedSettings
from ipwatchd.lists import FeedKeeper, Lists


def networks(many: int, seed: int) -> list[str]:
    """Return so many distinct networks of nobody in particular."""
    chosen, found = random.Random(seed), dict[str, None]()
    while len(found) < many:
        number = chosen.randrange(0x0B000000, 0x7F000000)
        quad = f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}"
        found[f"{quad}.{number & 255}" if chosen.random() < 0.8 else f"{quad}.0/24"] = None
    return [*found]


def resident() -> float:
    """Return megabytes in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


async def _watch(worst: list[float]) -> None:
    """Note the longest that a timer of 2 ms was late."""
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.002)
        worst[0] = max(worst[0], time.perf_counter() - start - 0.002)


async def _body_bytes(lists: Lists) -> int:
    async with lists._db.execute("SELECT length(body) FROM blocks ORDER BY seq DESC") as cursor:  # noqa: SLF001 - what no user needs
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def measure(many: int, folder: Path) -> dict[str, Any]:
    """Load a feed, change it, add one deny, open the store again."""
    file = folder / "feed.txt"
    names = networks(many, 1)
    file.write_text("\n".join(names) + "\n", encoding="ascii")
    settings = FeedSettings(file=str(file), max_entries=2_000_000, own="skip", every=1.0)
    lists, worst = await Lists.open(folder), [0.0]
    keeper = FeedKeeper({"x": settings}, lists, folder)
    watcher = asyncio.ensure_future(_watch(worst))
    before, wall, cpu = resident(), time.perf_counter(), time.process_time()
    await keeper.step(1000.0)
    row: dict[str, Any] = {
        "entries": lists.size("feed:x"), "load_seconds": time.perf_counter() - wall,
        "load_cpu_seconds": time.process_time() - cpu, "memory_mb": resident() - before,
        "written_bytes": await _body_bytes(lists),
    }  # fmt: skip
    names[::100] = networks(len(names[::100]), 2)
    file.write_text("\n".join(names) + "\n", encoding="ascii")
    wall = time.perf_counter()
    await keeper.step(2000.0)
    row |= {
        "change_seconds": time.perf_counter() - wall,
        "change_written_bytes": await _body_bytes(lists),
    }
    wall = time.perf_counter()
    await lists.add("deny", "203.0.113.7", reason="x", author="b", now=2001.0)
    row |= {"add_ms": (time.perf_counter() - wall) * 1e3, "worst_wait_ms": worst[0] * 1e3}
    watcher.cancel()
    await lists.close()
    wall = time.perf_counter()
    again = await Lists.open(folder)
    row["open_seconds"] = time.perf_counter() - wall
    await again.close()
    return row


def main() -> int:
    """Measure each size and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sizes", default="10000,100000")
    options = parser.parse_args()
    rows = []
    for size in map(int, options.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(asyncio.run(measure(size, Path(folder))))
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row.pop('entries'):,} entries")
        for name, value in row.items():
            print(f"  {name:<22} {value:,.2f}" if value < 1e4 else f"  {name:<22} {value:,.0f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
