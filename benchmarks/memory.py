"""Memory of a capturing process at 10,000 and at 1,000,000 live flows, beside softflowd.

python benchmarks/memory.py [--json]

Each process reads a capture in which every packet opens a flow and the clock stands still, so that
all flows are alive at once; the peak of its resident memory is taken.
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
from ipwatchd.capture.blocks import BlockReader
from ipwatchd.capture.meter import Meter
from ipwatchd.config import CaptureSettings
meter = Meter(CaptureSettings(flows=1 << 20))
for batch in BlockReader(Path(sys.argv[1])).batches():
    done = meter.feed(batch)
    assert done == len(batch.packets)
print(meter.counters()["live"])
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
        assert int(ours.output) == count
        result[str(count)] = {"ipwatchd": round(ours.memory), "softflowd": round(peer.memory)}
    lines = [f"{key}: {value}" for key, value in result.items()]
    measure.say(result, lines)


if __name__ == "__main__":
    main()
