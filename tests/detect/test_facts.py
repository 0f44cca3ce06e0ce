"""A batch's shared columns are what each detector would compute by itself; marks miss nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect import RULES, Batch
from ipwatchd.detect.about import Rule
from ipwatchd.detect.batch import address_hash
from ipwatchd.detect.contact import probes, successes
from ipwatchd.detect.marks import Marks
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.detect.shape import targets
from ipwatchd.detect.slow_scan import SlowScan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

SYN = {"state": "S0", "orig_packets": 1, "orig_bytes": 44, "resp_packets": 0, "resp_bytes": 0,
       "orig_flags": 2, "resp_flags": 0}  # fmt: skip


def test_shared_columns_are_those_of_the_flows(
    batch: Callable[[Iterable[dict[str, Any]]], NDArray[np.void]],
) -> None:
    """What failed, what talked and where to is said of the very rows given."""
    flows = batch([
        {"orig": "10.0.0.5", "resp": "203.0.113.9", "resp_port": 443},
        SYN | {"orig": "198.51.100.7", "resp": "10.0.0.8", "resp_port": 22},
    ])  # fmt: skip
    shared = Batch(flows)
    assert shared.probes.tolist() == probes(flows).tolist() == [False, True]
    assert shared.successes.tolist() == successes(flows).tolist() == [True, False]
    failed, numbers = shared.probed
    assert failed.tolist() == [False, True]
    assert numbers.tolist() == targets(flows).tolist()
    assert shared.orig.tolist() == address_hash(flows["orig_hi"], flows["orig_lo"]).tolist()


def test_detectors_of_one_batch_find_what_each_finds_alone(
    batch: Callable[[Iterable[dict[str, Any]]], NDArray[np.void]],
) -> None:
    """Sharing changes no finding, and no detector changes the batch for the next."""
    flows = batch([
        SYN | {"orig": "198.51.100.7", "resp": "10.0.0.8", "resp_port": port, "start": 999.0 + port}
        for port in range(1, 60)
    ])  # fmt: skip
    before = flows.tobytes()
    shared = Batch(flows)
    for kind in (PortScan, SlowScan):
        alone = kind(DetectSettings()).flows(flows, 1100.0)
        assert kind(DetectSettings()).batch(shared, 1100.0) == alone
    assert flows.tobytes() == before


@pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.rule)
def test_no_rule_takes_flows_past_the_batch(kind: type[Rule]) -> None:
    """The agent gives batches: a rule that takes flows alone would never be asked."""
    assert kind.flows is Rule.flows


@given(st.lists(st.integers(1, 1 << 62), max_size=30), st.lists(st.integers(1, 1 << 62)))
@settings(max_examples=100, deadline=None)
def test_what_was_marked_is_never_absent(marked: list[int], others: list[int]) -> None:
    """A mark may be shared with another source, and is never lost."""
    marks = Marks()
    marks.add(np.array(marked, np.uint64))
    marks.add(np.array(others, np.uint64))
    assert marks.may_hold(np.array(marked, np.uint64)).all()


def test_a_wipe_keeps_the_tables_own() -> None:
    """Forged sources by the hundred thousand leave no marks behind, those of the table stay."""
    marks = Marks()
    own = [0xFFFF_0A00_0001, 0x2001_0DB8 << 96 | 5]
    hi = np.array([one >> 64 for one in own], np.uint64)
    ours = address_hash(hi, np.array([one & (1 << 64) - 1 for one in own], np.uint64))
    forged = address_hash(np.zeros(400_000, np.uint64), np.arange(400_000, dtype=np.uint64))
    marks.add(ours)
    marks.add(forged)
    assert np.count_nonzero(marks.may_hold(forged)) == len(forged)
    marks.wipe(own)
    assert marks.may_hold(ours).all()
    assert np.count_nonzero(marks.may_hold(forged)) < 1000
