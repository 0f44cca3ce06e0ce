"""A finding shows the flows and events that made it, few, cut, and with their community ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect import with_event_examples, with_flow_examples
from ipwatchd.detect.password_guessing import PasswordGuessing
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.records.event import Auth

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Batch = Callable[[Any], NDArray[np.void]]
    Row = Callable[..., dict[str, Any]]

BAD = "203.0.113.66"


def test_a_scan_shows_five_of_its_flows(batch: Batch, syn: Row) -> None:
    """Five-tuples with times and community ids, of the subject and nobody else."""
    rows = [{"orig": "10.0.0.1", "resp": "10.0.0.2", "resp_port": 443}]
    rows += [syn(orig=BAD, resp="192.0.2.1", resp_port=n) for n in range(1, 31)]
    flows = batch(rows)
    [finding] = with_flow_examples(PortScan(DetectSettings()).flows(flows, 1000.0), flows)
    examples = finding.evidence["examples"]
    assert len(examples) == 5
    assert {one["orig"] for one in examples} == {BAD}
    assert all(one["community_id"].startswith("1:") for one in examples)
    assert examples[0]["start"] == 1000.0
    assert finding.evidence["ports"]


def test_guessing_shows_the_lines_that_said_so(batch: Batch) -> None:
    """Events of the source with user, service and result; what an attacker wrote is cut."""
    del batch
    events = [
        Auth(ts=float(n), orig=BAD, user="x" * 500, result="failure", service="ssh")
        for n in range(12)
    ]
    events.append(Auth(ts=1.0, orig="10.0.0.1", user="maria", result="success", service="ssh"))
    found = PasswordGuessing(DetectSettings()).events(events, 12.0)
    finding = with_event_examples(found, events)[0]
    examples = finding.evidence["examples"]
    assert [one["ts"] for one in examples] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert {one["result"] for one in examples} == {"failure"}
    assert max(len(one["user"]) for one in examples) == 80


def test_a_subject_that_is_in_no_flow_stays_as_it_is(batch: Batch, syn: Row) -> None:
    """Nothing is made up; no finding costs nothing."""
    flows = batch([syn(orig=BAD, resp="192.0.2.1", resp_port=n) for n in range(1, 31)])
    found = PortScan(DetectSettings()).flows(flows, 1000.0)
    assert with_flow_examples(found, flows[:0]) == found
    assert with_flow_examples([], flows) == []
    assert with_event_examples(found, []) == found
