"""Contact with the denied: who opened it, whether it was answered, and few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.denied_contact import DeniedContact
from ipwatchd.records.address import split
from ipwatchd.records.event import Blocked
from ipwatchd.records.flow import DIRECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Batch = Callable[[Any], NDArray[np.void]]
    Row = Callable[..., dict[str, Any]]

BAD = "203.0.113.66"
OURS = "10.0.0.5"


def bad_only(hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Deny one address."""
    high, low = split(BAD)
    denied: NDArray[np.bool_] = (hi == high) & (lo == low)
    return denied


def detector(sources: int = 100) -> DeniedContact:
    """Return the detector with one denied address."""
    return DeniedContact(DetectSettings(sources=sources), bad_only)


def test_ours_that_was_answered_is_high(batch: Batch) -> None:
    """A conversation that a machine of ours opened with a denied address got through."""
    row = {"orig": OURS, "resp": BAD, "resp_port": 443, "direction": DIRECTIONS.index("outgoing")}
    [finding] = detector().flows(batch([row]), 1000.0)
    assert (finding.subject, finding.severity, finding.classification) == (BAD, "high", "c2-server")
    assert finding.title == f"{OURS} contacted denied {BAD} and was answered"
    assert finding.key == f"denied-contact|{BAD}"
    assert finding.targets == (OURS,)
    assert finding.evidence["direction"] == "outgoing"
    assert finding.evidence["services"] == ["443/tcp"]
    assert finding.evidence["blocked"] is False


def test_a_stranger_who_gets_no_answer_is_for_information(batch: Batch, syn: Row) -> None:
    """A denied address that knocks in vain is worth a line, an answer is worth a look."""
    knocking = syn(orig=BAD, resp=OURS, resp_port=22)
    one = detector()
    [finding] = one.flows(batch([knocking]), 1000.0)
    assert (finding.severity, finding.classification) == ("info", "other")
    [worse] = one.flows(
        batch([{"orig": BAD, "resp": OURS, "resp_port": 22, "start": 1001.0}]), 1001
    )
    assert worse.severity == "medium"
    assert worse.count == 2


def test_blocked_packets_say_so(batch: Batch, syn: Row) -> None:
    """What the firewall dropped is blocked; what it would have dropped is not."""
    event = Blocked(ts=1000.0, orig=BAD, resp=OURS, resp_port=22, proto="tcp", action="drop")
    [finding] = detector().events([event], 1000.0)
    assert finding.evidence["blocked"] is True
    assert finding.evidence["blocked_packets"] == 1
    observed = Blocked(ts=1000.0, orig=OURS, resp=BAD, proto="icmp", action="would-drop")
    [finding] = detector().events([observed], 1000.0)
    assert finding.evidence["blocked"] is False
    assert finding.evidence["opened_by"] == "ours"
    assert finding.severity == "medium"


def test_a_packet_of_an_entry_that_ended_is_counted() -> None:
    """A blocked packet read after its entry ended names nobody, but is not lost without a trace."""
    one = detector()
    stray = Blocked(ts=1.0, orig="198.51.100.1", resp=OURS, proto="tcp", action="drop")
    assert one.events([stray], 1.0) == []
    assert one.counters()["blocked_not_listed"] == 1


def test_the_same_going_on_is_said_by_doubling(batch: Batch, syn: Row) -> None:
    """A thousand knocks are a dozen words, of one key."""
    one = detector()
    rows = [syn(orig=BAD, resp=OURS, resp_port=22, start=1000.0 + n / 1000) for n in range(1000)]
    found = [finding for row in rows for finding in one.flows(batch([row]), 1000.0)]
    assert [finding.count for finding in found] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_after_a_quiet_time_it_is_new(batch: Batch, syn: Row) -> None:
    """What begins again after the quiet time counts from one."""
    one = detector()
    for at in (1000.0, 3000.0):
        [finding] = one.flows(batch([syn(orig=BAD, resp=OURS, start=at)]), at)
        assert (finding.count, finding.first_seen) == (1, at)


def test_many_denied_addresses_keep_the_bound(batch: Batch, syn: Row) -> None:
    """A deny list that is swept through evicts the least recent; the loss is counted."""
    everybody = DeniedContact(
        DetectSettings(sources=10),
        lambda hi, lo: lo != split(OURS)[1],  # noqa: ARG005 (Denied's shape)
    )
    rows = [syn(orig=f"198.51.100.{low}", resp=OURS) for low in range(100)]
    assert len(everybody.flows(batch(rows), 1000.0)) == 100
    assert everybody.counters()["sources"] == 10
    assert everybody.counters()["sources_shed"] == 90
