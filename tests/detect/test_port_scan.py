"""Scans are found whatever their shape; trouble that only looks like one is not."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.event import Dns
from ipwatchd.records.flow import DIRECTIONS, STATES, empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Batch = Callable[[Any], NDArray[np.void]]
    Row = Callable[..., dict[str, Any]]

BAD = "203.0.113.66"


def test_a_vertical_scan_is_named_with_ports_and_evidence(batch: Batch, syn: Row) -> None:
    """Many ports of one host: one finding, which says what was tried and why it crossed."""
    rows = [
        syn(orig=BAD, resp="192.0.2.1", resp_port=port, start=1000 + port) for port in range(1, 31)
    ]
    detector = PortScan(DetectSettings())
    [finding] = detector.flows(batch(rows), 1031.0)
    assert finding.rule == "port-scan"
    assert finding.key == f"port-scan|{BAD}"
    assert finding.title == f"{BAD} probed 30 tcp ports of one host"
    assert (finding.value, finding.threshold, finding.count) == (30, 20, 30)
    assert finding.classification == "scanner"
    assert finding.targets == ("192.0.2.1",)
    assert finding.evidence["ports"] == list(range(1, 21))
    assert (finding.first_seen, finding.last_seen) == (1001.0, 1030.0)


def test_a_horizontal_scan_is_named_with_its_port(batch: Batch, syn: Row) -> None:
    """One port of many hosts, refused instead of silent: the same."""
    rows = [
        syn(orig=BAD, resp=f"192.0.2.{low}", resp_port=445, state="REJ", resp_packets=1,
            resp_bytes=40, resp_flags=20)
        for low in range(1, 31)
    ]  # fmt: skip
    [finding] = PortScan(DetectSettings()).flows(batch(rows), 1000.0)
    assert finding.title == f"{BAD} probed port 445/tcp of 30 hosts"
    assert len(finding.targets) == 20


def test_a_block_scan_over_both_is_found(batch: Batch, syn: Row) -> None:
    """Six ports of six hosts are no line of twenty, and yet a scan."""
    rows = [
        syn(orig=BAD, resp=f"2001:db8::{low:x}", resp_port=port)
        for low in range(1, 7)
        for port in (22, 80, 443, 445, 3389, 8080)
    ]
    rows = [row | {"orig": "2001:db8:bad::1"} for row in rows]
    [finding] = PortScan(DetectSettings()).flows(batch(rows), 1000.0)
    assert finding.evidence["shape"] == "block"
    assert finding.title == "2001:db8:bad::1 probed 6 tcp ports of 6 hosts"


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "OTH", "orig_flags": 1},
        {
            "state": "RSTR",
            "orig_flags": 0x29,
            "resp_packets": 1,
            "resp_bytes": 40,
            "resp_flags": 20,
        },
        {"state": "RSTR", "orig_flags": 0, "resp_packets": 1, "resp_bytes": 40, "resp_flags": 20},
        {"state": "SH", "orig_flags": 3},
        {"state": "RSTOS0", "orig_flags": 6},
        {"state": "RSTO", "orig_flags": 6, "orig_packets": 2, "resp_packets": 1, "resp_flags": 18},
        {"proto": 17, "orig_flags": 0},
    ],
    ids=["fin", "xmas", "null", "syn-fin", "syn-rst", "half-open", "udp"],
)
def test_every_kind_of_probe_counts(batch: Batch, syn: Row, changes: dict[str, Any]) -> None:
    """FIN, Xmas, NULL, half-open, connect and UDP scans are scans."""
    rows = [syn(orig=BAD, resp="192.0.2.1", resp_port=port, **changes) for port in range(1, 61)]
    assert len(PortScan(DetectSettings()).flows(batch(rows), 1000.0)) == 1


def test_a_ping_sweep_is_found(batch: Batch, syn: Row) -> None:
    """Echo requests that many hosts leave unanswered."""
    rows = [
        syn(orig=BAD, resp=f"192.0.2.{low}", proto=1, icmp_type=8, state="OTH", orig_flags=0)
        for low in range(1, 41)
    ]
    [finding] = PortScan(DetectSettings()).flows(batch(rows), 1000.0)
    assert finding.title == f"{BAD} pinged 40 hosts that did not answer"


def test_one_flow_a_batch_is_the_same_scan(batch: Batch, syn: Row) -> None:
    """A slow scan crosses at the twentieth target, and grows under one key without flooding."""
    detector = PortScan(DetectSettings())
    found = []
    for number in range(200):
        row = syn(orig=BAD, resp="192.0.2.1", resp_port=1 + number, start=1000.0 + number)
        found += detector.flows(batch([row]), 1000.0 + number)
    assert [finding.count for finding in found] == [20, 40, 70, 100, 130, 160, 190]
    assert {finding.key for finding in found} == {f"port-scan|{BAD}"}


def test_a_window_that_passed_counts_no_more(batch: Batch, syn: Row) -> None:
    """Twenty failures over a day are no scan."""
    detector = PortScan(DetectSettings())
    for number in range(60):
        at = 1000.0 + 400.0 * number
        row = syn(orig=BAD, resp="192.0.2.1", resp_port=1 + number, start=at)
        assert detector.flows(batch([row]), at) == []


def benign() -> dict[str, Callable[[Row], list[dict[str, Any]]]]:
    """Return what looks like a scan at first, and is none."""
    rng = random.Random(4)
    host = "10.0.0.5"
    return {
        "a client of a dead server": lambda syn: [
            syn(orig=host, resp="192.0.2.1", resp_port=443, orig_port=2000 + n) for n in range(500)
        ],
        "a busy proxy with some failures": lambda syn: [
            {"orig": host, "resp": f"198.51.{n % 7}.{n % 251}", "resp_port": 443}
            for n in range(900)
        ] + [syn(orig=host, resp=f"192.0.2.{n}", resp_port=443) for n in range(60)],
        "a peer to peer client": lambda syn: [
            syn(orig=host, resp=f"192.0.{n}.9", resp_port=rng.randrange(1024, 65535))
            for n in range(200)
        ],
        "backscatter of a flood": lambda syn: [
            syn(orig="192.0.2.1", orig_port=80, resp=f"10.0.0.{n}", resp_port=1024 + n,
                orig_flags=18) for n in range(200)
        ],
        "resets of a crashed server": lambda syn: [
            syn(orig="192.0.2.1", orig_port=80, resp=f"10.0.0.{n}", resp_port=1024 + n,
                orig_flags=4, state="OTH") for n in range(200)
        ],
        "traceroute": lambda syn: [
            syn(orig=host, resp="192.0.2.1", proto=17, orig_flags=0, resp_port=33434 + n)
            for n in range(90)
        ],
        "late answers of a resolver": lambda syn: [
            syn(orig="192.0.2.53", orig_port=53, resp=host, proto=17, orig_flags=0,
                resp_port=40000 + n) for n in range(90)
        ],
        "blocked QUIC": lambda syn: [
            syn(orig=host, resp=f"192.0.2.{n}", proto=17, orig_flags=0, resp_port=443)
            for n in range(90)
        ],
        "multicast": lambda syn: [
            syn(orig=host, resp=f"239.1.1.{n}", proto=17, orig_flags=0, resp_port=5000)
            for n in range(90)
        ],
        "one-way media": lambda syn: [
            syn(orig=host, resp="192.0.2.1", proto=17, orig_flags=0, resp_port=10000 + n,
                orig_packets=5000) for n in range(90)
        ],
        "health checks without payload": lambda syn: [
            syn(orig=host, resp=f"192.0.2.{n % 4}", resp_port=443, state="RSTO", orig_flags=22,
                orig_packets=3, orig_bytes=152, resp_packets=1) for n in range(900)
        ],
    }  # fmt: skip


@pytest.mark.parametrize("kind", benign())
def test_benign_trouble_is_no_scan(batch: Batch, syn: Row, kind: str) -> None:
    """Dead servers, proxies, peers, backscatter, traceroute and the like raise nothing."""
    flows = batch(benign()[kind](syn))
    assert PortScan(DetectSettings()).flows(flows, 1000.0) == []


def test_failing_at_hosts_that_dns_named_is_no_sweep(batch: Batch, syn: Row) -> None:
    """A client with broken IPv6 fails at every name it resolves; without names it is a sweep."""
    rows = [syn(orig="10.0.0.5", resp=f"192.0.2.{low}", resp_port=443) for low in range(1, 41)]
    answers = [
        Dns(ts=1.0, name="x.example", response=True, answers=("cdn.example", f"192.0.2.{low}"))
        for low in range(1, 41)
    ]
    detector = PortScan(DetectSettings())
    assert detector.events(answers, 1.0) == []
    assert detector.flows(batch(rows), 1000.0) == []
    assert len(PortScan(DetectSettings()).flows(batch(rows), 1000.0)) == 1
    # A name excuses no scan of the ports of its host.
    rows = [syn(orig="10.0.0.5", resp="192.0.2.1", resp_port=port) for port in range(1, 41)]
    assert len(detector.flows(batch(rows), 1000.0)) == 1


def test_ours_that_scans_is_worse_than_a_stranger(batch: Batch, syn: Row) -> None:
    """The internet knocks all day; a machine of ours that does is likely taken over."""
    severities = {}
    for direction in ("incoming", "outgoing", "internal", "unknown"):
        rows = [
            syn(orig=BAD, resp="192.0.2.1", resp_port=port, direction=DIRECTIONS.index(direction))
            for port in range(1, 31)
        ]
        [finding] = PortScan(DetectSettings()).flows(batch(rows), 1000.0)
        severities[direction] = finding.severity
        assert finding.evidence["direction"] == direction
    assert severities == {
        "incoming": "low", "outgoing": "high", "internal": "high", "unknown": "medium",
    }  # fmt: skip


TRY = st.tuples(st.integers(0, 400), st.integers(0, 3), st.integers(1, 60))


@given(st.lists(TRY, max_size=300), st.integers(1, 40), st.integers(1, 50))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_tables_keep_their_bounds_and_replay_repeats(
    tries: list[tuple[int, int, int]], sources: int, size: int
) -> None:
    """Whatever comes, no more sources than allowed are held, and the same in is the same out."""
    flows = empty_flows(len(tries))
    for flow, (source, host, port) in zip(flows, tries, strict=True):
        flow["orig_lo"], flow["resp_lo"] = V4_PREFIX | source, V4_PREFIX | 1 << 24 | host
        flow["proto"], flow["resp_port"], flow["orig_flags"] = 6, port, 2
        flow["orig_packets"], flow["state"] = 1, STATES.index("S0")
    runs = []
    for _ in range(2):
        detector = PortScan(DetectSettings(sources=sources))
        found = []
        for start in range(0, len(flows), size):
            found += detector.flows(flows[start : start + size], 1.0)
        counters = detector.counters()
        assert counters["sources"] <= sources
        assert counters["targets"] <= sources * 20 or counters["sources"] == 1
        runs.append((found, counters))
    assert runs[0] == runs[1]


def forged(count: int, port: int) -> NDArray[np.void]:
    """Return a SYN each of so many sources to one port."""
    flows = empty_flows(count)
    flows["orig_lo"] = V4_PREFIX + 1 + np.arange(count)
    flows["resp_lo"] = V4_PREFIX | 1
    flows["proto"], flows["state"], flows["orig_packets"] = 6, STATES.index("S0"), 1
    flows["resp_port"] = port
    return flows


def test_a_forged_source_a_packet_makes_no_record() -> None:
    """An attacker with a new address each packet is counted and drives out nobody."""
    detector = PortScan(DetectSettings(sources=1000))
    assert detector.flows(forged(5000, 80), 1.0) == []
    counters = detector.counters()
    assert (counters["sources"], counters["sources_shed"]) == (0, 0)
    assert counters["one_target_flows"] == 5000


def test_sources_that_come_often_evict_and_are_counted() -> None:
    """With a seventh target each costs a record: the oldest go, memory stays."""
    detector = PortScan(DetectSettings(sources=1000))
    flows = np.concatenate([forged(5000, port) for port in range(80, 87)])
    assert detector.flows(flows, 1.0) == []
    counters = detector.counters()
    assert (counters["sources"], counters["targets"]) == (1000, 7000)
    assert counters["sources_shed"] == 4000
    detector.flows(flows[:0], 1e6)
    assert detector.counters()["sources"] == 0


def test_beyond_the_bound_of_targets_a_scan_is_at_least(batch: Batch, syn: Row) -> None:
    """Of one source no more than a bound of targets is kept, and the finding says so."""
    rows = [syn(orig=BAD, resp="192.0.2.1", resp_port=port) for port in range(1, 5001)]
    detector = PortScan(DetectSettings())
    [finding] = detector.flows(batch(rows), 1000.0)
    assert finding.title == f"{BAD} probed at least 1024 tcp ports of one host"
    assert finding.count == 5000
    assert detector.counters()["targets"] == 1024
