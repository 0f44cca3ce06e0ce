"""So many a second, whatever the clock does."""

from __future__ import annotations

from ipwatchd.capture.rich.budget import Budget


def taken(budget: Budget, now: float, tries: int = 100) -> int:
    """Return how many of some tries at one time had a token."""
    return sum(budget.take(now) for _ in range(tries))


def test_so_many_a_second() -> None:
    """What is not used is saved up to the bound; what comes a little out of order gives nothing."""
    budget = Budget(10.0, 20.0)
    assert taken(budget, 1000.0) == 20
    assert taken(budget, 1000.5) == 5
    assert taken(budget, 999.0) == 0
    assert taken(budget, 1001.0) == 5
    assert taken(budget, 2000.0) == 20


def test_a_clock_that_was_set_back() -> None:
    """A clock that was set back by an hour gives nothing then, and goes on from there."""
    budget = Budget(10.0, 20.0)
    assert taken(budget, 10_000.0) == 20
    assert taken(budget, 6_400.0) == 0
    assert taken(budget, 6_401.0) == 10
