"""What forged sources raise is bounded and summed; what nobody can forge is never summed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.crowd import Crowd
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.records.finding import Finding
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Batch = Callable[[Any], NDArray[np.void]]
    Row = Callable[..., dict[str, Any]]

QUIET = 900.0


def scan(
    source: int, *, at: float = 1000.0, victim: str = "10.0.0.5", rule: str = "port-scan",
    **evidence: Any,
) -> Finding:  # fmt: skip
    """Return a finding of a source."""
    subject = f"198.51.{source >> 8}.{source & 255}"
    return Finding(
        rule=rule, subject=subject, key=f"{rule}|{subject}", title="t", first_seen=at - 1,
        last_seen=at, count=10, severity="low", classification="scanner", score=0.5, value=10,
        threshold=9, targets=(victim,) if victim else ("10.0.0.5", "10.0.0.6"),
        evidence={"direction": "incoming"} | evidence,
    )  # fmt: skip


def test_beyond_some_sources_at_one_victim_the_rest_is_one_finding() -> None:
    """2,000 sources: the first 32, and one that stands for 1,968 and has nobody's address."""
    *alone, summed = Crowd(QUIET).passed(scan(n) for n in range(2000))
    assert [one.subject for one in alone] == [scan(n).subject for n in range(32)]
    assert (summed.rule, summed.subject, summed.key) == (
        "port-scan", "site", "port-scan|crowd|10.0.0.5",
    )  # fmt: skip
    assert summed.evidence["left_out"] >= 1024  # told again when it has doubled
    assert len(summed.evidence["subjects"]) == 20
    assert "more than 32 sources" in summed.title


def test_a_true_one_elsewhere_or_known_before_is_told() -> None:
    """Another victim has room; who was told of before goes on growing."""
    crowd = Crowd(QUIET)
    known = scan(1)
    crowd.passed(scan(n) for n in range(500))
    assert crowd.passed([known]) == [known]
    other = scan(7000, victim="10.0.0.9")
    assert crowd.passed([other]) == [other]
    inside = scan(7001, direction="internal")
    assert crowd.passed([inside]) == [inside]


def test_a_subject_left_out_is_counted_once() -> None:
    """The same 100 again and again are 68 left out."""
    crowd = Crowd(QUIET)
    for again in range(5):
        crowd.passed(scan(n, at=1000.0 + again) for n in range(100))
    assert crowd.summed == 68


def test_an_attack_of_hours_stays_one_and_quiet_ends_it() -> None:
    """New sources each minute for six hours: 32 and their sum; a day on a source is told."""
    crowd, keys = Crowd(QUIET), set()
    for n in range(3600):
        keys |= {one.key for one in crowd.passed([scan(n, at=n * 6.0)])}
    assert len(keys) == 33
    later = scan(9000, at=100_000.0)
    assert crowd.passed([later]) == [later]


def test_many_victims_are_bounded_together() -> None:
    """One source for each of 1,000 victims: 128 and their sum, which names no victim."""
    found = Crowd(QUIET).passed(scan(n, victim=f"10.1.{n >> 8}.{n & 255}") for n in range(1000))
    assert len(found) == 129
    assert (found[-1].key, found[-1].targets) == ("port-scan|crowd|", ())


def test_a_flood_of_one_victim_is_told_of_four_ports() -> None:
    """Each further port of it is summed."""
    found = Crowd(QUIET).passed(
        Finding(
            rule="flood", subject="10.0.0.5", key=f"flood|10.0.0.5|syn|{port}", title="t",
            first_seen=1.0, last_seen=2.0, count=1, severity="high", classification="ddos",
            score=0.5, value=1, threshold=1, targets=("10.0.0.5",),
            evidence={"direction": "incoming"},
        )
        for port in range(1, 26)
    )  # fmt: skip
    assert [one.key for one in found[4:]] == ["flood|crowd|10.0.0.5"]
    assert (found[-1].severity, found[-1].classification) == ("high", "ddos")


@pytest.mark.parametrize(
    ("rule", "evidence", "raised"),
    [
        ("password-guessing", {"services": ["sshd"]}, 300),
        ("password-guessing", {"services": ["ssh"], "from": "wire"}, 300),
        ("password-guessing", {"services": ["sip"], "from": "wire"}, 33),
        ("unusual-upload", {}, 300),
    ],
)
def test_what_takes_a_connection_is_never_summed(
    rule: str, evidence: dict[str, Any], raised: int
) -> None:
    """300 machines of a botnet that guess at SSH are 300 to deny; forged REGISTERs are not."""
    assert len(Crowd(QUIET).passed(scan(n, rule=rule, **evidence) for n in range(300))) == raised


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30), st.booleans()), max_size=400))
@settings(max_examples=100, deadline=None)
def test_nothing_is_lost_between_told_and_counted(some: list[tuple[int, int, bool]]) -> None:
    """Each key is told of or counted as left out, exactly once, in any order of findings."""
    crowd = Crowd(1e9)
    found = [scan(n, victim=f"10.0.0.{v}" if one else "") for n, v, one in some]
    told = {one.key for one in crowd.passed(found) if "|crowd|" not in one.key}
    assert len(told) + crowd.summed == len({one.key for one in found})


def test_forged_sources_of_ten_ports_raise_few_findings(batch: Batch, syn: Row) -> None:
    """As packets make them: 1,000 sources that knock at 25 ports of one host each."""
    rows = [
        syn(orig=f"198.51.{n >> 8}.{n & 255}", resp="10.0.0.5", resp_port=20 + port,
            direction=Direction.INCOMING)
        for port in range(25) for n in range(1000)
    ]  # fmt: skip
    found = PortScan(DetectSettings()).flows(batch(rows), 1000.0)
    assert len(found) == 1000
    assert len(Crowd(QUIET).passed(found)) == 33
