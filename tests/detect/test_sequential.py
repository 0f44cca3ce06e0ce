"""Scans of a few targets are told by a sequential test; monitors, outages and luck are not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.config.settings import DetectSettings, PortScanSettings
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.detect.sequential import Few, line
from ipwatchd.detect.slow_scan import SlowScan
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Batch = Callable[[Any], NDArray[np.void]]
    Row = Callable[..., dict[str, Any]]

BAD, HOST = "198.51.100.66", "10.0.0.5"
IN, WITHIN, OUT = Direction.INCOMING, Direction.INTERNAL, Direction.OUTGOING


def test_the_line_follows_from_the_error() -> None:
    """Wald's bound over the four that a failure weighs; none where no error is allowed."""
    assert [line(chance) for chance in (0.01, 0.0001, 0.00001, 0.0)] == [4, 7, 9, 0]


def ports(syn: Row, count: int, **more: Any) -> list[dict[str, Any]]:
    """Return failures at so many ports of one host."""
    return [
        syn(**({"orig": BAD, "resp": HOST, "resp_port": 20 + n, "direction": IN} | more))
        for n in range(count)
    ]


@pytest.mark.parametrize(("direction", "severity"), [(IN, "info"), (WITHIN, "medium")])
def test_ten_ports_of_a_host_are_told(
    batch: Batch, syn: Row, direction: int, severity: str
) -> None:
    """As nmap --top-ports 10 does; eight are not enough, and a batch of each flow is the same."""
    rows = ports(syn, 10, direction=direction)
    [finding] = PortScan(DetectSettings()).flows(batch(rows), 1000.0)
    assert (finding.rule, finding.subject, finding.severity) == ("port-scan", BAD, severity)
    assert (finding.value, finding.threshold) == (10, 9)
    assert finding.evidence["test"] == "sequential"
    assert PortScan(DetectSettings()).flows(batch(rows[:8]), 1000.0) == []
    live = PortScan(DetectSettings())
    found = [one for row in rows for one in live.flows(batch([row]), 1000.0)]
    assert {one.key for one in found} == {finding.key}


def test_what_is_switched_off_or_goes_out_is_not_told(batch: Batch, syn: Row) -> None:
    """When the line to the internet is down, everybody's contacts fail."""
    off = DetectSettings(port_scan=PortScanSettings(false_alarm=0))
    assert PortScan(off).flows(batch(ports(syn, 15)), 1000.0) == []
    assert PortScan(DetectSettings()).flows(batch(ports(syn, 15, direction=OUT)), 1000.0) == []


def test_a_server_that_is_down_is_no_target(batch: Batch, syn: Row) -> None:
    """A dozen services of a directory server answer by day; one night all of them are gone."""
    detector = PortScan(DetectSettings())
    by_day = [
        {"orig": "10.0.0.7", "resp": HOST, "resp_port": 20 + n, "direction": WITHIN}
        for n in range(12)
    ]
    assert detector.flows(batch(by_day), 1000.0) == []
    assert detector.flows(batch(ports(syn, 12, direction=WITHIN, start=40_000.0)), 40_001.0) == []


def test_a_monitor_of_dead_machines_is_no_scan(batch: Batch, syn: Row) -> None:
    """Fifteen machines that are gone, asked each minute, from inside or by a partner."""
    for direction in (IN, WITHIN):
        detector = PortScan(DetectSettings())
        for minute in range(60):
            rows = [
                syn(orig=BAD, resp=f"10.0.1.{n % 7}", resp_port=443 + n // 7, direction=direction,
                    start=1000.0 + minute * 60 + again)
                for n in range(14) for again in range(5)
            ]  # fmt: skip
            assert detector.flows(batch(rows), 1000.0 + minute * 60) == []


def test_successes_count_against_failures(batch: Batch, syn: Row) -> None:
    """Eleven failures and three that talked are eight more."""
    talked = [{"orig": BAD, "resp": HOST, "resp_port": 1000 + n, "direction": IN} for n in range(3)]
    assert PortScan(DetectSettings()).flows(batch(ports(syn, 11) + talked), 1000.0) == []
    assert PortScan(DetectSettings()).flows(batch(ports(syn, 13) + talked), 1000.0)


def test_nine_hosts_within_hours_are_a_slow_scan(batch: Batch, syn: Row) -> None:
    """One port of hosts all over the house, one each half hour; of the first hour one counts."""
    detector, found = SlowScan(DetectSettings()), []
    for n in range(12):
        row = syn(orig=BAD, resp=f"10.{n}.0.9", resp_port=445, direction=IN, start=n * 1800.0)
        found += detector.flows(batch([row]), n * 1800.0)
    assert found
    assert (found[0].subject, found[0].severity, found[0].threshold) == (BAD, "info", 9)


def test_forged_sources_do_not_bury_what_is_true(batch: Batch, syn: Row) -> None:
    """Three hundred sources that knock ten times each: some are told of, the rest is counted."""
    rows = [row for n in range(300) for row in ports(syn, 10, orig=f"198.51.{n // 250}.{n % 250}")]
    detector = PortScan(DetectSettings())
    found = {one.key for one in detector.flows(batch(rows), 1000.0)}
    assert len(found) == 64
    assert detector.counters()["few_targets_shed"] == 236
    later = ports(syn, 10, start=2000.0)
    assert {one.subject for one in detector.flows(batch(later), 2000.0)} == {BAD}


def test_benign_luck_stays_below_the_error() -> None:
    """Of 20,000 sources whose contacts fail by chance, one in five, none is told of."""
    dice = random.Random(4)
    few, told = Few(0.00001), 0
    for _ in range(20_000):
        failed, talked = set(), set()
        for n in range(dice.randrange(1, 40)):
            (failed if dice.random() < 0.2 else talked).add(77 << 24 | 6 << 16 | n)
        told += few.shape(failed, talked, set(), len(failed), "incoming", 1) is not None
    assert told == 0
