"""The doorstep: a source goes on with its second target, and nobody is taken for another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.detect.doorstep import Doorstep
from ipwatchd.detect.shape import targets
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.flow import empty_flows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUIET = 900 * 10**9


def tried(*tries: tuple[int, int], at: float = 1.0) -> NDArray[np.void]:
    """Return a flow for each (source, port)."""
    flows = empty_flows(len(tries))
    flows["orig_lo"] = [V4_PREFIX | source for source, _ in tries]
    flows["resp_lo"], flows["resp_port"] = V4_PREFIX | 1 << 24, [port for _, port in tries]
    flows["start"] = flows["end"] = round(at * 1e9)
    return flows


def test_the_second_target_goes_on_with_the_first() -> None:
    """What was held of the source is handed on once; from then on all of it goes on."""
    doorstep = Doorstep(64, QUIET)
    first = tried((1, 80), (1, 80))
    assert not doorstep.let(first, targets(first)).rows.any()
    again = tried((1, 80), at=2.0)
    assert not doorstep.let(again, targets(again)).rows.any()
    second = tried((1, 81), (2, 80), at=3.0)
    let = doorstep.let(second, targets(second))
    assert let.rows.tolist() == [True, False]
    assert let.held["flows"].tolist() == [3]
    assert let.held["target"].tolist() == targets(first)[:1].tolist()
    third = tried((1, 80), at=4.0)
    let = doorstep.let(third, targets(third))
    assert let.rows.tolist() == [True]
    assert let.held["flows"].tolist() == [0]
    assert doorstep.waiting == 4


def test_after_a_long_quiet_it_begins_anew() -> None:
    """A target of hours ago is not put to one of now."""
    doorstep = Doorstep(64, QUIET)
    for at, port in ((1.0, 80), (1000.0, 81)):
        flows = tried((1, port), at=at)
        assert not doorstep.let(flows, targets(flows)).rows.any()


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), min_size=1, max_size=60),
    st.integers(1, 7),
)
@settings(max_examples=200, deadline=None)
def test_it_lets_through_who_tried_two(tries: list[tuple[int, int]], size: int) -> None:
    """With room for all: a row goes on where its source has two targets by the end of its batch."""
    doorstep = Doorstep(1 << 12, QUIET)
    seen: dict[int, set[int]] = {}
    for start in range(0, len(tries), size):
        part = tries[start : start + size]
        flows = tried(*part)
        for source, port in part:
            seen.setdefault(source, set()).add(port)
        let = doorstep.let(flows, targets(flows))
        assert let.rows.tolist() == [len(seen[source]) > 1 for source, _ in part]


def test_nothing_is_nothing() -> None:
    """An empty batch has no rows."""
    none = tried()
    assert not len(Doorstep(8, QUIET).let(none, targets(none)).rows)
