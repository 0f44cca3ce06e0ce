"""How long a deny list takes into the kernel: ours over netlink beside `nft -f`, same lists.

Mixed prefixes, four fifths single IPv4 addresses, half of them with a timeout, in a network
namespace of its own (needs root, or unshare -Urn for small lists). Four ways, medians of --turns:

  ours        Firewall.apply of a whole policy: table, rules, sets, elements, read back
  nft layout  `nft -f` of what ours lists as (hash sets and interval sets)
  nft plain   `nft -f` of one interval set, as an administrator would write it
  ipset       `ipset restore` of one hash:net with timeouts, where ipset is installed

then one more deny on top (apply of the changed policy, and `nft add element`), and the list
replaced by one that differs in 1 % (apply, which sends the difference). Memory is the most that a
process of its own held (ru_maxrss), its list read from a file as the others do; for ours also what
the load added to an interpreter that has loaded a list of one entry (the daemon is there anyhow).
Whoever listens to nf_tables on this machine, in any namespace (`nft monitor`, a daemon of ours),
makes every load several times slower: that is said.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipwatchd.config import FirewallSettings
from ipwatchd.firewall import CommitWatch, Firewall
from ipwatchd.lab.netns import Namespace
from ipwatchd.records.address import V4_PREFIX, address_text
from ipwatchd.records.policy import RANGE, Policy, empty_ranges

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NOW = 1_000_000.0
LENGTHS = (24, 28, 29, 30)
SPAWN = """
import os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
if status:
    raise SystemExit(f"{sys.argv[1:]} failed: {status}")
print([seconds, usage.ru_maxrss / 1024])
"""


def mixed(count: int, seed: int = 11) -> NDArray[np.void]:
    """Return disjoint ranges: four fifths /32, the rest /24 to /30, half of all with an end."""
    rng = np.random.default_rng(seed)
    blocks = np.sort(rng.choice(1 << 23, count, replace=False)).astype(np.uint64)
    blocks += np.uint64(1 << 16)
    wide = rng.random(count) < 0.2
    size = np.where(wide, 1 << (32 - rng.choice(LENGTHS, count)), 1).astype(np.uint64)
    offset = np.where(wide, 0, rng.integers(0, 256, count)).astype(np.uint64)
    rows = np.zeros(count, RANGE)
    rows["first_lo"] = (blocks * np.uint64(256) + offset) | np.uint64(V4_PREFIX)
    rows["last_lo"] = rows["first_lo"] + size - np.uint64(1)
    rows["expires"] = np.where(rng.random(count) < 0.5, int((NOW + 86400) * 1e9), 0)
    return rows


def policy(rows: NDArray[np.void], live: NDArray[np.void] | None = None) -> Policy:
    """Return the policy that denies these as a feed, and `live` as single denies."""
    nothing = empty_ranges()
    return Policy("enforce", nothing, nothing, nothing if live is None else live, bulk_deny=rows)


def as_prefixes(rows: NDArray[np.void]) -> list[tuple[str, bool]]:
    """Return rows as (prefix, whether it ends)."""
    return [
        (f"{address_text(0, first)}/{33 - (last - first + 1).bit_length()}", bool(expires))
        for first, last, expires in zip(
            rows["first_lo"].tolist(), rows["last_lo"].tolist(), rows["expires"].tolist(),
            strict=True,
        )
    ]  # fmt: skip


def plain_script(rows: NDArray[np.void]) -> str:
    """Return the list as one interval set in nft's language."""
    listed = ",\n".join(text + (" timeout 1d" if ends else "") for text, ends in as_prefixes(rows))
    return (
        "table inet plain {\n set deny { type ipv4_addr; flags interval,timeout; elements = {\n"
        f"{listed}\n}} ; }}\n chain in {{\n type filter hook prerouting priority mangle;\n"
        " ip saddr @deny drop\n }\n}\n"
    )


def ipset_script(rows: NDArray[np.void]) -> str:
    """Return the list in ipset's language."""
    listed = "".join(
        f"add deny {text} timeout {86400 if ends else 0}\n" for text, ends in as_prefixes(rows)
    )
    return f"create deny hash:net maxelem {2 * len(rows)} timeout 0\n{listed}"


def with_ipset(script: Path) -> tuple[float, float]:
    """Load by ipset; what was loaded goes again."""
    done = run(["ipset", "restore", "-file", str(script)])
    run(["ipset", "destroy", "deny"])
    return done


def _peers(result: dict[str, Any]) -> list[str]:
    return [name for name in ("nft layout", "nft plain", "ipset") if name in result]


def run(command: list[str]) -> tuple[float, float]:
    """Run a command; return seconds and the most memory it held in MB.

    Started by a small interpreter: ru_maxrss counts what a process held before its exec, too.
    """
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", SPAWN, *command], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    seconds, memory = json.loads(done.stdout)
    return seconds, memory


def turns(count: int, do: Callable[[], tuple[float, float]]) -> dict[str, float]:
    """Return the median seconds and memory of some turns."""
    found = [do() for _ in range(count)]
    return {
        "seconds": statistics.median(one[0] for one in found),
        "memory_mb": max(one[1] for one in found),
    }


def ours(namespace: Namespace, rows: NDArray[np.void]) -> tuple[float, float]:
    """Load by our own code, in this process: memory is measured by `child`."""
    with namespace.inside(), Firewall(FirewallSettings(kill_connections=False)) as firewall:
        firewall.remove()
        start = time.perf_counter()
        done = firewall.apply(policy(rows), NOW)
        seconds = time.perf_counter() - start
        assert done.rebuilt
        assert done.added == len(rows)
    return seconds, 0.0


def heard(namespace: Namespace, rows: NDArray[np.void]) -> dict[str, float]:
    """Return seconds with a listener of ours, then with it gone meanwhile, as the daemon's is."""
    with namespace.inside(), CommitWatch() as watch:
        listening = ours(namespace, rows)[0]
        watch.pause()
        return {"listening": listening, "paused": ours(namespace, rows)[0]}


def one_more(namespace: Namespace, rows: NDArray[np.void], count: int) -> float:
    """Return the median seconds of an apply that adds one address."""
    found = []
    with namespace.inside(), Firewall(FirewallSettings(kill_connections=False)) as firewall:
        firewall.apply(policy(rows), NOW)
        more = rows
        for turn in range(count):
            extra = np.zeros(1, RANGE)
            extra["first_lo"] = extra["last_lo"] = V4_PREFIX | (turn + 1) << 8
            more = np.concatenate([extra, more]) if turn == 0 else _with(more, extra)
            start = time.perf_counter()
            done = firewall.apply(policy(more), NOW)
            found.append(time.perf_counter() - start)
            assert (done.added, done.rebuilt, done.messages) == (1, False, 1)
    return statistics.median(found)


def _with(rows: NDArray[np.void], extra: NDArray[np.void]) -> NDArray[np.void]:
    return np.sort(np.concatenate([rows, extra]), order="first_lo")


def replaced(namespace: Namespace, rows: NDArray[np.void]) -> dict[str, float]:
    """Replace the list by one in which 1 % are others; return seconds and what went down."""
    gone = np.delete(rows, np.s_[::100])
    more = rows[::100].copy()
    more["first_lo"] ^= np.uint64(1 << 31)
    more["last_lo"] ^= np.uint64(1 << 31)
    other = np.sort(np.concatenate([gone, more]), order="first_lo")
    with namespace.inside(), Firewall(FirewallSettings(kill_connections=False)) as firewall:
        firewall.apply(policy(rows), NOW)
        start = time.perf_counter()
        done = firewall.apply(policy(other), NOW)
        seconds = time.perf_counter() - start
        assert not done.rebuilt
    return {
        "seconds": seconds, "added": done.added, "removed": done.removed, "bytes": done.bytes,
        "messages": done.messages,
    }  # fmt: skip


def listeners() -> int:
    """Return how many sockets on this machine hear of every nf_tables element (group 7)."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/net/netlink"):
        try:
            lines = path.read_text().splitlines()[1:]
        except OSError:
            continue
        rows = (line.split() for line in lines)
        found |= {row[9] for row in rows if row[1] == "12" and int(row[3], 16) & 0x40}
    return len(found)


def child(path: str) -> None:
    """Load a file of rows in a process of its own; print what that held beyond an idle one, MB."""
    with Firewall(FirewallSettings(kill_connections=False)) as firewall:
        firewall.apply(policy(mixed(1)), NOW)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        firewall.apply(policy(np.load(path)), NOW)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([(after - before) / 1024, after / 1024]))


def measure(count: int, turn_count: int, folder: Path) -> dict[str, Any]:
    """Measure one size."""
    rows = mixed(count)
    with Namespace("bench") as namespace, namespace.inside():
        result: dict[str, Any] = {"entries": count}
        result["ours"] = turns(turn_count, lambda: ours(namespace, rows))
        listed = folder / "layout.nft"
        with listed.open("w") as file:
            subprocess.run(["nft", "list", "ruleset"], stdout=file, check=True)
        kept = folder / "rows.npy"
        np.save(kept, rows)
        held = subprocess.run(
            [sys.executable, __file__, "--child", str(kept)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        result["ours"]["added_mb"], result["ours"]["memory_mb"] = json.loads(held.stdout)
        plain = folder / "plain.nft"
        plain.write_text(plain_script(rows))
        if shutil.which("ipset"):
            restore = folder / "ipset"
            restore.write_text(ipset_script(rows))
            result["ipset"] = turns(turn_count, lambda: with_ipset(restore))
        for name, script in (("nft layout", listed), ("nft plain", plain)):

            def load(script: Path = script) -> tuple[float, float]:
                subprocess.run(["nft", "flush", "ruleset"], check=True)
                return run(["nft", "-f", str(script)])

            result[name] = turns(turn_count, load)
        element = ["nft", "add", "element", "inet", "plain", "deny"]
        more = [run([*element, f"{{ 192.168.{turn}.1 }}"])[0] for turn in range(3)]
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        mine = one_more(namespace, rows, 9)
        result["replaced"] = replaced(namespace, rows)
        result["listeners"] = listeners()
        result["watch"] = heard(namespace, rows)
        result["one more"] = {"ours": mine, "nft": statistics.median(more)}
    for name in _peers(result):
        result[f"faster than {name}"] = result[name]["seconds"] / result["ours"]["seconds"]
        result[f"memory to {name}"] = result["ours"]["memory_mb"] / result[name]["memory_mb"]
        result[f"added memory to {name}"] = result["ours"]["added_mb"] / result[name]["memory_mb"]
    result["one more faster"] = result["one more"]["nft"] / result["one more"]["ours"]
    return result


def main() -> None:
    """Print medians and ratios, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(count, options.turns, Path(folder)) for count in options.entries]
    if options.json:
        print(json.dumps({"benchmark": "firewall_load", "results": results}))
        return
    for one in results:
        print(f"{one['entries']:,} entries, median of {options.turns}")
        for name in ("ours", *_peers(one)):
            print(f"  {name:<11} {one[name]['seconds']:8.3f} s {one[name]['memory_mb']:8.1f} MB")
        for name in _peers(one):
            print(
                f"  {one[f'faster than {name}']:.1f} x faster than {name}; "
                f"{one[f'memory to {name}']:.2f} x its memory, of which the load added "
                f"{one[f'added memory to {name}']:.2f}"
            )
        swap = one["replaced"]
        print(
            f"  replaced by one with 1 % others: {swap['seconds']:.3f} s, {swap['added']:,} in and "
            f"{swap['removed']:,} out, {swap['bytes']:,} bytes"
        )
        watch = one["watch"]
        print(
            f"  with a listener of ours {watch['listening']:.3f} s, which the daemon ends for it: "
            f"{watch['paused']:.3f} s"
        )
        if one["listeners"]:
            print(f"  {one['listeners']} listeners on this machine slow every load: end them")
        more = one["one more"]
        print(
            f"  one more deny: ours {more['ours'] * 1e3:.2f} ms, nft {more['nft'] * 1e3:.0f} ms "
            f"({one['one more faster']:.0f} x)"
        )


if __name__ == "__main__":
    main()
