"""Data in pings is told; pings that are answered as they were asked are not, whatever was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.icmp_tunnel import IcmpTunnel, carried
from ipwatchd.records.flow import Direction, empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

OURS, FAR = "10.0.0.9", "198.51.100.7"


def ping(asked: int, sent: int, answered: int, got: int, **more: Any) -> dict[str, Any]:
    """Return a flow of echo requests and replies."""
    return {
        "orig": OURS, "resp": FAR, "proto": 1, "icmp_type": 8, "orig_packets": asked,
        "orig_bytes": sent, "resp_packets": answered, "resp_bytes": got, "orig_port": 0,
        "resp_port": 0, "direction": Direction.OUTGOING,
    } | more  # fmt: skip


def test_replies_that_carry_their_own_data_are_a_tunnel(
    batch: Callable[[Any], NDArray[np.void]],
) -> None:
    """As ptunnel fetches a page: 7 requests of 72 bytes, 70 replies of 918."""
    [finding] = IcmpTunnel(DetectSettings()).flows(batch([ping(7, 504, 70, 64_306)]), 1000.0)
    assert (finding.rule, finding.subject, finding.targets) == ("icmp-tunnel", OURS, (FAR,))
    assert finding.value == 63_802
    assert finding.evidence["replies"] == 70


def test_pieces_of_a_long_flow_add_up_and_the_machine_inside_is_named(
    batch: Callable[[Any], NDArray[np.void]],
) -> None:
    """Asked from outside, the one that answers is ours."""
    inward = {"orig": FAR, "resp": OURS, "direction": Direction.INCOMING, "partial": 1}
    detector = IcmpTunnel(DetectSettings())
    assert detector.flows(batch([ping(10, 840, 10, 6840, **inward)]), 1000.0) == []
    [finding] = detector.flows(batch([ping(10, 840, 10, 6840, **inward)]), 1001.0)
    assert (finding.subject, finding.value) == (OURS, 12_000)


def test_requests_that_carry_data_up_are_told_later(
    batch: Callable[[Any], NDArray[np.void]],
) -> None:
    """Long requests with short replies: much of it, since some devices cut what they return."""
    cut = [ping(100, 142_800, 100, 9200)]
    assert IcmpTunnel(DetectSettings()).flows(batch(cut), 1000.0) == []
    much = [ping(900, 1_200_000, 900, 75_600)]
    assert IcmpTunnel(DetectSettings()).flows(batch(much), 1000.0)


@pytest.mark.parametrize(
    "row",
    [
        ping(1000, 1_428_000, 1000, 1_428_000),
        ping(1000, 1_428_000, 100, 142_800),
        ping(1000, 84_000, 2000, 168_000),
        ping(200, 156_400, 100, 6400),
        ping(40, 3000, 0, 0),
        ping(40, 3000, 40, 90_000, icmp_type=3),
        ping(40, 3000, 40, 90_000, proto=17),
    ],
    ids=["flood", "lost", "twice", "long ones lost", "dead", "errors", "udp"],
)
def test_honest_pings_are_none(
    batch: Callable[[Any], NDArray[np.void]], row: dict[str, Any]
) -> None:
    """Many, long, lost, answered twice, long ones lost among short ones; and what is no ping."""
    assert IcmpTunnel(DetectSettings()).flows(batch([row]), 1000.0) == []


@bounded(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(28, 1500), st.booleans()), min_size=1, max_size=50))
def test_no_loss_makes_replies_carry_more_than_was_sent(pings: list[tuple[int, bool]]) -> None:
    """Whichever requests are lost, what comes back of an honest ping is never more."""
    flows = empty_flows(1)
    flows["proto"], flows["icmp_type"] = 1, 8
    flows["orig_packets"], flows["orig_bytes"] = len(pings), sum(size for size, _ in pings)
    back = [size for size, answered in pings if answered]
    flows["resp_packets"], flows["resp_bytes"] = len(back), sum(back)
    assert carried(flows)[0] <= flows["orig_bytes"][0] // 50
