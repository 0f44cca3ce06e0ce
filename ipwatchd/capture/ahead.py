"""Have the packet loop's machine code at hand before the first packet: from the cache, or made."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np

from ipwatchd.capture import pcap, pcapng
from ipwatchd.capture.conntrack_warm import warm_conntrack
from ipwatchd.capture.hello import FOUND, read_hellos
from ipwatchd.capture.meter import Meter
from ipwatchd.capture.packet import PACKET, Batch
from ipwatchd.capture.ring_index import index_block
from ipwatchd.capture.tap import TAP
from ipwatchd.config import CaptureSettings

__all__ = ["load_all", "load_live"]


def load_all() -> None:
    """Call every entry of the compiled code with the very types that capture calls it with."""
    warm_conntrack()
    data = np.zeros(64, np.uint8)
    packets = np.zeros(2, PACKET)
    pcap.index_pcap(data, 0, 0, False, 1000, 1, 16, packets)
    section = pcapng.Section("<")
    pcapng.index_pcapng(data, 0, 0, section.big, section.interfaces, 0, packets)
    load_live()


def load_live() -> None:
    """Call what the ring needs."""
    data = np.zeros(64, np.uint8)
    packets = np.zeros(2, PACKET)
    index_block(data, 0, 64, 0, -1, 1, 0, packets)
    read_hellos(np.zeros(0, TAP), data, data, np.zeros(0, FOUND))
    meter = Meter(CaptureSettings(flows=1024))
    meter.feed(Batch(data, packets))
    meter.advance(1)
    meter.flush()
    _let_go_of_compiler()


def _let_go_of_compiler() -> None:
    """Give back the memory in which LLVM's own code lies: 50 MB, not needed to run what it made.

    The pages are the library's as it is on disk; should something be compiled after all, the kernel
    reads them again.
    """
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as maps:
        for line in maps:
            if "llvmlite" in line and " r-xp " in line:
                start, end = (int(one, 16) for one in line.split(" ", 1)[0].split("-"))
                advise(start, end - start, mmap.MADV_DONTNEED)
