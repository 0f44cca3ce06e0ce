"""Who pages: the site, unless the centre has just said that it does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.uplink.lease import Lease


def test_a_site_pages_unless_the_centre_just_said_that_it_does() -> None:
    """Granted it is quiet for most of the span; then, or at a word, it pages again."""
    lease = Lease(15.0, hand_over=True)
    assert not lease.is_hushed(100.0)
    lease.granted(60.0, 100.0)
    assert lease.is_hushed(147.0)
    assert not lease.is_hushed(148.0)
    lease.granted(60.0, 160.0)
    lease.granted(0.0, 170.0)
    assert not lease.is_hushed(170.0)
    mine = Lease(15.0, hand_over=False)
    mine.granted(60.0, 100.0)
    assert not mine.is_hushed(110.0)
    assert mine.seconds == 90.0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 4000)), max_size=20), st.floats(-1e4, 1e4)
)
def test_silence_never_outlasts_the_last_promise(
    grants: list[tuple[float, float]], after: float
) -> None:
    """Whatever was promised and wherever the clock jumps: quiet only within the newest promise."""
    lease, now = Lease(15.0, hand_over=True), 1e6
    for wait, seconds in grants:
        now += wait
        lease.granted(seconds, now)
    if lease.is_hushed(now + after):
        assert grants
        assert 0 <= (now + after) - now < min(grants[-1][1], 3600.0)
