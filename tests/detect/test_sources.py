"""The bounded table of sources, and when a thing that goes on is worth another word."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.detect.sources import Growth, Sources


class Plain:
    """A record."""

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6)), max_size=80),
       st.integers(1, 6), st.integers(1, 20))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_the_least_recently_active_goes_first(
    steps: list[tuple[int, int]], limit: int, weight_limit: int
) -> None:
    """In number and in weight the table stays within its bounds, and counts what it evicts."""
    table = Sources(Plain, limit, weight_limit)
    model: OrderedDict[int, int] = OrderedDict()
    shed = 0
    for time, (source, weight) in enumerate(steps):
        record = table.active(source, time)
        model[source] = model.get(source, 0)
        model.move_to_end(source)
        if len(model) > limit:
            model.popitem(last=False)
            shed += 1
        table.weigh(record, weight)
        model[source] = weight
        while sum(model.values()) > weight_limit and len(model) > 1:
            model.popitem(last=False)
            shed += 1
        assert list(table) == list(model)
        assert (table.weight, table.shed) == (sum(model.values()), shed)


def test_a_sweep_forgets_only_the_idle() -> None:
    """What was active since the given time stays."""
    table = Sources(Plain, 10, 10)
    for source in range(5):
        table.active(source, source)
    table.active(0, 9)
    table.sweep(3)
    assert list(table) == [3, 4, 0]
    assert table.get(1) is None


def test_growth_speaks_at_first_at_doubling_and_after_a_while() -> None:
    """Never for the same count, and not for each step in between."""
    second = 1_000_000_000
    growth = Growth()
    told = [growth.due(count, count * second) for count in (1, 1, 2, 3, 4, 7, 8, 9, 38, 39)]
    assert told == [True, False, True, False, True, False, True, False, True, False]
