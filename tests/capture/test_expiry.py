"""When flows end, and that no record is lost or counted twice on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipwatchd.capture.expiry import limits_of
from ipwatchd.capture.export import flows_of
from ipwatchd.capture.loop import run
from ipwatchd.capture.meter import Meter
from ipwatchd.capture.packet import HEADER, PACKET, Batch
from ipwatchd.capture.table import make_table
from ipwatchd.config import CaptureSettings


def test_idle_udp(wire: Any) -> None:
    """A silence longer than udp_timeout ends a flow; the next packet begins another."""
    for at in (0, 30, 95):
        wire.udp(at)
    assert wire.flows()["orig_packets"].tolist() == [2, 1]


def test_attempts_end_soon(wire: Any) -> None:
    """A SYN without an answer ends after tcp_attempt_timeout, an open connection does not."""
    wire.tcp(0, "S", client=1000)
    wire.tcp(0, "S", client=2000)
    wire.tcp(0.1, "SA", client=2000, back=True)
    wire.tcp(0.2, "A", client=2000)
    wire.udp(20)
    wire.udp(21)
    first = wire.flows()[0]
    assert (first["orig_port"], first["orig_packets"]) == (1000, 1)


def test_active_timeout(wire: Any) -> None:
    """A long flow gives a partial record each active_timeout; the parts' sums are the whole."""
    for second in range(0, 200, 5):
        wire.udp(second, data=b"x" * 10)
        wire.udp(second + 1, back=True)
    flows = wire.flows(active_timeout=60.0)
    assert flows["partial"].tolist() == [1] * (len(flows) - 1) + [0]
    assert len(flows) >= 3
    assert flows["orig_packets"].sum() == 40
    assert flows["resp_packets"].sum() == 40
    assert flows["orig_bytes"].sum() == 40 * 38
    assert (flows["start"][1:] >= flows["end"][:-1]).all()


def test_time_goes_back(wire: Any) -> None:
    """Packets of an earlier hour, as in joined files, expire by their own clock."""
    wire.udp(100_000, client=1)
    for second in range(100):
        wire.udp(second, client=2 + second)
    flows = wire.flows(udp_timeout=5.0)
    assert len(flows) == 101
    # All but the last seconds' flows had left before the file ended.
    assert wire.capture is not None
    assert wire.capture.report.flows == 101


def test_one_stamp_from_the_future(wire: Any) -> None:
    """One wrong time stamp delays nothing: the flows around it end when they are due."""
    for second in range(50):
        wire.udp(second, client=100 + second)
        if second == 10:
            wire.udp(4_000_000, client=7)
    flows = wire.flows(udp_timeout=2.0)
    assert len(flows) == 51
    order = [int(port) for port in flows["orig_port"]]
    assert order.index(7) < order.index(149)


def _udp(client: int) -> bytes:
    ports = client.to_bytes(2, "big") + b"\x27\x0f"
    ip = b"\x45\0\0\x1c" + b"\0" * 5 + b"\x11\0\0" + b"\x0a\0\0\x01" + b"\x0a\0\0\x02"
    return ip + ports + b"\0\x08\0\0"


def _batch(events: list[tuple[int, int]]) -> Batch:
    """Return one raw-IP UDP packet for each (ns, client port)."""
    packets = np.zeros(len(events), PACKET)
    data = b"".join(_udp(client) for _, client in events)
    packets["ts"] = [ns for ns, _ in events]
    packets["at"] = np.arange(len(events)) * 28
    packets["captured"] = packets["wire"] = 28
    packets["link"] = 101
    return Batch(np.array(np.frombuffer(data, np.uint8)), packets)


TIMES = st.integers(0, 400).map(lambda second: second * 1_000_000_000)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(TIMES, st.integers(1, 40)), max_size=300))
def test_every_packet_once(events: list[tuple[int, int]]) -> None:
    """Whatever the times, with an output of four rows: each packet is in exactly one record."""
    limits = CaptureSettings(flows=1024, udp_timeout=3.0, active_timeout=7.0)
    table = make_table(limits, out_rows=4, taps=0, tap_bytes=0, limits=limits_of(limits))
    meter = Meter(limits, taps=False)
    meter.table = table
    meter._state = table.state[0]
    batch, header = _batch(events), np.zeros(1, HEADER)
    rows = []
    done = 0
    while done < len(events):
        done = run(table, batch.data, batch.packets, done, 0, header[0])
        rows.append(meter.drain().rows)
    while not meter.flush():
        rows.append(meter.drain().rows)
    rows.append(meter.drain().rows)
    flows = flows_of(np.concatenate(rows))
    counted: dict[int, int] = {}
    for flow in flows:
        port = int(flow["orig_port"])
        counted[port] = counted.get(port, 0) + int(flow["orig_packets"])
    wanted: dict[int, int] = {}
    for _, port in events:
        wanted[port] = wanted.get(port, 0) + 1
    assert counted == wanted
    assert (table.slots == 0).all()
