"""The ring live on a veth: kernel drops and CPU, beside softflowd on the same packets.

python benchmarks/capture_ring.py [--json] [--rates 100000,300000,0] [--seconds 10] [--repeats 3]

tcpreplay sends in one namespace; in the other our ring and softflowd listen on the same interface
at the same time, so that both see the very same packets. Rate 0 is as fast as tcpreplay can. Then
the metadata tap beside the whole ring, and the ring with 1, 2 and 4 threads (PACKET_FANOUT), at the
fastest rate. Needs root (or unshare -Urn).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import measure
import packets as made

from ipwatchd.lab.netns import Namespace, veth

HERE = Path(__file__).resolve().parent
THREADS = (1, 2, 4)


def _cpu(pid: int) -> float:
    """Return user and system seconds of a process (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Two namespaces on a cable; who listens at its end, and how much CPU they took."""

    def __init__(self, stack: ExitStack) -> None:
        self.left = stack.enter_context(Namespace("send"))
        self.right = stack.enter_context(Namespace("watch"))
        veth(self.left, "out0", self.right, "in0")
        for one, link in ((self.left, "out0"), (self.right, "in0")):
            one.sysctl("net.ipv6.conf.all.disable_ipv6", "1")
            one.run(["ip", "link", "set", link, "up"])

    def agent(self, *options: str) -> subprocess.Popen[str]:
        """Start our ring."""
        agent = self.right.popen(
            [sys.executable, str(HERE / "ring_agent.py"), "in0", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert agent.stdout is not None
        assert agent.stdout.readline() == "ready\n"
        return agent

    def send(self, file: Path, rate: int, count: int) -> str:
        """Send packets; returns what tcpreplay says of it."""
        speed = f"--pps={rate}" if rate else "--topspeed"
        sent = self.left.run(
            ["tcpreplay", "-q", "-i", "out0", speed, "--preload-pcap", f"--limit={count}",
             "--loop=0", str(file)], timeout=120,
        )  # fmt: skip
        time.sleep(2.0)
        return sent.stdout


def _told(agent: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = agent.communicate("", timeout=60)
    answer: dict[str, Any] = json.loads(output)
    return answer


def _beside_softflowd(file: Path, folder: Path, rate: int, count: int) -> dict[str, float]:
    with ExitStack() as stack:
        watch = Watch(stack)
        agent = watch.agent()
        peer = watch.right.popen(
            ["softflowd", "-d", "-i", "in0", "-n", "127.0.0.1:9", "-m", "1000000",
             "-c", str(folder / "ctl"), "-p", str(folder / "pid")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        time.sleep(1.0)
        peer_before = _cpu(peer.pid)
        sent = watch.send(file, rate, count)
        peer_cpu = _cpu(peer.pid) - peer_before
        told = watch.right.run(["softflowctl", "-c", str(folder / "ctl"), "statistics"]).stdout
        peer.send_signal(signal.SIGTERM)
        peer.communicate(timeout=30)
        return _row(_told(agent), peer_cpu, told, sent)


def _row(ours: dict[str, Any], peer_cpu: float, told: str, sent: str) -> dict[str, float]:
    number = re.search(r"Actual:\s+(\d+) packets", sent)
    rate = re.search(r"([\d.]+) pps", sent)
    seen = re.search(r"Packets processed:\s+(\d+)", told)
    dropped = re.search(r"dropped by libpcap:\s+(\d+)|libpcap.*?(\d+) dropped", told)
    return {
        "sent": float(number[1]) if number else 0.0,
        "sent_per_second": float(rate[1]) if rate else 0.0,
        "packets": ours["packets"],
        "kernel_drops": ours["kernel_drops"],
        "cpu": ours["cpu"],
        "cpu_system": ours["cpu_system"],
        "ns_a_packet": ours["cpu"] / max(ours["packets"], 1) * 1e9,
        "softflowd_packets": float(seen[1]) if seen else 0.0,
        "softflowd_drops": float(next(filter(None, dropped.groups()))) if dropped else -1.0,
        "softflowd_cpu": peer_cpu,
        "cpu_to_softflowd": ours["cpu"] / max(peer_cpu, 0.001),
    }


def _tap_beside_ring(file: Path, rate: int, count: int) -> dict[str, float]:
    """Return the CPU of the tap and of the whole ring on the same packets."""
    with ExitStack() as stack:
        watch = Watch(stack)
        whole, tap = watch.agent(), watch.agent("--metadata")
        watch.send(file, rate, count)
        ours, theirs = _told(whole), _told(tap)
    return {
        "ring_packets": ours["packets"],
        "ring_cpu": ours["cpu"],
        "tap_packets": theirs["packets"],
        "tap_cpu": theirs["cpu"],
        "tap_to_ring": theirs["cpu"] / max(ours["cpu"], 0.001),
    }


def _with_threads(file: Path, threads: int, count: int) -> dict[str, float]:
    """Return loss and CPU of the ring alone, as fast as the sender can."""
    with ExitStack() as stack:
        watch = Watch(stack)
        agent = watch.agent("--threads", str(threads))
        sent = re.search(r"([\d.]+) pps", watch.send(file, 0, count))
        ours = _told(agent)
    return {
        "sent_per_second": float(sent[1]) if sent else 0.0,
        "packets": ours["packets"],
        "kernel_drops": ours["kernel_drops"],
        "cpu": ours["cpu"],
    }


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(measure.median([row[key] for row in rows]), 3) for key in rows[0]}


def _capture(file: Path) -> None:
    """Write the packets: what TCP carries is TLS application data, as most of a gateway's is."""
    data, wire = made.frames(100_000, 10_000, width=200)
    full = (data[:, 23] == 6) & (wire >= 90)
    data[full, 54:57] = (0x17, 0x03, 0x03)
    made.write_copies(file, data, wire, 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rates", default="100000,300000,0")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    result: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "x.pcap"
        _capture(file)
        times = range(options.repeats)
        for rate in map(int, options.rates.split(",")):
            count = (rate or 300_000) * options.seconds
            rows = [_beside_softflowd(file, folder, rate, count) for _ in times]
            result[f"beside softflowd, {rate or 'fastest'}"] = _medians(rows)
        count = 100_000 * options.seconds
        rows = [_tap_beside_ring(file, 100_000, count) for _ in times]
        result["tap beside ring, 100000"] = _medians(rows)
        for threads in THREADS:
            rows = [_with_threads(file, threads, 300_000 * options.seconds) for _ in times]
            result[f"threads {threads}, fastest"] = _medians(rows)
    lines = []
    for what, medians in result.items():
        lines += [what, *(f"  {key}: {value}" for key, value in medians.items())]
    measure.say({"medians": result}, lines)


if __name__ == "__main__":
    main()
