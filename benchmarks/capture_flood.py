"""A SYN flood of random sources on top of real connections, live on a veth.

python benchmarks/capture_flood.py [--json] [--rate 200000] [--seconds 30] [--connections 1000]

Real connections are opened before and during the flood, to the port that is flooded, and closed
after it. Each must be one connection in the records, closed by both, with every byte. Needs root.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import measure
import msgspec
import numpy as np
import packets as made

from ipwatchd.capture import Capture, Ring
from ipwatchd.config import CaptureSettings
from ipwatchd.lab.netns import Namespace, veth
from ipwatchd.records.flow import STATES

CLIENT: Final = "10.9.0.1"
SERVER: Final = "10.9.0.2"
PORT: Final = 8000
ASKED: Final = 300
ANSWERED: Final = 900
_REPEAT: Final = 12
"""Seconds after which a source comes again: longer than an attempt is kept."""


def _frames(path: Path, count: int) -> None:
    """Write SYNs from random sources; the frames are for nobody's MAC, so no kernel answers."""
    data, wire = made.frames(count, 1, width=60)
    rng = np.random.default_rng(3)
    sources = rng.permutation(1 << 24)[:count].astype(">u4") | np.uint32(0x50000000)
    data[:, 23], data[:, 46], data[:, 47] = 6, 0x50, 0x02
    data[:, 16:18] = (0, 40)
    data[:, 26:30] = sources.astype(">u4").view(np.uint8).reshape(count, 4)
    data[:, 30:34] = np.frombuffer(socket.inet_aton(SERVER), np.uint8)
    data[:, 34:36] = rng.integers(0, 256, (count, 2), np.uint8)
    data[:, 36:38] = np.frombuffer(PORT.to_bytes(2, "big"), np.uint8)
    made.write_copies(path, data, np.full_like(wire, 60), 1)


def agent(interface: str) -> None:
    """Capture until standard input ends; print counters and the records of real clients."""
    client = int.from_bytes(socket.inet_aton(CLIENT), "big") | 0xFFFF_0000_0000
    kept: list[Any] = []
    others = [0, 0, 0]

    def deliver(capture: Capture) -> None:
        flows = capture.flows
        mine = flows["orig_lo"] == client
        kept.append(flows[mine])
        sums = flows["orig_lo"] == 0xFFFF_0000_0000
        others[0] += int((~mine).sum())
        others[1] += int(flows["orig_packets"][~mine].sum())
        others[2] += int(sums.sum())

    ring = Ring([interface], CaptureSettings(), deliver)
    ring.start()
    before = resource.getrusage(resource.RUSAGE_SELF)
    print("ready", flush=True)
    sys.stdin.read()
    ring.stop()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    flows = np.concatenate(kept)
    names = ("orig_port", "state", "orig_packets", "orig_bytes", "resp_packets", "resp_bytes")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024
    print(json.dumps({
        "cpu": usage.ru_utime + usage.ru_stime - before.ru_utime - before.ru_stime,
        "memory": peak, "records": others[0], "packets_in_records": others[1], "sums": others[2],
        "real": [[int(flow[name]) for name in names] for flow in flows],
        **msgspec.to_builtins(ring.counters()),
    }))  # fmt: skip


def _serve(listener: socket.socket, count: int) -> None:
    peers = []
    for _ in range(count):
        peer, _ = listener.accept()
        peer.recv(ASKED, socket.MSG_WAITALL)
        peer.sendall(b"y" * ANSWERED)
        peers.append(peer)
    for peer in peers:
        peer.recv(1)
        peer.close()


def _call(left: Namespace) -> socket.socket:
    with left.inside():
        client = socket.create_connection((SERVER, PORT), timeout=60)
    client.sendall(b"x" * ASKED)
    client.recv(ANSWERED, socket.MSG_WAITALL)
    return client


def _right(real: list[list[int]], connections: int) -> int:
    """Count connections with one ending, closed by both, and every byte: headers are 52 bytes."""
    parts: dict[int, list[list[int]]] = {}
    for row in real:
        parts.setdefault(row[0], []).append(row)
    right = 0
    for rows in parts.values():
        orig = sum(row[3] - 52 * row[2] for row in rows) - 8
        resp = sum(row[5] - 52 * row[4] for row in rows) - 8
        right += STATES[rows[-1][1]] == "SF" and (orig, resp) == (ASKED, ANSWERED)
    assert len(parts) <= connections
    return right


def _run(folder: Path, rate: int, seconds: int, connections: int) -> dict[str, Any]:
    file = folder / "flood.pcap"
    _frames(file, min(rate * min(_REPEAT, seconds), 1 << 24))
    with Namespace("send") as left, Namespace("watch") as right:
        veth(left, "out0", right, "in0")
        left.address("out0", f"{CLIENT}/24")
        right.address("in0", f"{SERVER}/24")
        process = right.popen(
            [sys.executable, __file__, "--agent", "in0"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with right.inside():
            listener = socket.create_server((SERVER, PORT), backlog=1000)
        server = threading.Thread(target=_serve, args=(listener, connections))
        server.start()
        clients = [_call(left) for _ in range(connections // 2)]
        flood = left.popen(
            ["tcpreplay", "-q", "-i", "out0", f"--pps={rate}", "--preload-pcap",
             f"--limit={rate * seconds}", "--loop=0", str(file)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        for _ in range(connections - len(clients)):
            time.sleep(seconds / connections)
            clients.append(_call(left))
        told, _ = flood.communicate(timeout=seconds * 4 + 60)
        for client in clients:
            client.close()
        server.join(60)
        listener.close()
        time.sleep(1.0)
        output, _ = process.communicate("", timeout=120)
    row: dict[str, Any] = json.loads(output)
    sent = re.search(r"Actual:\s+(\d+) packets", told)
    speed = re.search(r"([\d.]+) pps", told)
    row["right"] = _right(row.pop("real"), connections)
    row["sent"] = int(sent[1]) if sent else 0
    row["sent_per_second"] = float(speed[1]) if speed else 0.0
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rate", type=int, default=200_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--agent", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.agent:
        agent(options.agent)
        return
    with tempfile.TemporaryDirectory() as name:
        row = _run(Path(name), options.rate, options.seconds, options.connections)
    shown = (
        "sent", "sent_per_second", "packets", "kernel_drops", "right", "records", "sums",
        "packets_in_records", "flows_collapsed", "flows_evicted", "flows_shed",
        "deliveries_shed", "memory", "cpu",
    )  # fmt: skip
    measure.say(row, [f"{key}: {row[key]}" for key in shown])


if __name__ == "__main__":
    main()
