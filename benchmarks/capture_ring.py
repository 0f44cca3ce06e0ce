"""The ring live on a veth: kernel drops and CPU, beside softflowd on the same packets.

python benchmarks/capture_ring.py [--json] [--rate 100000] [--seconds 10] [--repeats 3]

tcpreplay sends in one namespace; in the other our ring and softflowd listen on the same interface
at the same time, so that both see the very same packets. Needs root (or unshare -Urn).
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
from pathlib import Path
from typing import Any

import measure
import packets as made

from ipwatchd.lab.netns import Namespace, veth

HERE = Path(__file__).resolve().parent


def _cpu(pid: int) -> float:
    """Return user and system seconds of a process (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _once(file: Path, folder: Path, rate: int, count: int) -> dict[str, float]:
    with Namespace("send") as left, Namespace("watch") as right:
        veth(left, "out0", right, "in0")
        for one, link in ((left, "out0"), (right, "in0")):
            one.sysctl("net.ipv6.conf.all.disable_ipv6", "1")
            one.run(["ip", "link", "set", link, "up"])
        agent = right.popen(
            [sys.executable, str(HERE / "ring_agent.py"), "in0"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        peer = right.popen(
            ["softflowd", "-d", "-i", "in0", "-n", "127.0.0.1:9", "-m", "1000000",
             "-c", str(folder / "ctl"), "-p", str(folder / "pid")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert agent.stdout is not None
        assert agent.stdout.readline() == "ready\n"
        time.sleep(1.0)
        peer_before = _cpu(peer.pid)
        sent = left.run(
            ["tcpreplay", "-q", "-i", "out0", f"--pps={rate}", "--preload-pcap",
             f"--limit={count}", "--loop=0", str(file)], timeout=120,
        )  # fmt: skip
        time.sleep(2.0)
        peer_cpu = _cpu(peer.pid) - peer_before
        told = right.run(["softflowctl", "-c", str(folder / "ctl"), "statistics"]).stdout
        peer.send_signal(signal.SIGTERM)
        peer.communicate(timeout=30)
        output, _ = agent.communicate("", timeout=60)
    ours = json.loads(output)
    return _row(ours, peer_cpu, told, sent.stdout)


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rate", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "x.pcap"
        made.write_copies(file, *made.frames(100_000, 10_000, width=200), 1)
        count = options.rate * options.seconds
        rows = [_once(file, folder, options.rate, count) for _ in range(options.repeats)]
    medians = {key: round(measure.median([row[key] for row in rows]), 3) for key in rows[0]}
    lines = [f"{key}: {value}" for key, value in medians.items()]
    measure.say({"medians": medians, "runs": rows}, lines)


if __name__ == "__main__":
    main()
