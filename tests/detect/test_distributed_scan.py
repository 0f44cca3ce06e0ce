"""Many sources that share one scan are told of as one; a crowd at one door and noise are not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.distributed_scan import DistributedScan
from ipwatchd.detect.port_scan import PortScan

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Batch = Callable[[Any], NDArray[np.void]]
    Row = Callable[..., dict[str, Any]]

HOST = "192.0.2.1"


def shared(syn: Row, sources: int, each: int) -> list[dict[str, Any]]:
    """Return a scan that sources share."""
    return [
        syn(orig=f"203.0.113.{source}", resp=HOST, resp_port=1 + source * each + n,
            start=1000.0 + source, direction=1)
        for source in range(sources) for n in range(each)
    ]  # fmt: skip


def test_sources_that_share_the_ports_are_one_finding(batch: Batch, syn: Row) -> None:
    """Forty sources with four ports each: the host is the subject, nobody alone is blamed."""
    rows = shared(syn, 40, 4)
    assert PortScan(DetectSettings()).flows(batch(rows), 1100.0) == []
    [finding] = DistributedScan(DetectSettings()).flows(batch(rows), 1100.0)
    assert finding.subject == HOST
    assert finding.title == f"40 sources together probed 160 tcp ports of {HOST}"
    assert finding.evidence["sources"][0] == "203.0.113.0"


def test_row_by_row_it_is_found_as_well(batch: Batch, syn: Row) -> None:
    """A live source hands over flows one by one."""
    detector, found = DistributedScan(DetectSettings()), []
    for row in shared(syn, 40, 4):
        found += detector.flows(batch([row]), row["start"])
    assert {one.subject for one in found} == {HOST}


def test_a_crowd_at_a_dead_server_is_none(batch: Batch, syn: Row) -> None:
    """Many sources, one port: a server that is down."""
    rows = [syn(orig=f"203.0.{n // 200}.{n % 200}", resp=HOST, resp_port=443) for n in range(2000)]
    assert DistributedScan(DetectSettings()).flows(batch(rows), 1000.0) == []


def test_one_scanner_and_the_noise_of_the_internet_are_none(batch: Batch, syn: Row) -> None:
    """A scan by one source is port-scan's; a probe each five seconds to thirty ports is noise."""
    dice = random.Random(5)
    ports = dice.sample(range(1, 10_000), 30)
    rows = [syn(orig="198.51.100.9", resp=HOST, resp_port=n) for n in range(1, 900)]
    rows += [
        syn(orig=f"203.0.113.{dice.randrange(250)}", resp=HOST, resp_port=dice.choice(ports),
            start=1000.0 + 5 * n)
        for n in range(700)
    ]  # fmt: skip
    assert DistributedScan(DetectSettings()).flows(batch(rows), 5000.0) == []


def test_a_sweep_of_many_hosts_costs_no_records(batch: Batch, syn: Row) -> None:
    """A responder gets a record with its second source or port."""
    detector = DistributedScan(DetectSettings())
    rows = [syn(orig="203.0.113.1", resp=f"10.0.{n >> 8}.{n & 255}", resp_port=22)
            for n in range(5000)]  # fmt: skip
    detector.flows(batch(rows), 1000.0)
    assert detector.counters()["hosts"] == 0
