"""Compiles what reading connection tracking needs, before anything is open."""

from __future__ import annotations

import numpy as np

from ipwatchd.capture.conntrack_entry import ENTRY, READ
from ipwatchd.capture.conntrack_meter import BEGIN, GO_ON, ConntrackMeter
from ipwatchd.capture.conntrack_reader import read_datagrams
from ipwatchd.capture.conntrack_timeouts import kernel_timeouts
from ipwatchd.config import CaptureSettings

__all__ = ["warm_conntrack"]


def warm_conntrack() -> None:
    """Call every compiled function with the very types that the source calls it with."""
    entries = np.zeros(4, ENTRY)
    sizes = np.zeros(1, np.uint32)
    read_datagrams(np.zeros(64, np.uint8), 64, sizes, 0, entries, np.zeros(1, READ)[0])
    meter = ConntrackMeter(CaptureSettings(flows=1024), kernel_timeouts(lambda _: None))
    for mode in (BEGIN, GO_ON):
        meter.begin(mode, 1)
        meter.dumped(entries[:1].copy(), 1)
        meter.end(whole=True)
    meter.destroyed(entries[:1].copy(), 1)
