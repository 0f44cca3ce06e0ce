"""Floods of openings: what is told singly, what in sums, and that both add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.meter import Meter
from ipwatchd.capture.packet import PACKET, Batch
from ipwatchd.config import CaptureSettings
from ipwatchd.records.flow import STATES

SETTINGS = CaptureSettings(flows=65_536)
START = 1_700_000_000 * 10**9
MASK = np.uint64(0xFFFF_FFFF)
VICTIM = 0x0A000001


def segments(sources: Any, target: Any, flags: int, ts: Any, *, port: Any = 443) -> Batch:
    """Return a raw-IP TCP segment of 40 bytes from each source to the target, or to its own."""
    count = len(sources)
    data = np.zeros((count, 40), np.uint8)
    data[:, 0], data[:, 3], data[:, 9], data[:, 32], data[:, 33] = 0x45, 40, 6, 0x50, flags
    data[:, 12:16] = np.asarray(sources).astype(">u4").view(np.uint8).reshape(count, 4)
    targets = np.broadcast_to(np.asarray(target), count)
    data[:, 16:20] = targets.astype(">u4").view(np.uint8).reshape(count, 4)
    data[:, 20:22] = (0x30, 0x39)
    ports = np.broadcast_to(np.asarray(port), count)
    data[:, 22:24] = ports.astype(">u2").view(np.uint8).reshape(count, 2)
    packets = np.zeros(count, PACKET)
    packets["ts"] = START + np.asarray(ts)
    packets["at"] = np.arange(count) * 40
    packets["captured"] = packets["wire"] = 40
    packets["link"] = 101
    return Batch(data.reshape(-1), packets)


def datagrams(sources: Any, target: Any, ts: Any) -> Batch:
    """Return a UDP datagram in place of each segment."""
    data, packets = segments(sources, target, 0, ts)
    data.reshape(-1, 40)[:, 9] = 17
    return Batch(data, packets)


def answers(sources: Any, target: int, flags: int, ts: Any) -> Batch:
    """Return what the target sends back to each source."""
    data, packets = segments(sources, target, flags, ts)
    frames = data.reshape(-1, 40)
    frames[:, 12:20] = np.roll(frames[:, 12:20], 4, axis=1)
    frames[:, 20:24] = np.roll(frames[:, 20:24], 2, axis=1)
    return Batch(data, packets)


def records(meter: Meter, *batches: Batch) -> Any:
    """Meter the batches to their end and return every record."""
    kept = []
    for batch in batches:
        done = 0
        while (done := meter.feed(batch, done)) < len(batch.packets):
            kept.append(meter.drain().flows())
    while not meter.flush():
        kept.append(meter.drain().flows())
    kept.append(meter.drain().flows())
    return np.concatenate(kept)


def _sums(flows: Any) -> Any:
    return flows[(flows["orig_lo"] & MASK) == 0]


def test_one_record_a_second() -> None:
    """Of a flood the first 1,024 of each second stand alone, the rest are one record for each."""
    count = 50_000
    ts = np.linspace(0, 4_999_000_000, count).astype(np.int64)
    meter = Meter(SETTINGS, taps=False)
    flows = records(meter, segments(np.arange(count) + 0x50000000, VICTIM, 2, ts))
    sums = _sums(flows)
    assert len(flows) - len(sums) == 5 * 1024
    assert 1 <= len(sums) <= 7
    assert flows["orig_packets"].sum() == count
    assert flows["orig_bytes"].sum() == 40 * count
    assert meter.counters()["flows_collapsed"] == count - 5 * 1024 == sums["orig_packets"].sum()
    assert {STATES[one] for one in sums["state"]} == {"S0"}
    assert set(sums["resp_lo"] & MASK) == {VICTIM}
    assert set(sums["resp_port"]) == {443}
    assert (sums["orig_lo"] == 0xFFFF_0000_0000).all()


def test_cookies() -> None:
    """A server that answers each opening does not make a flood's connections count as real."""
    sources = np.arange(20_000) + 0x50000000
    ts = np.arange(20_000) * 10_000
    meter = Meter(SETTINGS, taps=False)
    flows = records(
        meter, segments(sources, VICTIM, 2, ts), answers(sources, VICTIM, 0x12, ts + 10**9)
    )
    sums = _sums(flows)
    assert len(flows) - len(sums) == 1024
    assert (sums["orig_packets"].sum(), sums["resp_packets"].sum()) == (18_976, 18_976)
    assert {STATES[one] for one in sums["state"]} == {"S1"}


def test_visitors_are_no_flood() -> None:
    """Connections that go on are records of their own however many a second there are."""
    sources = np.arange(20_000) + 0x50000000
    ts = np.arange(20_000) * 10_000
    flows = records(
        Meter(SETTINGS, taps=False),
        segments(sources, VICTIM, 0x02, ts),
        answers(sources, VICTIM, 0x12, ts + 10**9),
        segments(sources, VICTIM, 0x10, ts + 2 * 10**9),
    )
    assert len(flows) == 20_000
    assert (flows["orig_packets"] == 2).all()


def test_scan_is_no_flood() -> None:
    """One source that tries every port of a target leaves a record for each."""
    ports = np.arange(1, 30_001)
    sources = np.full(30_000, 0x50000001)
    flows = records(
        Meter(SETTINGS, taps=False), segments(sources, VICTIM, 2, ports * 1000, port=ports)
    )
    assert sorted(flows["resp_port"].tolist()) == ports.tolist()


def test_datagrams() -> None:
    """A flood of datagrams that nobody answers is one record a second, as one of openings is."""
    count = 30_000
    ts = np.linspace(0, 2_999_000_000, count).astype(np.int64)
    meter = Meter(SETTINGS, taps=False)
    flows = records(meter, datagrams(np.arange(count) + 0x50000000, VICTIM, ts))
    sums = _sums(flows)
    assert len(flows) - len(sums) == 3 * 1024
    assert 1 <= len(sums) <= 5
    assert flows["orig_packets"].sum() == count
    assert meter.counters()["flows_collapsed"] == sums["orig_packets"].sum()
    assert (set(sums["proto"]), set(sums["resp_lo"] & MASK)) == ({17}, {VICTIM})


def test_questions_that_are_answered_are_no_flood() -> None:
    """A server of datagrams that answers has a record for each of its clients."""
    sources = np.arange(20_000) + 0x50000000
    asked = datagrams(sources, VICTIM, np.arange(20_000) * 10_000)
    data, packets = answers(sources, VICTIM, 0, np.arange(20_000) * 10_000 + 10**9)
    data.reshape(-1, 40)[:, 9] = 17
    flows = records(Meter(SETTINGS, taps=False), asked, Batch(data, packets))
    assert len(flows) == 20_000
    assert (flows["resp_packets"] == 1).all()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_many_targets(kind: str) -> None:
    """A flood over more targets than are counted is summed for all of them; a scan in it is not."""
    count, tries = 60_000, 600
    rng = np.random.default_rng(3)
    sources = np.arange(count) + 0x50000000
    sources[100 :: count // tries] = 0x0B000001
    targets = 0x0C000000 + rng.integers(0, 1 << 20, count)
    ts = np.linspace(0, 1_999_000_000, count).astype(np.int64)
    batch = segments(sources, targets, 2, ts) if kind == "tcp" else datagrams(sources, targets, ts)
    meter = Meter(SETTINGS, taps=False)
    flows = records(meter, batch)
    sums = _sums(flows)
    assert 2 * 8192 <= len(flows) - len(sums) < 2 * 8192 + 1000
    assert 1 <= len(sums) <= 4
    assert flows["orig_packets"].sum() == count
    assert meter.counters()["flows_collapsed"] == sums["orig_packets"].sum()
    assert (sums["resp_lo"] == 0xFFFF_0000_0000).all()
    scanned = (flows["orig_lo"] & MASK) == 0x0B000001
    assert scanned.sum() == (sources == 0x0B000001).sum()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4000), st.booleans()), max_size=8))
def test_adds_up(waves: list[tuple[int, int, bool]]) -> None:
    """Whatever floods come at whatever targets in a full table: every packet is in one record."""
    meter = Meter(CaptureSettings(flows=1024), taps=False)
    first = 0x50000000
    batches = []
    for number, (target, count, spread) in enumerate(waves):
        ts = number * 10**9 + np.arange(count) * 1000
        port = np.arange(count) % 60_000 + 1 if spread else 443
        batches.append(segments(np.arange(count) + first, VICTIM + target, 2, ts, port=port))
        first += count
    flows = records(meter, *batches)
    counted = flows["orig_packets"].sum() + meter.counters()["flows_shed"]
    assert counted == sum(count for _, count, _ in waves)
    assert (meter.table.slots == 0).all()
