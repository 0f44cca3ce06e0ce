"""Connection tracking: connections a second read without loss, CPU for each, beside conntrack -E.

A router between two namespaces; a bounded sender opens connections that are refused (SYN, RST: one
event each) at a steady rate. Then a million packets of one flow pass: what is read costs by
connection, not by packet. CPU is the reader's process, user and system; each is measured without
and with the metadata tap on the router's interface, which sees two packets of each connection.

    python benchmarks/capture_conntrack.py [--json] [--rates 10000,50000] [--seconds 4]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipwatchd.lab.netns import Namespace, veth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_RATES = (10_000, 25_000, 50_000, 75_000)
_BATCH = 256
_FRAME = 54
_TICK = os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None, use_errno=True)
_MMSGHDR = np.dtype([("head", "<u8", (7,)), ("length", "<u4"), ("pad", "<u4")])
_IOVEC = np.dtype([("base", "<u8"), ("length", "<u8")])
RULES = """
add table ip t
add chain ip t f { type filter hook forward priority 0 ; }
add rule ip t f ct state invalid drop
"""


class Router:
    """client 10.0.0.2 ─ router ─ server 203.0.113.2; 10.64.0.0/10 lies behind the client."""

    def __init__(self) -> None:
        self.client, self.router, self.server = Namespace(), Namespace(), Namespace()
        veth(self.client, "eth0", self.router, "lan")
        veth(self.server, "eth0", self.router, "wan")
        self.router.forwarding()
        self.client.address("eth0", "10.0.0.2/24")
        self.router.address("lan", "10.0.0.1/24")
        self.router.address("wan", "203.0.113.1/24")
        self.server.address("eth0", "203.0.113.2/24")
        self.server.route("default", "203.0.113.1")
        self.router.route("10.64.0.0/10", "10.0.0.2")
        self.router.run(["nft", "-f", "-"], input=RULES)
        self.client.run(["ping", "-c1", "10.0.0.1"])
        self.client.route("default", "10.0.0.1")
        self.client.run(["ping", "-c1", "203.0.113.2"])
        self.macs = self._mac(self.router, "lan") + self._mac(self.client, "eth0")

    @staticmethod
    def _mac(where: Namespace, name: str) -> bytes:
        shown = json.loads(where.run(["ip", "-j", "link", "show", name]).stdout)
        return bytes.fromhex(shown[0]["address"].replace(":", ""))

    def close(self) -> None:
        """Let the namespaces go."""
        for one in (self.client, self.router, self.server):
            one.close()


def _checksum(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    total = words.sum(axis=1, dtype=np.uint32)
    for _ in range(2):
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syns(macs: bytes, count: int) -> NDArray[np.uint8]:
    """Return `count` SYNs to a closed port, each of another source address and port."""
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40, 1, 0x4000, 64, 6, 0)
    tcp = struct.pack(">HHIIBBHHH", 0, 9, 1, 0, 0x50, 2, 1024, 0, 0)
    frame = macs + b"\x08\x00" + ip + bytes([10, 64, 0, 0]) + bytes([203, 0, 113, 2]) + tcp
    data = np.tile(np.frombuffer(frame, np.uint8), (count, 1))
    number = np.arange(count, dtype=np.uint32)
    source = 0x0A400000 + (number >> 14 & 0x3FFF)
    port = 1024 + (number & 0x3FFF)
    data[:, 26:30] = source.astype(">u4").view(np.uint8).reshape(count, 4)
    data[:, 34:36] = port.astype(">u2").view(np.uint8).reshape(count, 2)
    _sums(data)
    return data


def _sums(data: NDArray[np.uint8]) -> None:
    words = data[:, 14:34].copy().view(">u2").astype(np.uint32)
    data[:, 24:26] = _checksum(words).astype(">u2").view(np.uint8).reshape(-1, 2)
    words = data[:, 26:].copy().view(">u2").astype(np.uint32)
    words[:, 0] += 6 + data.shape[1] - 34
    data[:, 50:52] = _checksum(words).astype(">u2").view(np.uint8).reshape(-1, 2)


class Sender:
    """Sends frames by sendmmsg(2), a batch a call, at a steady rate."""

    def __init__(self, where: Namespace, frames: NDArray[np.uint8]) -> None:
        with where.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.bind(("eth0", 0))
        self.frames = frames
        self.iovecs = np.zeros(len(frames), _IOVEC)
        size = frames.shape[1]
        base = frames.ctypes.data
        self.iovecs["base"] = base + np.arange(len(frames), dtype=np.uint64) * np.uint64(size)
        self.iovecs["length"] = size
        self.heads = np.zeros(len(frames), _MMSGHDR)
        self.heads["head"][:, 2] = self.iovecs.ctypes.data + 16 * np.arange(len(frames))
        self.heads["head"][:, 3] = 1

    def send(self, first: int, count: int) -> None:
        """Send frames first … first + count - 1, all in one call."""
        place = self.heads.ctypes.data + first * _MMSGHDR.itemsize
        sent = 0
        while sent < count:
            done = _libc.sendmmsg(
                self.socket.fileno(), ctypes.c_void_p(place + sent * _MMSGHDR.itemsize),
                count - sent, 0,
            )  # fmt: skip
            sent += max(done, 0)

    def steadily(self, rate: int) -> float:
        """Send all frames at a rate; returns the seconds that it took."""
        start = time.perf_counter()
        for first in range(0, len(self.frames), _BATCH):
            late = time.perf_counter() - start - first / rate
            if late < 0:
                time.sleep(-late)
            self.send(first, min(_BATCH, len(self.frames) - first))
        return time.perf_counter() - start


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


class Ours:
    """Our reader in a process of its own, in the router's namespace."""

    name = "ipwatchd"
    interfaces: tuple[str, ...] = ()

    def __init__(self, router: Router) -> None:
        command = [sys.executable, __file__, "--reader", *self.interfaces]
        self.process = router.router.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ask()

    def ask(self) -> dict[str, Any]:
        """Return the reader's counters."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def seen(self) -> int:
        """Return how many refused connections were told."""
        return int(self.ask()["refused"])

    def close(self) -> int:
        """End it; nothing is held back."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)
        return 0


class Tapped(Ours):
    """With the metadata tap on the interface that the packets come in by."""

    name = "ipwatchd, tap"
    interfaces = ("lan",)


class Theirs:
    """conntrack(8) listening to the same events, counting lines."""

    name = "conntrack -E"

    def __init__(self, router: Router) -> None:
        self.out = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed in `close`
        command = ["conntrack", "-E", "-e", "DESTROY", "-o", "timestamp", "-b", str(64 << 20)]
        self.process = router.router.popen(
            command, stdout=self.out.fileno(), stderr=subprocess.DEVNULL
        )
        time.sleep(0.5)

    def seen(self) -> int:
        """Return how many lines of refused connections came."""
        return len(re.findall(rb"dport=9 ", Path(self.out.name).read_bytes()))

    def close(self) -> int:
        """End it; return how many came, with those that it held back."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        seen = self.seen()
        self.out.close()
        return seen


def reader(interfaces: Sequence[str]) -> None:
    """Read connection tracking here; answer each line with the counters."""
    from ipwatchd.capture.choice import Choice
    from ipwatchd.capture.source import open_source
    from ipwatchd.config import CaptureSettings

    told = {"refused": 0}

    def deliver(capture: Any) -> None:
        told["refused"] += int((capture.flows["resp_port"] == 9).sum())

    settings = CaptureSettings(interfaces=tuple(interfaces))
    source = open_source(settings, Choice("conntrack", ""), deliver)
    assert source
    source.start()
    for _ in sys.stdin:
        counters = source.counters()
        assert counters.conntrack
        tracked = counters.conntrack
        more = {name: getattr(tracked, name) for name in ("events_lost", "looks", "openings")}
        print(json.dumps({**told, **more}), flush=True)
    source.stop()


def held(kind: type[Ours | Theirs], router: Router, rate: int, seconds: float) -> dict[str, Any]:
    """Send at a rate; return what was read and what it cost."""
    watcher = kind(router)
    frames = syns(router.macs, int(rate * seconds))
    sender = Sender(router.client, frames)
    before = cpu(watcher.process.pid)
    took = sender.steadily(rate)
    seen, last = -1, 0
    while seen != last:
        seen = last
        time.sleep(1.0)
        last = watcher.seen()
    spent = cpu(watcher.process.pid) - before
    sender.socket.close()
    last = watcher.close() or last
    return {
        "peer": kind.name,
        "rate": round(len(frames) / took),
        "read": last,
        "lost": len(frames) - last,
        "cpu_us": round(spent / max(last, 1) * 1e6, 2),
    }


def by_packet(kind: type[Ours], router: Router, packets: int = 1_000_000) -> float:
    """Return our CPU seconds while a million packets of one flow pass."""
    watcher = kind(router)
    frames = np.repeat(syns(router.macs, 1), 4096, axis=0)
    frames[:, 47] = 0x10
    _sums(frames)
    sender = Sender(router.client, frames)
    before = cpu(watcher.process.pid)
    start = time.perf_counter()
    for _ in range(packets // len(frames)):
        sender.send(0, len(frames))
    time.sleep(1.0)
    spent, took = cpu(watcher.process.pid) - before, time.perf_counter() - start
    idle = cpu(watcher.process.pid)
    time.sleep(5.0)
    idle = (cpu(watcher.process.pid) - idle) / 5.0
    sender.socket.close()
    watcher.close()
    return max(spent - idle * took, 0.0)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--reader", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--rates", default=",".join(map(str, _RATES)))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    if options.reader is not None:
        reader(options.reader)
        return 0
    router = Router()
    rows = []
    for rate in map(int, options.rates.split(",")):
        for kind in (Ours, Tapped, Theirs):
            runs = [held(kind, router, rate, options.seconds) for _ in range(options.runs)]
            names = ("rate", "read", "lost", "cpu_us")
            medians = {name: statistics.median(run[name] for run in runs) for name in names}
            rows.append({"peer": kind.name, "asked": rate, **medians})
    spent = {kind.name: round(by_packet(kind, router), 3) for kind in (Ours, Tapped)}
    result = {"rows": rows, "cpu_s_per_million_packets": spent}
    router.close()
    if options.json:
        print(json.dumps(result))
        return 0
    print(
        f"{'asked/s':>8} {'sent/s':>8} {'reader':<13} {'read':>8} {'lost':>7} {'µs CPU each':>12}"
    )
    for row in rows:
        print(
            f"{row['asked']:>8} {row['rate']:>8} {row['peer']:<13} {row['read']:>8} "
            f"{row['lost']:>7} {row['cpu_us']:>12}"
        )
    for name, seconds in spent.items():
        print(f"a million packets of one flow, {name}: {seconds} s of CPU above idle")
    return 0


if __name__ == "__main__":
    sys.exit(main())
