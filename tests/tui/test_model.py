"""What the app knows, without app or daemon."""

from __future__ import annotations

import pytest

from ipwatchd.control.messages import InterfaceState, Status
from tui.model import Model


def status(now: float, packets: int, pid: int = 1) -> Status:
    """Return a status of one interface."""
    return Status(
        version="1", site="s", now=now, live=True, pid=pid,
        interfaces=(InterfaceState(name="lan0", state="up", packets=packets),),
    )  # fmt: skip


def test_the_rate_of_an_interface_needs_two_answers() -> None:
    """The first answer gives no rate, the second the packets between over the time between."""
    model = Model()
    model.take_status(status(100, 1000), here=5)
    assert model.interfaces[0].packets is None
    model.take_status(status(102, 3000), here=7)
    assert model.interfaces[0].packets == 1000.0


def test_an_answer_of_the_same_moment_keeps_the_rate() -> None:
    """Asked twice within the daemon's tick, the rate stays as it was."""
    model = Model()
    for now, packets in ((100, 0), (101, 50), (101, 50)):
        model.take_status(status(now, packets), here=now)
    assert model.interfaces[0].packets == 50.0


def test_a_daemon_that_restarted_counts_anew() -> None:
    """Counters of another process are not compared."""
    model = Model()
    model.take_status(status(100, 9000), here=0)
    model.take_status(status(103, 5, pid=2), here=3)
    assert model.interfaces[0].packets is None


def test_a_source_that_is_heard_each_two_seconds_has_a_steady_rate() -> None:
    """Counters that stand still at every second answer never show as no traffic."""
    model = Model()
    for second in range(12):
        model.take_status(status(100.0 + second, second // 2 * 20), here=0.0)
        if second >= 6:
            assert model.interfaces[0].packets == pytest.approx(10.0, rel=0.4)


def test_ages_go_by_the_daemons_clock() -> None:
    """A replayed capture has its own time."""
    model = Model()
    model.take_status(status(1000, 0), here=1_700_000_000)
    assert model.now(1_700_000_005) == 1005


def test_losing_and_finding_are_news_once() -> None:
    """The time of the first failure stays; the reason is the newest."""
    model = Model()
    assert model.lost("refused", 10)
    assert not model.lost("timed out", 20)
    assert (model.lost_since, model.lost_why, model.stale) == (10, "timed out", True)
    assert model.found()
    assert not model.found()
    assert not model.stale
