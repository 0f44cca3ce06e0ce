"""An outage of the line is told from scans: everybody fails then, and nobody talks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.detect.reach import Reach
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Batch = Callable[[Any], NDArray[np.void]]
    Row = Callable[..., dict[str, Any]]

SECOND = 1_000_000_000
NOBODY = np.zeros(0, np.uint64)


def some(count: int, first: int = 0) -> NDArray[np.uint64]:
    """Return the hashes of so many sources."""
    return np.arange(first, first + count, dtype=np.uint64) << np.uint64(52)


def test_many_that_fail_and_none_that_talks_are_an_outage() -> None:
    """Few, or with others who talk, are none; what was a minute ago is over."""
    reach = Reach()
    reach.note(some(30), NOBODY, 100 * SECOND)
    assert reach.lost()
    reach.note(NOBODY, some(20, 500), 110 * SECOND)
    assert not reach.lost()
    reach.note(some(30), NOBODY, 145 * SECOND)
    assert not reach.lost()
    reach.note(some(30), NOBODY, 176 * SECOND)
    assert reach.lost()
    reach.note(some(3), NOBODY, 300 * SECOND)
    assert not reach.lost()


def test_who_sends_in_the_names_of_all_does_not_make_an_outage() -> None:
    """Forty talk all day; then thousands seem to fail while the forty go on talking."""
    reach = Reach()
    for turn in range(40):
        reach.note(NOBODY, some(40), turn * 31 * SECOND)
    reach.note(some(3000), some(40), 41 * 31 * SECOND)
    assert not reach.lost()
    for turn in range(42, 46):
        reach.note(some(300), NOBODY, turn * 31 * SECOND)
    assert reach.lost()


def outage(syn: Row, agent: int, start: float) -> list[dict[str, Any]]:
    """Return what one agent's programs try while nothing answers."""
    return [
        syn(orig=f"10.0.0.{agent}", resp=f"198.51.{agent}.{n}", resp_port=443,
            direction=Direction.OUTGOING, start=start + n)
        for n in range(30)
    ]  # fmt: skip


def test_no_agent_is_a_scanner_when_the_line_is_down(batch: Batch, syn: Row) -> None:
    """Forty agents, thirty servers each; the same of one agent among others who talk is a scan."""
    detector = PortScan(DetectSettings())
    rows = [row for agent in range(40) for row in outage(syn, agent, 1000.0)]
    rows.sort(key=lambda row: float(row["start"]))
    for first in range(0, len(rows), 100):
        assert detector.flows(batch(rows[first : first + 100]), 1030.0) == []
    talk = [
        {"orig": f"10.0.0.{n}", "resp": "198.51.100.7", "resp_port": 443, "start": 2000.0,
         "direction": Direction.OUTGOING}
        for n in range(40)
    ]  # fmt: skip
    [finding] = detector.flows(batch(outage(syn, 77, 2000.0) + talk), 2040.0)
    assert finding.subject == "10.0.0.77"
