"""The process that capture_ring.py measures: a ring on an interface until standard input ends.

Prints one JSON object: counters, and the CPU it took from the first packet on.

    python benchmarks/ring_agent.py INTERFACE [--threads N] [--metadata]
"""

from __future__ import annotations

import argparse
import json
import resource
import sys

import msgspec

from ipwatchd.capture import Capture, Ring
from ipwatchd.config import CaptureSettings


def _cpu() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_stime


def main() -> None:
    """Capture, then report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interface")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--metadata", action="store_true")
    options = parser.parse_args()
    seen = {"flows": 0, "events": 0}

    def deliver(capture: Capture) -> None:
        seen["flows"] += len(capture.flows)
        seen["events"] += len(capture.events)

    settings = CaptureSettings(flows=1 << 20, threads=options.threads)
    ring = Ring([options.interface], settings, deliver, metadata=options.metadata)
    ring.start()
    before = _cpu()
    print("ready", flush=True)
    sys.stdin.read()
    ring.stop()
    counters = msgspec.to_builtins(ring.counters())
    cpu, system = (now - then for now, then in zip(_cpu(), before, strict=True))
    print(json.dumps({"cpu": cpu, "cpu_system": system, "delivered": seen, **counters}))


if __name__ == "__main__":
    main()
