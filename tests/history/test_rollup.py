"""Roll-ups: the sums of whole columns equal the sums made one flow at a time."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.history.columns import Columns
from ipwatchd.history.groups import keys
from ipwatchd.history.rollup import HOUR, combine, pack, summarise, unpack
from ipwatchd.records.address import split
from ipwatchd.records.flow import DIRECTIONS, SERVICES, empty_flows
from tests.history.made import T0, flow

_ADDRESSES = ["10.20.0.5", "10.20.0.6", "203.0.113.9", "2001:db8::1", "::1"]
_flows = st.lists(
    st.builds(
        flow,
        st.sampled_from(_ADDRESSES),
        st.sampled_from(_ADDRESSES),
        start=st.integers(0, 3 * HOUR).map(lambda ago: T0 - ago),
        seconds=st.integers(0, 300).map(float),
        port=st.sampled_from([22, 443, 3389]),
        service=st.sampled_from(["", "tls", "ssh"]),
        direction=st.sampled_from(DIRECTIONS),
        zones=st.tuples(st.sampled_from([0, 1, 2, 0xFFFF]), st.sampled_from([0, 1, 2])),
        packets=st.tuples(st.integers(0, 2**40), st.integers(0, 9)),
        octets=st.tuples(st.integers(0, 2**50), st.integers(0, 9999)),
    ),
    max_size=12,
).map(lambda batches: np.concatenate(batches) if batches else empty_flows())


@settings(max_examples=150, deadline=None)
@given(_flows)
def test_the_same_sums_as_one_flow_at_a_time(flows: np.ndarray) -> None:
    """Hour, address, direction, peer zone and service, in one batch or two that are combined."""
    expected: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for one in flows:
        for mine, other in (("orig", "resp"), ("resp", "orig")):
            zone = int(one[f"{other}_zone"])
            key = (
                int(one["start"]) // 10**9 // HOUR * HOUR,
                pack(int(one[f"{mine}_hi"]), int(one[f"{mine}_lo"])),
                int(one["direction"]),
                zone,
                int(one["service"]),
            )
            amounts = [
                1, *(int(one[f"{side}_{what}"]) for what in ("packets", "bytes")
                     for side in (other, mine)),
            ]  # fmt: skip
            expected[key] = [a + b for a, b in zip(expected[key], amounts, strict=True)]
    cut = len(flows) // 2
    summary = combine([summarise(Columns.of([part])) for part in (flows[:cut], flows[cut:])])
    names = keys(summary.distinct)
    assert {
        (row[0], names[row[1]], *row[2:5]): list(row[5:]) for row in summary.rollups.tolist()
    } == expected
    assert len(summary.rollups) == len(expected)
    assert summary.flows == len(flows)
    total = sum(int(one[f"{side}_bytes"]) for one in flows for side in ("orig", "resp"))
    assert int(summary.minutes["bytes"].sum()) == total
    assert summary.shed == 0


def test_incoming_names_source_service_and_answer() -> None:
    """Answered and unanswered tries at a service are counted apart; other directions are not."""
    batch = np.concatenate([
        flow("203.0.113.9", "10.30.0.1", direction="incoming", port=22, service="ssh"),
        flow("203.0.113.9", "10.30.0.1", direction="incoming", port=22, service="ssh",
             packets=(1, 0), octets=(60, 0), state="S0"),
        flow(),
    ])  # fmt: skip
    summary = summarise(Columns.of([batch]))
    names = keys(summary.distinct)
    ((source, target, proto, port, service, first, last, count, answered, octets),) = (
        summary.incoming.tolist()
    )
    assert names[source] == pack(*split("203.0.113.9"))
    assert names[target] == pack(*split("10.30.0.1"))
    assert (proto, port, SERVICES[service], count, answered, octets) == (6, 22, "ssh", 2, 1, 6060)
    assert (first, last) == (T0 * 1e9, (T0 + 1) * 1e9)


def test_a_port_scan_is_one_row() -> None:
    """A source that tries a thousand closed ports leaves one row, and its open ones by name."""
    tries = [
        flow(
            "203.0.113.9", "10.30.0.1", direction="incoming", port=port, packets=(1, 0), state="S0"
        )
        for port in range(1, 1001)
    ]
    tries.append(flow("203.0.113.9", "10.30.0.1", direction="incoming", port=80))
    rows = summarise(Columns.of(tries)).incoming
    assert sorted(rows[["port", "count"]].tolist()) == [(0, 1000), (80, 1)]


def test_too_many_groups_keep_the_heaviest() -> None:
    """Made-up sources are shed and counted, the heavy ones stay."""
    batch = np.concatenate([
        flow(f"203.0.{number // 200}.{number % 200}", octets=(number, 0)) for number in range(500)
    ])  # fmt: skip
    summary = summarise(Columns.of([batch]), limit=100)
    assert len(summary.addresses) == len(summary.rollups) == 100
    assert summary.shed == 2 * (501 - 100)
    kept = keys(summary.distinct[summary.addresses["address"]])
    assert pack(*split("203.0.2.99")) in kept


def test_absurd_counters_fit() -> None:
    """A forged counter near 2**64 becomes the largest that the store holds."""
    batch = flow(octets=(2**64 - 1, 5))
    summary = summarise(Columns.of([batch]))
    assert summary.rollups["bytes_out"].max() > 2**61
    assert summary.rollups["bytes_in"].min() > 0


def test_keys_keep_the_order_of_addresses() -> None:
    """Sixteen bytes, big-endian: sorted like the addresses, and back again."""
    texts = ["10.0.0.1", "10.0.1.0", "203.0.113.9", "2001:db8::1"]
    packed = [pack(*split(text)) for text in texts]
    assert packed == sorted(packed)
    assert [str(unpack(key)) for key in packed] == texts
