"""The porch: who tried few targets costs no record, and what is found stays what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.config.detectors import DistributedScanSettings
from ipwatchd.config.settings import DetectSettings, PortScanSettings
from ipwatchd.detect import porch as room
from ipwatchd.detect.distributed_scan import DistributedScan
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.flow import STATES, empty_flows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.records.finding import Finding

Try = tuple[int, int, int, bool, int]

TRIES = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 3), st.integers(1, 9), st.booleans(),
        st.sampled_from([0, 1, 5, 30, 200, 400, 2000]),
    ),
    min_size=1, max_size=90,
)  # fmt: skip
"""Source, host, port, whether it was answered, seconds since the one before."""


def flows_of(tries: list[Try]) -> NDArray[np.void]:
    """Return a flow for each try."""
    flows = empty_flows(len(tries))
    source, host, port, answered, gap = np.array(tries, np.int64).reshape(-1, 5).T
    flows["orig_lo"], flows["resp_lo"] = V4_PREFIX | 9 << 24 | source, V4_PREFIX | 10 << 24 | host
    flows["resp_port"], flows["orig_port"], flows["proto"] = port, 40_000, 6
    flows["start"] = flows["end"] = (10_000 + np.cumsum(gap)) * 10**9
    talks = answered.astype(np.bool_)
    flows["state"] = np.where(talks, STATES.index("SF"), STATES.index("S0"))
    flows["orig_flags"] = np.where(talks, 27, 2)
    flows["orig_packets"], flows["orig_bytes"] = np.where(talks, 9, 1), np.where(talks, 4000, 44)
    flows["resp_packets"], flows["resp_bytes"] = np.where(talks, 9, 0), np.where(talks, 4000, 0)
    return flows


def told(detector: PortScan | DistributedScan, flows: NDArray[np.void], size: int) -> list[Finding]:
    """Return what a detector finds in flows given `size` at a time."""
    found = []
    for first in range(0, len(flows), size):
        part = flows[first : first + size]
        found += detector.flows(part, int(part["end"].max()) / 1e9)
    return found


@given(TRIES, st.integers(1, 40), st.integers(2, 8), st.integers(1, 8))
@settings(max_examples=80, deadline=None)
def test_findings_are_those_of_records(tries: list[Try], size: int, least: int, few: int) -> None:
    """With a porch of any depth and with none: the same findings, word for word, at each batch."""
    given_settings = DetectSettings(port_scan=PortScanSettings(targets=least))
    with_porch, without = PortScan(given_settings), PortScan(given_settings)
    window, quiet = with_porch._window, with_porch._quiet
    with_porch._porch = room.Porch(64, min(few, least - 1), window, quiet)
    without._porch = room.Porch(64, 0, window, quiet)
    flows = flows_of(tries)
    assert told(with_porch, flows, size) == told(without, flows, size)


CROWDS = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 1), st.integers(1, 9), st.just(False),
        st.sampled_from([0, 1, 5, 30, 200, 700, 2000]),
    ),
    min_size=1, max_size=90,
)  # fmt: skip


@given(CROWDS, st.integers(1, 40), st.integers(2, 6), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_hosts_that_many_tried_are_told_of_the_same(
    tries: list[Try], size: int, ports: int, few: int
) -> None:
    """Of distributed scans too the porch changes no word."""
    lines = DetectSettings(distributed_scan=DistributedScanSettings(ports=ports, sources=2))
    with_porch, without = DistributedScan(lines), DistributedScan(lines)
    window = with_porch._window
    with_porch._porch = room.Porch(64, min(few, ports - 1), window, 2 * window)
    without._porch = room.Porch(64, 0, window, 2 * window)
    flows = flows_of(tries)
    assert told(with_porch, flows, size) == told(without, flows, size)


@pytest.mark.parametrize("visits", [2, 3, 6])
def test_forged_sources_that_come_again_make_no_records(visits: int) -> None:
    """As many sources as the porch has places, each at a few targets: not one record is made."""
    detector = PortScan(DetectSettings(sources=1 << 12))
    rows = 1 << 11
    for visit in range(visits):
        flows = flows_of([(source, 1, 1 + visit, False, 0) for source in range(rows)])
        flows["start"] = flows["end"] = flows["end"] + visit * 10**9
        assert detector.flows(flows, 10_000.0 + visit) == []
    counters = detector.counters()
    assert counters["sources"] < rows // 10
    assert counters["one_target_flows"] >= rows * 0.8


def test_who_makes_room_is_counted() -> None:
    """More sources than places: all places are taken, and status says how many had none."""
    detector = PortScan(DetectSettings(sources=64))
    tries = [(source, 1, port, False, 0) for port in (1, 2) for source in range(4000)]
    detector.flows(flows_of(tries), 10_000.0)
    assert detector.counters()["sources_shed"] == 4000 - 64
    assert detector.counters()["sources"] == 0
