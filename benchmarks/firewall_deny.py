"""One more deny on top of many: until the last packet of the denied gets through.

  finding      a finding goes through the pipeline (incident on disk) until the kernel drops
  entry        the same until the entry is on disk too and the kernel holds it as that
  entry+apply  lists' store (synced) and the kernel's delta alone, without incident
  cli          `ipwatchctl deny add` and `status` against a running daemon, start included (--cli)
  ipset, nft   `ipset add` and `nft add element`, on a set that holds the same mass
  fail2ban     `fail2ban-client set JAIL banip` with its nftables action until the kernel has it

All in a namespace, with real files. Median and p99 in milliseconds; the peers' times hold the start
of their program, as they are used. crowdsec-firewall-bouncer asks its server each 10 s (its
default, update_frequency): 5 s in the median whatever the kernel does, so it is not run here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from firewall_load import as_prefixes, mixed, plain_script, run

from ipwatchd.config import Config, FirewallSettings
from ipwatchd.config.settings import IncidentSettings
from ipwatchd.enforcement import Enforcement
from ipwatchd.firewall import Firewall
from ipwatchd.lab.netns import Namespace
from ipwatchd.lists.block import Block
from ipwatchd.lists.formats import Item
from ipwatchd.pipeline import Pipeline
from ipwatchd.records.finding import Finding
from ipwatchd.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np


WAYS = ("finding", "entry", "entry+apply")


def spread(found: list[float]) -> dict[str, float]:
    """Return median and p99 in milliseconds."""
    ordered = sorted(found)
    return {
        "median_ms": statistics.median(ordered) * 1e3,
        "p99_ms": ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)] * 1e3,
    }


class Timed:
    """Enforcement as the pipeline sees it; remembers when the kernel held a deny."""

    def __init__(self, enforcement: Enforcement) -> None:
        self._enforcement = enforcement
        self.held = 0.0

    def hasten(self, address: str, now: float) -> None:
        """Deny in the kernel."""
        self._enforcement.hasten(address, now)
        self.held = time.perf_counter()

    def recall(self, addresses: Iterable[str], now: float) -> None:
        """Take back."""
        self._enforcement.recall(addresses, now)


def finding(address: str, now: float) -> Finding:
    """Return what a detector says of an address."""
    return Finding(
        rule="port-scan", subject=address, key=f"port-scan|{address}", title="Port scan",
        first_seen=now, last_seen=now, count=1, severity="medium", classification="scanner",
        score=1.0, value=1.0, threshold=1.0,
    )  # fmt: skip


async def ours(folder: Path, texts: list[tuple[str, bool]], turns: int) -> dict[str, Any]:
    """Measure the daemon's way, and how long the store took to take the mass."""
    now = time.time()
    settings = FirewallSettings(mode="enforce", kill_connections=False)
    config = Config(
        firewall=settings,
        incidents=IncidentSettings(auto_deny=("port-scan",), denies_per_minute=10_000),
    )
    stores = await Stores.open(config, folder)
    firewall = Firewall(settings)
    try:
        start = time.perf_counter()
        block = Block.gather((Item(0, text) for text, _ in texts), "listed", now)
        await stores.lists.replace_feed("feed:benchmark", "deny", block, now=now)
        taken = time.perf_counter() - start
        firewall.open()
        enforcement = Enforcement(settings, stores.lists, firewall, folder)
        await enforcement.sync(now)
        found = await _turns(stores, enforcement, turns)
        assert firewall.status().rebuilds == 1
    finally:
        firewall.close()
        await stores.close(time.time())
    return {name: spread(times) for name, times in found.items()} | {"store_seconds": taken}


async def _turns(stores: Stores, enforcement: Enforcement, turns: int) -> dict[str, list[float]]:
    pipeline = Pipeline(stores)
    timed = Timed(enforcement)
    pipeline.enforcement = cast("Enforcement", timed)
    found: dict[str, list[float]] = {"finding": [], "entry": [], "entry+apply": []}
    for turn in range(turns):
        now = time.time()
        start = time.perf_counter()
        outcome = await pipeline.settle([finding(f"45.9.{turn >> 8}.{turn & 255}", now)], now)
        await enforcement.sync(now)
        assert outcome.denied, "the response denied nobody"
        found["finding"].append(timed.held - start)
        found["entry"].append(time.perf_counter() - start)
        start = time.perf_counter()
        await stores.lists.add(
            "deny", f"45.10.{turn >> 8}.{turn & 255}", reason="x", author="m", now=now,
            expires=now + 3600,
        )  # fmt: skip
        await enforcement.sync(now)
        found["entry+apply"].append(time.perf_counter() - start)
    return found


def spent(command: list[str]) -> tuple[float, float]:
    """Run a program; return its seconds, start and end included, and its seconds of processor."""
    start = time.perf_counter()
    with Path(os.devnull).open("wb") as nowhere:
        child = os.posix_spawnp(
            command[0], command, os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)],
        )  # fmt: skip
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{command} failed: {status}")
    return seconds, usage.ru_utime + usage.ru_stime


def by_cli(
    where: Namespace, folder: Path, texts: list[tuple[str, bool]], turns: int
) -> dict[str, dict[str, float]]:
    """Measure `ipwatchctl` against a daemon that holds the mass as a feed."""
    feed = folder / "feed.txt"
    feed.write_text("".join(f"{text}\n" for text, _ in texts))
    control = folder / "control.sock"
    config = folder / "ipwatchd.toml"
    config.write_text(
        f'[site]\nname = "bench"\nstate_dir = "{folder}/state"\n[control]\nsocket = "{control}"\n'
        '[capture]\nsource = "none"\n[firewall]\nmode = "enforce"\n'
        f'[feeds.mass]\nfile = "{feed}"\nown = "skip"\n'
    )
    daemon = where.popen(
        [sys.executable, "-m", "ipwatchd.cli.ipwatchd", "run", "--config", str(config)],
        stderr=subprocess.DEVNULL,
    )
    ctl = [str(Path(sys.executable).with_name("ipwatchctl")), "--socket", str(control)]
    try:
        end = time.monotonic() + 300
        while time.monotonic() < end:
            done = subprocess.run(
                [*ctl, "--json", "firewall", "status"], capture_output=True, text=True, check=False
            )
            if done.returncode == 0 and json.loads(done.stdout)["deny"] > len(texts) // 2:
                break
            time.sleep(0.5)
        found: dict[str, list[tuple[float, float]]] = {"cli": [], "cli status": []}
        for turn in range(turns):
            words = ["deny", "add", f"45.11.0.{turn}", "--for", "1h", "--reason", "x"]
            found["cli"].append(spent([*ctl, *words]))
            found["cli status"].append(spent([*ctl, "status"]))
        return {
            name: spread([seconds for seconds, _ in times])
            | {"cpu_ms": statistics.median(cpu for _, cpu in times) * 1e3}
            for name, times in found.items()
        }
    finally:
        daemon.terminate()
        daemon.wait(30)


def by_fail2ban(folder: Path, turns: int) -> list[float]:
    """Measure `banip` until the kernel has it; [] where its server does not come up."""
    base = Path("/etc/fail2ban")
    shutil.copytree(base, folder / "f2b")
    for left in (folder / "f2b" / "jail.d").iterdir():
        left.unlink()
    log = folder / "auth.log"
    log.touch()
    jail = folder / "f2b" / "jail.local"
    jail.write_text(
        f"[bench]\nenabled = true\nbackend = polling\nlogpath = {log}\nfilter = sshd\n"
        "banaction = nftables[type=allports]\nbantime = 3600\n"
    )
    (folder / "f2b" / "fail2ban.local").write_text(
        f"[Definition]\ndbfile = None\nlogtarget = {folder}/f2b.log\n"
    )
    client = [
        "fail2ban-client", "-c", str(folder / "f2b"), "-s", str(folder / "f2b.sock"),
        "-p", str(folder / "f2b.pid"),
    ]  # fmt: skip
    if subprocess.run([*client, "start"], capture_output=True, check=False).returncode:
        return []
    try:
        times = []
        for turn in range(turns):
            address = f"45.12.0.{turn + 1}"
            start = time.perf_counter()
            subprocess.run(
                [*client, "set", "bench", "banip", address], capture_output=True, check=True
            )
            while (
                address
                not in subprocess.run(
                    ["nft", "list", "ruleset"], capture_output=True, text=True, check=True
                ).stdout
            ):
                if time.perf_counter() - start > 10:
                    return times
                time.sleep(0.005)
            times.append(time.perf_counter() - start)
        return times
    finally:
        subprocess.run([*client, "stop"], capture_output=True, check=False)


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
    parser.add_argument("--cli", action="store_true", help="measure ipwatchctl as well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for count in options.entries:
        rows = mixed(count)
        with tempfile.TemporaryDirectory() as folder, Namespace("deny") as where, where.inside():
            row = {"entries": count}
            state = Path(folder, "ours")
            row |= asyncio.run(ours(state, as_prefixes(rows), options.turns))
            if options.cli:
                where_cli = Namespace("deny-cli")
                row |= by_cli(where_cli, Path(folder), as_prefixes(rows), 30)
                where_cli.close()
            if not options.no_peers and shutil.which("fail2ban-client"):
                run(["nft", "flush", "ruleset"])
                if times := by_fail2ban(Path(folder), 15):
                    row["fail2ban"] = spread(times)
            if not options.no_peers:
                row |= peers(rows, Path(folder), min(options.turns, 30))
        results.append(row)
    if options.json:
        print(json.dumps({"benchmark": "firewall_deny", "results": results}))
        return
    for row in results:
        print(f"{row['entries']:,} entries (the store took them in {row['store_seconds']:.1f} s)")
        for name in (*WAYS, "cli", "cli status", "ipset", "nft", "fail2ban"):
            if name in row:
                one = row[name]
                cpu = f", {one['cpu_ms']:.0f} ms of processor" if "cpu_ms" in one else ""
                print(f"  {name:<12} {one['median_ms']:9.2f} ms, p99 {one['p99_ms']:9.2f}{cpu}")


if __name__ == "__main__":
    main()
