"""One more deny on top of many: from a finding inside the daemon until the kernel holds it.

In a namespace, with real files: an entry goes into the lists' store (synced to disk) and down to
the kernel as a delta, which is what the daemon does for a finding; the walk through the kernel's
table of connections, which comes after, is told apart. Beside it `nft add element` (interval set)
and `ipset add` (hash:net). Median and p99 in milliseconds. The peers' times hold the start of their
program, as they are used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firewall_load import as_prefixes, mixed, plain_script, run

from ipwatchd.config import FirewallSettings
from ipwatchd.firewall import Firewall
from ipwatchd.lab.netns import Namespace
from ipwatchd.lists import Lists
from ipwatchd.lists.block import Block
from ipwatchd.lists.formats import Item

if TYPE_CHECKING:
    import numpy as np


def spread(found: list[float]) -> dict[str, float]:
    """Return median and p99 in milliseconds."""
    ordered = sorted(found)
    return {
        "median_ms": statistics.median(ordered) * 1e3,
        "p99_ms": ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)] * 1e3,
    }


async def ours(folder: Path, texts: list[tuple[str, bool]], turns: int) -> dict[str, Any]:
    """Measure the way through store and kernel, and how long the store took to take the mass."""
    now = time.time()
    lists = await Lists.open(folder)
    start = time.perf_counter()
    items = (Item(0, text) for text, _ in texts)
    block = Block.gather(items, "listed", now)
    await lists.replace_feed("feed:benchmark", "deny", block, now=now)
    taken = time.perf_counter() - start
    found: list[float] = []
    kernel: list[float] = []
    ending: list[float] = []
    with Firewall(FirewallSettings(mode="enforce")) as firewall:
        firewall.put(lists.policy("enforce", (), now=now), now)
        for turn in range(turns):
            start = time.perf_counter()
            await lists.add(
                "deny", f"192.168.{turn >> 8}.{turn & 255}", reason="port scan", author="ipwatchd",
                source="response:port-scan", now=now, expires=now + 3600,
            )  # fmt: skip
            stored = time.perf_counter()
            _, victims = firewall.put(lists.policy("enforce", (), now=now), now)
            found.append(time.perf_counter() - start)
            kernel.append(time.perf_counter() - stored)
            there = time.perf_counter()
            firewall.kill(victims)
            ending.append(time.perf_counter() - there)
        assert firewall.status().rebuilds == 1
    await lists.close()
    return {
        "ours": spread(found), "ours kernel": spread(kernel), "connections": spread(ending),
        "store_seconds": taken,
    }  # fmt: skip


def peers(rows: np.ndarray[Any, np.dtype[np.void]], folder: Path, turns: int) -> dict[str, Any]:
    """Measure `ipset add` and `nft add element` on the same mass."""
    result: dict[str, Any] = {}
    if shutil.which("ipset"):
        script = folder / "ipset"
        script.write_text(
            f"create deny hash:net hashsize {len(rows)} maxelem {2 * len(rows)}\n"
            + "".join(f"add deny {text}\n" for text, _ in as_prefixes(rows))
        )
        run(["ipset", "restore", "-file", str(script)])
        times = [run(["ipset", "add", "deny", f"192.168.0.{turn}"])[0] for turn in range(turns)]
        run(["ipset", "destroy", "deny"])
        result["ipset"] = spread(times)
    plain = folder / "plain.nft"
    plain.write_text(plain_script(rows))
    run(["nft", "-f", str(plain)])
    few = 3 if len(rows) > 10_000 else turns
    element = ["nft", "add", "element", "inet", "plain", "deny"]
    times = [run([*element, f"{{ 192.168.{turn}.1 }}"])[0] for turn in range(few)]
    run(["nft", "flush", "ruleset"])
    result["nft"] = spread(times)
    return result


def main() -> None:
    """Print medians and p99, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for count in options.entries:
        rows = mixed(count)
        with tempfile.TemporaryDirectory() as folder, Namespace("deny") as where, where.inside():
            row = {"entries": count}
            row |= asyncio.run(ours(Path(folder), as_prefixes(rows), options.turns))
            if not options.no_peers:
                row |= peers(rows, Path(folder), min(options.turns, 30))
        results.append(row)
    if options.json:
        print(json.dumps({"benchmark": "firewall_deny", "results": results}))
        return
    for row in results:
        print(f"{row['entries']:,} entries (the store took them in {row['store_seconds']:.1f} s)")
        for name in ("ours", "ours kernel", "connections", "ipset", "nft"):
            if name in row:
                one = row[name]
                print(f"  {name:<12} {one['median_ms']:9.2f} ms, p99 {one['p99_ms']:9.2f}")


if __name__ == "__main__":
    main()
