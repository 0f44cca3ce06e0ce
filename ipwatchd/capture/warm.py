"""Compile the packet loop once, so that the next start finds it in the cache.

Run by tools/setup: python -m ipwatchd.capture.warm. Machine code of older versions is removed.
"""

from __future__ import annotations

import shutil
import sys
import time

import numpy as np

from ipwatchd.capture import pcap, pcapng
from ipwatchd.capture.jit import CACHE_ROOT, cache_folder
from ipwatchd.capture.meter import Meter
from ipwatchd.capture.packet import PACKET, Batch
from ipwatchd.capture.ring_socket import index_block
from ipwatchd.config import CaptureSettings

__all__ = ["warm", "warm_live"]


def warm() -> None:
    """Call every entry of the compiled code with the very types that capture calls it with."""
    data = np.zeros(64, np.uint8)
    packets = np.zeros(2, PACKET)
    pcap.index_pcap(data, 0, 0, False, 1000, 1, 16, packets)
    section = pcapng.Section("<")
    pcapng.index_pcapng(data, 0, 0, section.big, section.interfaces, 0, packets)
    warm_live()


def warm_live() -> None:
    """Call what the ring needs."""
    data = np.zeros(64, np.uint8)
    packets = np.zeros(2, PACKET)
    index_block(data, 0, 64, 0, -1, 1, 0, packets)
    meter = Meter(CaptureSettings(flows=1024))
    meter.feed(Batch(data, packets))
    meter.advance(1)
    meter.flush()


def _remove_old() -> None:
    current = cache_folder()
    for folder in CACHE_ROOT.glob("loop-*"):
        if folder != current and not folder.name.endswith("-checked"):
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Compile, and say how long it took."""
    start = time.monotonic()
    warm()
    _remove_old()
    sys.stderr.write(f"packet loop ready after {time.monotonic() - start:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
