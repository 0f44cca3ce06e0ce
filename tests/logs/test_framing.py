"""Messages of a byte stream, whatever pieces it comes in."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.logs.framing import Frames, FramingError
from ipwatchd.logs.rules import MAX_LINE

MESSAGE: Final = st.binary(min_size=1, max_size=60).map(lambda one: b"<38>" + one)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Return a stream in pieces."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[a:b] for a, b in pairwise(places)]


@given(st.lists(st.tuples(MESSAGE, st.booleans()), max_size=8), st.lists(st.integers(0, 999)))
@settings(max_examples=200, deadline=None)
def test_both_framings_in_any_pieces(sent: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    """What was sent comes out, by counted octets or by lines, mixed and cut anywhere."""
    told = [(one.replace(b"\n", b" "), counted) for one, counted in sent]
    stream = b"".join(
        b"%d %b" % (len(one), one) if counted else one + b"\n" for one, counted in told
    )
    frames = Frames()
    got = [message for piece in pieces(stream, cuts) for message in frames.feed(piece)]
    assert got == [one for one, _ in told]


@given(st.binary(max_size=500))
@settings(max_examples=200, deadline=None)
def test_any_bytes(data: bytes) -> None:
    """Any bytes are messages or an error that closes the stream, and nothing is held for ever."""
    frames = Frames()
    try:
        for at in range(0, len(data), 7):
            frames.feed(data[at : at + 7])
    except FramingError:
        return
    assert len(frames._rest) <= MAX_LINE + 7


@pytest.mark.parametrize("head", [b"", b"1048576 "])
def test_a_long_message_is_cut(head: bytes) -> None:
    """A message of a megabyte gives nothing and costs no memory; the one behind it is read."""
    frames = Frames()
    stream = head + b"x" * 1_048_576 + (b"" if head else b"\n") + b"<38>after\n"
    got = [
        one for at in range(0, len(stream), 65_536) for one in frames.feed(stream[at : at + 65_536])
    ]
    assert got == [b"<38>after"]
    assert frames.cut == 1
    assert len(frames._rest) < 100_000


@pytest.mark.parametrize("stream", [b"99999999 x", b"12x <38>a", b"1" * 20])
def test_no_length(stream: bytes) -> None:
    """A length that is none ends the stream."""
    with pytest.raises(FramingError, match="RFC 6587"):
        Frames().feed(stream)
