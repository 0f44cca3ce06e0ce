"""What the detectors say of a capture with their defaults; packets' times may be stretched."""

from __future__ import annotations

import struct
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from ipwatchd.capture import read_files
from ipwatchd.config.settings import PRIVATE, CaptureSettings, DetectSettings, GeoSettings
from ipwatchd.detect import build
from ipwatchd.enrich import Enricher
from ipwatchd.logs import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.detect.detector import Detector
    from ipwatchd.records.finding import Finding

__all__ = ["stretched", "told", "told_by_log"]

_ONE = threading.Lock()


def told(path: Path) -> tuple[list[Finding], int, int]:
    """Return the findings, the last of each key, and how many flows and events there were."""
    found: dict[str, Finding] = {}
    flows = events = 0
    enricher, detectors = _all()
    with _ONE:
        for delivery in read_files([path], CaptureSettings()):
            enricher.flows(delivery.flows)
            flows += len(delivery.flows)
            events += len(delivery.events)
            for detector in detectors:
                found |= {one.key: one for one in detector.events(delivery.events, delivery.now)}
                found |= {one.key: one for one in detector.flows(delivery.flows, delivery.now)}
    return list(found.values()), flows, events


def told_by_log(lines: list[bytes]) -> list[Finding]:
    """Return the findings of log lines alone."""
    found: dict[str, Finding] = {}
    _, detectors = _all()
    reader, now = Reader(), time.time()
    for line in lines:
        event = reader.line(line, now=now, source="log")
        if event is not None:
            for detector in detectors:
                found |= {one.key: one for one in detector.events([event], event.ts)}
    return list(found.values())


def _all() -> tuple[Enricher, list[Detector]]:
    enricher = Enricher({"inside": PRIVATE}, GeoSettings())
    return enricher, build(
        DetectSettings(), denied=lambda hi, lo: np.zeros(len(hi), np.bool_) & (lo == 0), zones=(),
        place=enricher.place,
    )  # fmt: skip


def stretched(path: Path, times: float) -> None:
    """Multiply the times of a capture's packets (pcap, microseconds, little endian)."""
    data = bytearray(path.read_bytes())
    place, first = 24, 0.0
    while place + 16 <= len(data):
        seconds, micros, size, _ = struct.unpack_from("<IIII", data, place)
        moment = seconds + micros / 1e6
        first = first or moment
        moment = first + (moment - first) * times
        struct.pack_into("<II", data, place, int(moment), int(moment % 1 * 1e6))
        place += 16 + size
    path.write_bytes(data)
