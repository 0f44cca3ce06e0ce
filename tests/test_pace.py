"""How often a program that fights us is answered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipwatchd.pace import Pace


def test_the_first_repair_is_at_once() -> None:
    """And one that cost nothing lets the next begin a fifth of a second later."""
    pace = Pace()
    assert pace.wait(100.0) == 0
    pace.repaired(100.0, 100.001)
    assert 0.19 < pace.wait(100.001) < 0.21
    assert pace.wait(100.3) == 0
    assert (pace.repairs, pace.lately(100.3)) == (1, 0)


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=50))
def test_repairs_take_a_quarter_of_the_time_at_most(costs: list[float]) -> None:
    """Whoever fights without end, whatever each repair costs."""
    pace, now, spent = Pace(), 0.0, 0.0
    for cost in costs:
        now += pace.wait(now)
        assert pace.wait(now) == 0
        pace.repaired(now, now + cost)
        now += cost
        spent += cost
    rest = now + pace.wait(now)
    assert spent <= rest / 4 + 1e-6
    assert rest >= 0.2 * len(costs) - 1e-6


def test_a_fight_is_five_in_a_minute() -> None:
    """Four are slips; a minute of peace and nobody fights."""
    pace = Pace()
    for second in range(5):
        assert pace.lately(float(second)) == 0
        pace.repaired(float(second), float(second))
    assert pace.lately(5.0) == 5
    assert pace.lately(62.0) == 0
