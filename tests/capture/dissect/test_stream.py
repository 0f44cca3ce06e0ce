"""Reassembly: order, overlaps, gaps, bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.dissect.bounds import MAX_BYTES
from ipwatchd.capture.dissect.stream import IDLE, RESTART, Half, Key, Streams

if TYPE_CHECKING:
    import random

KEY: Key = (0, 1, 0, 2, 3, 4, 0, 0)


@given(
    data=st.binary(min_size=1, max_size=3000),
    cuts=st.lists(st.integers(1, 2999), max_size=12),
    base=st.integers(0, 0xFFFF_FFFF),
    seed=st.randoms(use_true_random=False),
)
@settings(max_examples=200, deadline=None)
def test_any_order_gives_the_bytes(
    data: bytes, cuts: list[int], base: int, seed: random.Random
) -> None:
    """Segments in any order, repeated, over the wrap of sequence numbers, give the stream."""
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [(edges[at], data[edges[at] : edges[at + 1]]) for at in range(len(edges) - 1)]
    pieces += [piece for piece in pieces if seed.random() < 0.3]
    seed.shuffle(pieces)
    half = Half(5, (base + pieces[0][0]) & 0xFFFF_FFFF)
    for offset, payload in pieces:
        half.add((base + offset) & 0xFFFF_FFFF, payload)
    assert half.ready() == data
    assert half.base == base


def test_first_wins() -> None:
    """Of overlapping segments the first that came is kept, also where it came ahead of a gap."""
    half = Half(5, 100)
    half.add(100, b"aaaa")
    half.add(102, b"BBBB")
    assert half.ready() == b"aaaaBB"
    half.add(110, b"dd")
    half.add(104, b"xxccccYY")
    assert half.ready() == b"aaaaBBccccdd"


def test_gap_is_waited_for() -> None:
    """Behind a gap nothing is given, and nothing is said to be new."""
    half = Half(5, 0)
    assert half.add(0, b"ab")
    assert not half.add(4, b"ef")
    assert half.ready() == b"ab"
    assert half.add(2, b"cd")
    assert half.ready() == b"abcdef"


def test_window_is_bounded() -> None:
    """However much is sent, no more than MAX_BYTES is held."""
    half = Half(5, 0)
    for at in range(0, 60_000, 1000):
        half.add(at, bytes(1000))
    half.add(1 << 19, bytes(1000))
    assert len(half.window) == MAX_BYTES


def test_consumed_bytes_come_no_more() -> None:
    """What was consumed, even before it came, is dropped when it comes (again)."""
    half = Half(5, 0)
    half.add(0, b"head")
    half.consume(10)
    half.add(0, b"headbody..next")
    assert half.ready() == b"next"


@given(
    segments=st.lists(
        st.tuples(st.integers(-9000, 20_000), st.binary(max_size=1500), st.integers(0, 900)),
        max_size=40,
    )
)
@settings(max_examples=150, deadline=None)
def test_any_segments_keep_the_invariants(segments: list[tuple[int, bytes, int]]) -> None:
    """Whatever comes: the ranges are sorted and disjoint, and the window is bounded."""
    half = Half(5, 1 << 31)
    for offset, payload, consume in segments:
        half.add(((1 << 31) + offset) & 0xFFFF_FFFF, payload)
        if consume and len(half.ready()) > consume:
            half.consume(consume)
        flat = [edge for one in half.ranges for edge in one]
        assert flat == sorted(set(flat))
        assert len(half.window) <= MAX_BYTES
        assert not flat or flat[-1] <= len(half.window)


def test_streams_are_bounded_oldest_first() -> None:
    """A flood of streams pushes out the longest unused, and what was unfinished is counted."""
    streams = Streams(10)
    for number in range(25):
        key = (*KEY[:4], number, *KEY[5:])
        _, half = streams.place(key, from_orig=True, kind=5, seq=0, now=float(number))
        half.add(0, b"x")
    assert len(streams) == 10
    assert streams.shed == 15
    assert [stream.last for _, stream in streams.idle(19 + IDLE)] == [15, 16, 17, 18, 19]


def test_old_ports_new_connection() -> None:
    """A segment far away in the sequence is a new connection on the same ports."""
    streams = Streams(10)
    _, half = streams.place(KEY, from_orig=True, kind=5, seq=0, now=0)
    half.close()
    _, same = streams.place(KEY, from_orig=True, kind=5, seq=RESTART, now=0)
    _, other = streams.place(KEY, from_orig=True, kind=5, seq=RESTART + 1, now=0)
    assert same is half
    assert not other.done


def test_another_protocol_begins() -> None:
    """Where the tap names another protocol the direction is read anew."""
    streams = Streams(10)
    _, half = streams.place(KEY, from_orig=True, kind=6, seq=0, now=0)
    half.close(10)
    _, other = streams.place(KEY, from_orig=True, kind=5, seq=10, now=0)
    assert other.kind == 5
    assert not other.done
