"""Memory of a capturing process at 10,000 and at 1,000,000 live flows, beside softflowd.

python benchmarks/memory.py [--json]

Each process reads a capture in which every packet opens a flow and the clock stands still, so that
all flows are alive at once; the peak of resident memory is taken. Ours starts as the agent does,
with its machine code loaded and the compiler's given back. Connection tracking's reader
is given the kernel's answers about as many connections, made here: how many the kernel itself
tracks (net.netfilter.nf_conntrack_max) is one number for all of the machine, and not ours to raise.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import measure
import numpy as np
import packets as made

COUNTS: Final = (10_000, 1_000_000)
READER: Final = """
import sys
from pathlib import Path
from ipwatchd.capture.ahead import load_live
from ipwatchd.capture.blocks import BlockReader
from ipwatchd.capture.meter import Meter
from ipwatchd.config import CaptureSettings
load_live()
meter = Meter(CaptureSettings(flows=1 << 20))
for batch in BlockReader(Path(sys.argv[1])).batches():
    done = meter.feed(batch)
    assert done == len(batch.packets)
print(meter.counters()["live"])
"""
CONNTRACK: Final = """
import sys
from conntrack_answers import answers
from ipwatchd.capture.conntrack_meter import BEGIN, GO_ON, ConntrackMeter
from ipwatchd.capture.conntrack_timeouts import kernel_timeouts
from ipwatchd.config import CaptureSettings
meter = ConntrackMeter(CaptureSettings(flows=1 << 20), kernel_timeouts(lambda _: None))
for number, mode in enumerate((BEGIN, GO_ON)):
    now = 1_700_000_000_000_000_000 + number * 400_000_000_000
    meter.begin(mode, now)
    for entries in answers(int(sys.argv[1]), packets=10 + number):
        meter.dumped(entries, now)
    meter.end(whole=True)
print(meter.tracked)
"""


def _capture(path: Path, flows: int) -> None:
    """Write one packet for each of `flows` flows, all within a second."""
    data, wire = made.frames(flows, 1)
    numbers = np.arange(flows)
    data[:, 26:30] = (0x0A000000 + numbers).astype(">u4").view(np.uint8).reshape(flows, 4)
    data[:, 30:34] = np.frombuffer(b"\x2d\0\0\1", np.uint8)
    data[:, 34:38] = np.frombuffer(b"\x9c\x40\x01\xbb", np.uint8)
    made.write_copies(path, data[:, :64], np.minimum(wire, 64), 1, seconds=0.5)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.parse_args()
    result: dict[str, Any] = {"unit": "MB resident at the peak"}
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as name:
            file = Path(name) / "x.pcap"
            _capture(file, count)
            ours = measure.run([sys.executable, "-c", READER, str(file)])
            peer = measure.run(
                ["softflowd", "-d", "-r", str(file), "-n", "127.0.0.1:9", "-m", "2000000"]
            )
        tracked = measure.run([sys.executable, "-c", CONNTRACK, str(count)])
        assert int(ours.output) == int(tracked.output) == count
        result[str(count)] = {
            "ipwatchd": round(ours.memory),
            "softflowd": round(peer.memory),
            "ipwatchd, connection tracking": round(tracked.memory),
        }
    lines = [f"{key}: {value}" for key, value in result.items()]
    measure.say(result, lines)


if __name__ == "__main__":
    main()
