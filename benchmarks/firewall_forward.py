"""What one forwarded packet costs with 0, 100,000 and 1,000,000 entries, set layout by layout.

A gateway namespace forwards UDP between two others. Frames from random addresses that stand in no
set are sent in batches from one CPU by sendmmsg(2); the kernel forwards each within the call. The
time a packet, less that of the empty gateway, is what the look-ups cost. Layouts, same prefixes:

  ours        Firewall.apply: hash sets by length, asked for source and for destination
  ours source the same asked for the source alone, as the peers below are
  ipset       hash:net of ipset, iptables -m set --match-set deny src
  interval    one nft interval set, ip saddr @deny
  hash        one nft hash set of single addresses alone (what the shortest way costs)
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from firewall_load import NOW, as_prefixes, mixed, plain_script, policy

from ipwatchd.config import FirewallSettings
from ipwatchd.firewall import Firewall
from ipwatchd.lab.netns import Namespace, veth

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BATCH = 512
FRAMES = 1 << 15
"""Distinct sources: far more than a CPU's cache holds of a large set."""


class _Frames:
    """Frames of distinct sources, laid out for sendmmsg(2)."""

    def __init__(self, hardware: bytes, sources: NDArray[np.uint32]) -> None:
        head = hardware + b"\x02\0\0\0\0\x01" + b"\x08\x00"
        frames = np.zeros((len(sources), 64), np.uint8)
        frames[:, :14] = np.frombuffer(head, np.uint8)
        ip = struct.pack(">BBHHHBBHII", 0x45, 0, 50, 0, 0, 64, 17, 0, 0, 0x0A000002)
        frames[:, 14:34] = np.frombuffer(ip, np.uint8)
        frames[:, 26:30] = sources.astype(">u4").view(np.uint8).reshape(-1, 4)
        words = frames[:, 14:34].copy().view(">u2").astype(np.uint32).sum(axis=1)
        words = (words & 0xFFFF) + (words >> 16)
        words = ~((words & 0xFFFF) + (words >> 16)) & 0xFFFF
        frames[:, 24:26] = words.astype(">u2").view(np.uint8).reshape(-1, 2)
        frames[:, 34:42] = np.frombuffer(struct.pack(">HHHH", 4242, 4243, 30, 0), np.uint8)
        self._frames = frames
        base = frames.ctypes.data
        count = len(sources)
        self._vectors = np.zeros((count, 2), np.uint64)  # struct iovec
        self._vectors[:, 0] = base + np.arange(count, dtype=np.uint64) * 64
        self._vectors[:, 1] = 64
        self._messages = np.zeros((count, 8), np.uint64)  # struct mmsghdr, 64 bytes
        self._messages[:, 2] = self._vectors.ctypes.data + np.arange(count, dtype=np.uint64) * 16
        self._messages[:, 3] = 1
        self._libc = ctypes.CDLL(None, use_errno=True)

    def send(self, sock: socket.socket) -> int:
        """Send each frame once; return how many were."""
        sent = 0
        base = self._messages.ctypes.data
        while sent < len(self._messages):
            many = min(BATCH, len(self._messages) - sent)
            done = self._libc.sendmmsg(sock.fileno(), ctypes.c_void_p(base + 64 * sent), many, 0)
            if done <= 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            sent += done
        return sent


def hardware(where: Namespace, interface: str) -> str:
    """Return an interface's hardware address."""
    shown = where.run(["ip", "-o", "link", "show", "dev", interface]).stdout
    return shown.split("link/ether ")[1].split()[0]


class Road:
    """outside ─ gateway ─ inside; the inside drops what arrives at once."""

    def __init__(self) -> None:
        self.outside, self.gateway, self.inside = (Namespace(n) for n in ("out", "gw", "in"))
        veth(self.outside, "eth0", self.gateway, "wan")
        veth(self.inside, "eth0", self.gateway, "lan")
        self.gateway.forwarding()
        for name in ("all", "default", "wan"):
            self.gateway.sysctl(f"net.ipv4.conf.{name}.rp_filter", "0")
        self.gateway.address("wan", "203.0.113.1/24")
        self.gateway.address("lan", "10.0.0.1/24")
        self.inside.address("eth0", "10.0.0.2/24")
        self.outside.address("eth0", "203.0.113.2/24")
        self.gateway.route("default", "203.0.113.2")
        self.inside.run(["nft", "-f", "-"], input=(
            "table inet sink {\n chain in {\n type filter hook prerouting priority raw;\n"
            " udp dport 4243 counter drop\n }\n}\n"
        ))  # fmt: skip
        self.track()
        mac = hardware(self.inside, "eth0")
        self.gateway.run(
            ["ip", "neigh", "replace", "10.0.0.2", "lladdr", mac, "dev", "lan", "nud", "permanent"]
        )

    def track(self) -> None:
        """Have connection tracking, as every gateway does that translates addresses."""
        self.gateway.run(["nft", "-f", "-"], input=(
            "table inet tracked {\n chain past {\n type filter hook forward priority filter;\n"
            " ct state invalid counter\n }\n}\n"
        ))  # fmt: skip

    def arrived(self) -> int:
        """Return how many packets came through to the inside."""
        listed = json.loads(self.inside.run(["nft", "-j", "list", "ruleset"]).stdout)["nftables"]
        rule = next(one["rule"] for one in listed if "rule" in one)
        return int(next(one["counter"]["packets"] for one in rule["expr"] if "counter" in one))

    def close(self) -> None:
        """Take it down."""
        for one in (self.outside, self.gateway, self.inside):
            one.close()


def cost(road: Road, frames: _Frames, turns: int) -> float:
    """Return the median nanoseconds a packet; every packet must have come through."""
    with road.outside.inside():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    found = []
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE
        sock.bind(("eth0", 0))
        frames.send(sock)
        before, sent = road.arrived(), 0
        for _ in range(turns):
            start = time.perf_counter()
            many = frames.send(sock)
            found.append((time.perf_counter() - start) / many * 1e9)
            sent += many
        time.sleep(0.05)
        came = road.arrived() - before
    if came < sent * 0.99:
        raise RuntimeError(f"{sent - came} of {sent} packets did not come through")
    return statistics.median(found)


def sources(rows: NDArray[np.void]) -> NDArray[np.uint32]:
    """Return addresses in no row, from all over the space that the rows are in."""
    rng = np.random.default_rng(3)
    taken = set(((rows["first_lo"] >> np.uint64(8)) & np.uint64(0xFFFFFF)).tolist())
    free = [one for one in rng.choice(1 << 23, 1 << 18, replace=False).tolist()
            if one + (1 << 16) not in taken][:FRAMES]  # fmt: skip
    return (np.array(free, np.uint32) + np.uint32(1 << 16)) * np.uint32(256) + np.uint32(7)


def with_ours(road: Road, rows: NDArray[np.void], *, source_only: bool = False) -> None:
    """Load ours; for the peers' sake also without the look-ups of the destination."""
    with road.gateway.inside(), Firewall(FirewallSettings(kill_connections=False)) as firewall:
        firewall.apply(policy(rows), NOW)
    if source_only:
        listed = json.loads(road.gateway.run(["nft", "-j", "list", "chain", "inet", "ipwatchd",
                                              "prerouting"]).stdout)["nftables"]  # fmt: skip
        for one in listed:
            if "jump" in json.dumps(one) and "destination" in json.dumps(one):
                road.gateway.run(["nft", "delete", "rule", "inet", "ipwatchd", "prerouting",
                                  "handle", str(one["rule"]["handle"])])  # fmt: skip


def with_ipset(road: Road, rows: NDArray[np.void]) -> None:
    """Load ipset's hash:net and one iptables rule in mangle's PREROUTING."""
    script = f"create deny hash:net hashsize {len(rows)} maxelem {2 * len(rows)}\n"
    script += "".join(f"add deny {text}\n" for text, _ in as_prefixes(rows))
    road.gateway.run(["ipset", "restore"], input=script)
    road.gateway.run(["iptables", "-t", "mangle", "-A", "PREROUTING", "-m", "set", "--match-set",
                      "deny", "src", "-j", "DROP"])  # fmt: skip


def with_interval(road: Road, rows: NDArray[np.void]) -> None:
    """Load one nft interval set with timeouts; by our codec, since nft takes minutes for none."""
    road.gateway.run(["nft", "-f", "-"], input=plain_script(rows))


def with_hash(road: Road, rows: NDArray[np.void]) -> None:
    """Load the first addresses alone as one hash set."""
    listed = ",\n".join(text.partition("/")[0] for text, _ in as_prefixes(rows))
    road.gateway.run(["nft", "-f", "-"], input=(
        f"table inet plain {{\n set deny {{ type ipv4_addr; size {len(rows)};\n"
        f" elements = {{\n{listed}\n}} ; }}\n chain in {{\n"
        " type filter hook prerouting priority mangle;\n ip saddr @deny drop\n }\n}\n"
    ))  # fmt: skip


def clear(road: Road) -> None:
    """Take every rule of the gateway away."""
    road.gateway.run(["nft", "flush", "ruleset"])
    road.track()
    if shutil.which("ipset"):
        with road.gateway.inside():
            subprocess.run(["ipset", "destroy"], check=False, capture_output=True)


def measure(counts: list[int], turns: int) -> list[dict[str, Any]]:
    """Measure every layout at every size on one road."""
    layouts: dict[str, Callable[[Road, NDArray[np.void]], None]] = {
        "ours": with_ours,
        "ours source": lambda road, rows: with_ours(road, rows, source_only=True),
        "interval": with_interval,
        "hash": with_hash,
    }
    if shutil.which("ipset") and shutil.which("iptables"):
        layouts["ipset"] = with_ipset
    road = Road()
    results = []
    try:
        mac = bytes.fromhex(hardware(road.gateway, "wan").replace(":", ""))
        for count in counts:
            rows = mixed(count)
            frames = _Frames(mac, sources(rows))
            row: dict[str, Any] = {"entries": count, "baseline": cost(road, frames, turns)}
            for name, load in layouts.items():
                load(road, rows)
                row[name] = cost(road, frames, turns)
                clear(road)
            row["baseline after"] = cost(road, frames, turns)
            results.append(row)
    finally:
        road.close()
    return results


def main() -> None:
    """Print medians in nanoseconds a packet, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, nargs="+", default=[1, 100_000, 1_000_000])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    results = measure(options.entries, options.turns)
    if options.json:
        print(json.dumps({"benchmark": "firewall_forward", "unit": "ns a packet",
                          "results": results}))  # fmt: skip
        return
    for one in results:
        base = (one["baseline"] + one["baseline after"]) / 2
        print(f"{one['entries']:,} entries: {base:.0f} ns a packet without rules")
        for name in ("ours", "ours source", "ipset", "interval", "hash"):
            if name in one:
                print(f"  {name:<12} {one[name]:7.0f} ns, {one[name] - base:+7.0f}")


if __name__ == "__main__":
    main()
