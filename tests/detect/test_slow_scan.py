"""Slow scans over hours are found and told once; peers, dead servers and fast scans are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.detect.slow_scan import SlowScan

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.records.finding import Finding

    Batch = Callable[[Any], NDArray[np.void]]
    Row = Callable[..., dict[str, Any]]

BAD, HOST = "203.0.113.66", "192.0.2.1"


def day(batch: Batch, rows: list[dict[str, Any]]) -> list[Finding]:
    """Give rows to a detector hour by hour; return what it finds."""
    detector, found = SlowScan(DetectSettings()), []
    for hour in range(25):
        now = 1e6 + hour * 3600
        part = [row for row in rows if now - 3600 <= row["start"] < now]
        found += detector.flows(batch(part), now)
    return found


def test_six_ports_an_hour_are_a_scan_by_the_end_of_the_day(batch: Batch, syn: Row) -> None:
    """Far under what port-scan tells; the day's sum is a scan of one host, told of with hours."""
    rows = [
        syn(orig=BAD, resp=HOST, resp_port=20 + n, start=1e6 + n * 600, direction=1)
        for n in range(120)
    ]
    found = day(batch, rows)
    assert {one.key for one in found} == {f"slow-scan|{BAD}"}
    few = [one for one in found if one.threshold < 40]
    assert {one.severity for one in few} == {"info"}
    assert found[0].value < 20
    whole = found[len(few)]
    assert (whole.value, whole.threshold, whole.severity) == (40, 40, "low")
    assert whole.evidence["hours"] >= 4
    assert found[0].targets == (HOST,)
    assert found[0].first_seen == 1e6
    assert PortScan(DetectSettings()).flows(batch(rows), 1e6 + 86_400) == []


def test_one_flow_a_batch_is_the_same(batch: Batch, syn: Row) -> None:
    """A live source hands over flows one by one."""
    detector, found = SlowScan(DetectSettings()), []
    for n in range(60):
        row = syn(orig="10.0.0.9", resp=f"10.0.9.{n}", resp_port=445, start=n * 600, direction=3)
        found += detector.flows(batch([row]), n * 600.0)
    assert found[0].severity == "high"
    assert found[0].title == "10.0.0.9 probed 1 port of 40 hosts slowly, in 8 hours"


def test_what_was_fast_is_left_to_port_scan(batch: Batch, syn: Row) -> None:
    """A burst, and some more of it hours later, is one thing and not two."""
    rows = [syn(orig=BAD, resp=HOST, resp_port=n, start=1e6 + n) for n in range(1, 61)]
    rows += [syn(orig=BAD, resp=HOST, resp_port=90 + n, start=1e6 + n * 3600) for n in range(1, 9)]
    assert day(batch, rows) == []


def test_dead_servers_and_lost_peers_are_no_scan(batch: Batch, syn: Row) -> None:
    """One dead server all day; peers gone at their usual port; failures among many successes."""
    rows = [syn(orig="10.0.0.1", resp=HOST, resp_port=443, start=1e6 + n * 60) for n in range(1440)]
    rows += [
        syn(orig="10.0.0.2", resp=f"198.51.100.{n}", resp_port=6881, start=1e6 + n * 600)
        for n in range(120)
    ]
    for n in range(140):
        one = {"orig": "10.0.0.3", "resp": f"10.9.0.{n}", "resp_port": 161, "start": 1e6 + n * 600}
        rows.append(one if n % 2 else syn(**one))
    assert day(batch, rows) == []


def test_forged_sources_cost_no_records(batch: Batch, syn: Row) -> None:
    """A new source with each packet never gets a record."""
    detector = SlowScan(DetectSettings())
    rows = [syn(orig=f"203.0.{n // 250}.{n % 250}", resp=HOST, resp_port=n) for n in range(5000)]
    detector.flows(batch(rows), 1001.0)
    assert detector.counters()["sources"] == 0
