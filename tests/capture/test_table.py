"""The flow table against a dictionary, and what a flood can do to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.expiry import limits_of
from ipwatchd.capture.meter import Meter
from ipwatchd.capture.packet import PACKET, Batch
from ipwatchd.capture.table import ROW, find, flow_hash, insert, make_table, remove
from ipwatchd.config import CaptureSettings
from ipwatchd.records.flow import STATES

SETTINGS = CaptureSettings(flows=1024)
ZERO, TCP = np.uint64(0), np.uint64(6)


def _digest(table: Any, lo: int) -> Any:
    # Few distinct hashes, so that chains of colliding slots form and are shifted back.
    digest = flow_hash(table.secrets, ZERO, np.uint64(lo), ZERO, ZERO, ZERO, TCP)
    return np.uint64(int(digest) % 7)


def _find(table: Any, lo: int) -> int:
    return find(table, _digest(table, lo), ZERO, np.uint64(lo), ZERO, ZERO, ZERO, TCP)


def test_row_is_small() -> None:
    """A live flow takes 88 bytes, and 12 in the index and the deadlines."""
    assert ROW.itemsize == 88
    table = make_table(SETTINGS, out_rows=4, taps=0, tap_bytes=0, limits=limits_of(SETTINGS))
    assert table.slots.nbytes + table.due.nbytes == 12 * SETTINGS.flows


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=300))
def test_like_a_set(steps: list[tuple[bool, int]]) -> None:
    """Rows are found after any inserts and removals, dense and without a trace of the others."""
    table = make_table(SETTINGS, out_rows=4, taps=0, tap_bytes=0, limits=limits_of(SETTINGS))
    held: set[int] = set()
    for add, lo in steps:
        if add and lo not in held:
            place = insert(table, _digest(table, lo))
            table.rows[place]["a_lo"] = lo
            table.rows[place]["proto"] = 6
            held.add(lo)
        elif not add and lo in held:
            remove(table, _find(table, lo))
            held.discard(lo)
        for one in range(1, 61):
            place = _find(table, one)
            assert (place >= 0) == (one in held)
            assert place < 0 or int(table.rows[place]["a_lo"]) == one
    assert int(table.state[0]["live"]) == len(held) == np.count_nonzero(table.slots)


def _segments(sources: Any, flags: Any, ts: int, *, back: bool = False) -> Batch:
    """Return one TCP segment from (or to) each source address."""
    count = len(sources)
    data = np.zeros((count, 40), np.uint8)
    data[:, 0], data[:, 3], data[:, 9], data[:, 32] = 0x45, 40, 6, 0x50
    here = np.asarray(sources, np.uint32).astype(">u4").view(np.uint8).reshape(count, 4)
    there = np.frombuffer(b"\x0a\x00\x00\x01", np.uint8)
    data[:, 12:16], data[:, 16:20] = (there, here) if back else (here, there)
    ports = np.frombuffer(b"\x10\x00\x01\xbb", np.uint8)
    data[:, 20:24] = np.roll(ports, 2) if back else ports
    data[:, 33] = flags
    packets = np.zeros(count, PACKET)
    packets["ts"] = ts + np.arange(count)
    packets["at"] = np.arange(count) * 40
    packets["captured"] = packets["wire"] = 40
    packets["link"] = 101
    return Batch(data.reshape(-1), packets)


def _feed(meter: Meter, batch: Batch, kept: list[Any]) -> None:
    done = 0
    while (done := meter.feed(batch, done)) < len(batch.packets):
        kept.append(meter.drain().flows())


def test_flood_leaves_real_connections() -> None:
    """A SYN flood of 20 times the table's size ends no answered connection and is all counted.

    All but the first of its second are in one record.
    """
    meter = Meter(SETTINGS, taps=False)
    real = np.arange(500) + 0x0B000001
    kept: list[Any] = []
    _feed(meter, _segments(real, 0x02, 10**18), kept)
    _feed(meter, _segments(real, 0x12, 10**18 + 10**6, back=True), kept)
    _feed(meter, _segments(real, 0x10, 10**18 + 2 * 10**6), kept)
    sources = np.random.default_rng(1).permutation(1 << 20)[:20_000] + 0x50000000
    for number, part in enumerate(np.split(sources, 20)):
        _feed(meter, _segments(part, 0x02, 10**18 + (3 + number) * 10**6), kept)
    assert meter.counters()["live"] <= 1024
    _feed(meter, _segments(real, 0x11, 10**18 + 10**9), kept)
    while not meter.flush():
        kept.append(meter.drain().flows())
    kept.append(meter.drain().flows())
    flows = np.concatenate(kept)
    mine = np.isin(flows["orig_lo"] & np.uint64(0xFFFFFFFF), real)
    assert (flows["orig_packets"][mine] == 3).all()
    assert mine.sum() == 500
    counters = meter.counters()
    flood = flows[~mine]
    assert flood["orig_packets"].sum() + counters["flows_shed"] == 20_000
    assert len(flood) < 1100
    assert counters["flows_collapsed"] > 18_000
    assert counters["flows_evicted"] > 10_000
    assert {STATES[state] for state in flood["state"]} == {"S0"}
