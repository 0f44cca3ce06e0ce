"""The shape of failed contacts: lines and blocks are scans, scatter and retries are not."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.detect.shape import host_of, port_of, proto_of, shape

TARGET = st.builds(
    lambda host, proto, port: host << 24 | proto << 16 | port,
    st.integers(1, 12), st.sampled_from([6, 17]), st.integers(1, 12),
)  # fmt: skip


def target(host: int, port: int, proto: int = 6) -> int:
    """Return a target's number."""
    return host << 24 | proto << 16 | port


def test_a_target_comes_apart_as_it_was_put_together() -> None:
    """Host, protocol and port are in one number."""
    one = target(0xAB_CDEF_0123, 443, 17)
    assert (host_of(one), proto_of(one), port_of(one)) == (0xAB_CDEF_0123, 17, 443)


def test_successes_in_the_same_line_speak_against_a_scan() -> None:
    """Twenty dead web servers beside eleven live ones are bad luck, beside none a scan."""
    failed = {target(host, 443) for host in range(20)}
    live = {target(100 + host, 443) for host in range(11)}
    assert shape(failed, set(), set(), 20)
    assert shape(failed, live, set(), 20) is None
    assert shape(failed, {target(100 + host, 25) for host in range(11)}, set(), 20)


def test_udp_needs_twice_as_much() -> None:
    """Silence is a usual answer to a datagram."""
    assert shape({target(1, port, 17) for port in range(39)}, set(), set(), 20) is None
    found = shape({target(1, port, 17) for port in range(40)}, set(), set(), 20)
    assert found
    assert (found.kind, found.value) == ("vertical", 40)


@given(st.sets(TARGET, max_size=80), st.sets(TARGET, max_size=40), st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_a_scan_has_at_least_what_it_takes(failed: set[int], talked: set[int], least: int) -> None:
    """What is called a scan crosses the line, and twice its successes; named hosts only help."""
    found = shape(failed, talked, set(), least)
    if found:
        assert found.value >= least
        assert found.value >= 2 * found.succeeded
        assert found.value <= len(failed - talked)
    named = {host_of(one) for one in failed}
    excused = shape(failed, talked, named, least)
    assert excused is None or excused.kind == "vertical"
