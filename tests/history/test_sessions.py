"""Sessions: unbroken activity, whatever the order and however the flows come in."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.history.columns import Columns
from ipwatchd.history.sessions import Merged, merge, no_sessions, number, service_names
from ipwatchd.records.address import address_text
from ipwatchd.records.flow import empty_flows
from tests.history.made import T0, flow

GAP = 900.0


def spans(rows: np.ndarray, address: str) -> list[tuple[float, float, int]]:
    """Return one address's sessions: start and end after T0, and how many flows."""
    return sorted(
        (row["start"] / 1000 - T0, row["end"] / 1000 - T0, int(row["flows"]))
        for row in rows
        if address_text(int(row["hi"]), int(row["lo"])) == address
    )


def test_a_gap_ends_a_session() -> None:
    """Activity less than the gap apart is one session, more is two; the last one stays open."""
    batch = np.concatenate([flow(start=T0 + at) for at in (0, 800, 1600, 3000)])
    merged = merge(no_sessions(), Columns.of([batch]), T0 + 3001, GAP)
    assert spans(merged.closed, "10.20.0.5") == [(0, 1601, 3)]
    assert spans(merged.open, "10.20.0.5") == [(3000, 3001, 1)]


def test_silence_closes_what_is_open() -> None:
    """Without any flow the clock alone ends a session."""
    merged = merge(no_sessions(), Columns.of([flow()]), T0 + 1, GAP)
    assert len(merged.open) == 2
    later = merge(merged.open, Columns.of([empty_flows()]), T0 + 1 + GAP + 1, GAP)
    assert len(later.open) == 0
    assert len(later.closed) == 2


def test_what_never_answered_is_no_session() -> None:
    """A spoofed source, or a scan's closed port, opens nothing."""
    batch = np.concatenate([flow(state="S0", packets=(1, 0)), flow(state="REJ", packets=(1, 1))])
    assert len(merge(no_sessions(), Columns.of([batch]), T0, GAP).open) == 0


def test_too_many_close_the_longest_idle() -> None:
    """A flood leaves the bound open, the idle ones closed early and counted."""
    batch = np.concatenate([flow(f"10.20.1.{last}", start=T0 + last) for last in range(50)])
    merged = merge(no_sessions(), Columns.of([batch]), T0 + 60, GAP, limit=10)
    assert (len(merged.open), merged.cut, len(merged.closed)) == (10, 41, 41)
    assert merged.open["end"].min() >= merged.closed["end"].max()


def test_ids_stay_with_their_sessions() -> None:
    """A session keeps its number while it grows; new ones get the next."""
    first, following = number(merge(no_sessions(), Columns.of([flow()]), T0, GAP), 7)
    assert sorted(first.open["id"].tolist()) == [7, 8]
    second = merge(first.open, Columns.of([flow(start=T0 + 10, resp="198.51.100.1")]), T0 + 10, GAP)
    second, following = number(second, following)
    assert sorted(second.open["id"].tolist()) == [7, 8, 9]
    assert following == 10


def test_services_by_name() -> None:
    """The mask of a session names what was used."""
    batch = np.concatenate([flow(service="tls"), flow(service="ssh"), flow(service="")])
    mask = int(merge(no_sessions(), Columns.of([batch]), T0, GAP).open["services"][0])
    assert service_names(mask) == "tls,ssh"


def reference(times: list[tuple[float, float]]) -> list[tuple[float, float, int]]:
    """Return the sessions of one address's spans, all known at once."""
    found: list[tuple[float, float, int]] = []
    for start, end in sorted(times):
        if found and start - found[-1][1] <= GAP:
            found[-1] = (found[-1][0], max(found[-1][1], end), found[-1][2] + 1)
        else:
            found.append((start, end, 1))
    return found


_times = st.lists(
    st.tuples(st.integers(0, 9000), st.integers(0, 1500)).map(
        lambda pair: (float(pair[0]), float(sum(pair)))
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["10.20.0.1", "10.20.0.2", "2001:db8::2"]), _times))
def test_the_same_sessions_as_one_at_a_time(activity: dict[str, list[tuple[float, float]]]) -> None:
    """In one batch, in any order, the sessions are those of the definition."""
    batches = [
        flow(address, "192.0.2.1", start=T0 + start, seconds=end - start)
        for address, times in activity.items()
        for start, end in times
    ]
    batch = np.concatenate(batches) if batches else empty_flows()
    merged = merge(no_sessions(), Columns.of([batch]), T0 + 9000, GAP)
    rows = np.concatenate([merged.open, merged.closed])
    for address, times in activity.items():
        assert spans(rows, address) == reference(times)


@settings(max_examples=100, deadline=None)
@given(_times, st.integers(1, 5))
def test_in_order_batches_make_the_same_sessions(
    times: list[tuple[float, float]], size: int
) -> None:
    """Cut into batches in the order of time, nothing changes."""
    times.sort()
    merged = Merged(no_sessions(), no_sessions(), 0)
    closed = [merged.closed]
    for place in range(0, len(times), size):
        part = times[place : place + size]
        batch = np.concatenate([flow(start=T0 + a, seconds=b - a) for a, b in part])
        merged = merge(merged.open, Columns.of([batch]), T0 + part[-1][0], GAP)
        closed.append(merged.closed)
    rows = np.concatenate([merged.open, *closed])
    assert spans(rows, "10.20.0.5") == reference(times)
