"""Start-up to first packet seen, and `ipwatchctl status` start to end, on a running daemon.

    python benchmarks/startup.py [--json] [--runs N]

Needs root (or unshare -Urn): everything happens in two network namespaces of its own.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ipwatchd.lab.netns import Namespace, veth  # noqa: E402 - the path comes first
from tests.agents import Agent  # noqa: E402

CONFIG = '[capture]\ninterfaces = ["wan0"]\n'


def _chatter(outside: Namespace, stop: threading.Event) -> None:
    """Send a small datagram every millisecond, so that a packet is always about to come."""
    with outside.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while not stop.wait(0.001):
            sender.sendto(b"x", ("203.0.113.1", 9))


def _one_start(gateway: Namespace, folder: Path) -> tuple[float, float]:
    """Return seconds from exec to the first packet, and to the first answer."""
    agent = Agent(gateway, folder, CONFIG)
    begun = time.time()
    agent.start()
    answered = time.time()
    status = agent.until(20, "status", has=lambda answer: answer["first_packet"] > 0)
    agent.stop()
    return status["first_packet"] - begun, answered - begun


def _status_times(gateway: Namespace, folder: Path, runs: int) -> list[float]:
    agent = Agent(gateway, folder, CONFIG).start()
    command = [str(Path(sys.executable).with_name("ipwatchctl")), "--socket", str(agent.socket)]
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        subprocess.run([*command, "status"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - begun)
    agent.stop()
    return times


def main() -> int:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with Namespace("gateway") as gateway, Namespace("outside") as outside:
        veth(gateway, "wan0", outside, "eth0")
        gateway.address("wan0", "203.0.113.1/24")
        outside.address("eth0", "203.0.113.9/24")
        stop = threading.Event()
        thread = threading.Thread(target=_chatter, args=(outside, stop))
        thread.start()
        try:
            with tempfile.TemporaryDirectory() as folder:
                starts = [
                    _one_start(gateway, Path(folder) / str(run))
                    for run in range(arguments.runs)
                    if not (Path(folder) / str(run)).mkdir()
                ]
                asked = Path(folder) / "asked"
                asked.mkdir()
                statuses = _status_times(gateway, asked, arguments.runs * 4)
        finally:
            stop.set()
            thread.join()
    figures = {
        "start_to_first_packet_s": statistics.median(first for first, _ in starts),
        "start_to_first_answer_s": statistics.median(answer for _, answer in starts),
        "ipwatchctl_status_s": statistics.median(statuses),
        "ipwatchctl_status_max_s": max(statuses),
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<26} {value:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
