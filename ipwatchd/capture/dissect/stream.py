"""The first bytes of TCP streams in order: bounded reassembly, one window a direction.

Bytes are placed by sequence number; of overlapping segments the first that came wins.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from ipwatchd.capture.dissect.bounds import MAX_BYTES

if TYPE_CHECKING:
    from ipwatchd.capture.dissect.http import Asked

__all__ = ["MAX_SEGMENTS", "Half", "Key", "Stream", "Streams"]

MAX_SEGMENTS: Final = 32
"""Segments taken of a direction without a message among them. Stops a sender of one byte a segment
from having the whole window read again and again."""
IDLE: Final = 30.0
"""Seconds a stream that waits for a missing segment or a rest is kept without a further one."""
RESTART: Final = 1 << 20
"""Distance in sequence numbers that means a new connection on old ports."""

Key = tuple[int, int, int, int, int, int, int, int]
"""orig_hi, orig_lo, resp_hi, resp_lo, orig_port, resp_port, vlan, iface"""


class Half:
    """One direction of a stream: `window` starts at sequence number `base`."""

    __slots__ = ("base", "done", "fresh", "kind", "ranges", "segments", "tapped", "window")

    def __init__(self, kind: int, base: int) -> None:
        self.kind = kind
        # What the taps call it, which a protocol may have left behind (HTTP CONNECT).
        self.tapped = kind
        self.base = base
        self.window = bytearray()
        # What of the window is filled: sorted, disjoint [start, end).
        self.ranges: list[list[int]] = []
        self.segments = 0
        self.fresh = True
        self.done = False

    def distance(self, seq: int) -> int:
        """Return how far behind `base` a number is, negative where before (RFC 9293, 3.4)."""
        return ((seq - self.base + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000

    def add(self, seq: int, payload: bytes) -> bool:
        """Place a segment; True where the bytes that can be read from the start grew."""
        self.segments += 1
        place = self.distance(seq)
        if place == 0 and payload and not self.ranges:
            self.window = bytearray(payload[:MAX_BYTES])
            self.ranges = [[0, len(self.window)]]
            return True
        if place + len(payload) <= 0 and not self.fresh:
            return False
        before = self._whole()
        if place < 0:
            if self.fresh and -place + len(self.window) <= MAX_BYTES:
                self._shift(-place)
                self.base = seq & 0xFFFF_FFFF
            else:
                payload = payload[-place:]
            place = 0
        payload = payload[: max(MAX_BYTES - place, 0)]
        if payload:
            self._fill(place, payload)
        return self._whole() > before

    def _whole(self) -> int:
        """Return how many bytes there are up to the first gap."""
        return self.ranges[0][1] if self.ranges and not self.ranges[0][0] else 0

    def ready(self) -> bytes:
        """Return the bytes from the start up to the first gap."""
        if not self.ranges or self.ranges[0][0]:
            return b""
        return bytes(self.window[: self.ranges[0][1]])

    @property
    def resting(self) -> bool:
        """Tell whether nothing is held that an earlier segment began."""
        return self.done or not self.ranges or self.ranges[0][0] > 0

    def consume(self, count: int) -> None:
        """Let the window start `count` bytes further on, which may be beyond what has come."""
        self.base = (self.base + count) & 0xFFFF_FFFF
        del self.window[:count]
        if self.ranges:
            self.ranges = [
                [max(start - count, 0), end - count] for start, end in self.ranges if end > count
            ]
        self.fresh = False
        self.segments = 0

    def close(self, count: int = 0) -> None:
        """Take no more behind the next `count` bytes and free what is held."""
        self.base = (self.base + count) & 0xFFFF_FFFF
        self.done = True
        self.window = bytearray()
        self.ranges = []

    def restart(self, seq: int) -> None:
        """Forget what was lost or not wanted: a new message starts here."""
        self.base = seq
        self.window = bytearray()
        self.ranges = []
        self.segments = 0
        self.done = False

    def _shift(self, count: int) -> None:
        self.window[0:0] = bytes(count)
        self.ranges = [[start + count, end + count] for start, end in self.ranges]

    def _fill(self, place: int, payload: bytes) -> None:
        """Copy the parts of a payload that fall into gaps, and mark them filled."""
        end = place + len(payload)
        if len(self.window) < end:
            self.window.extend(bytes(end - len(self.window)))
        at = place
        for start, stop in [*self.ranges, [end, end]]:
            if at < min(start, end):
                self.window[at : min(start, end)] = payload[at - place : min(start, end) - place]
            at = max(at, stop)
        self.ranges = _merged([*self.ranges, [place, end]])


class Stream:
    """Two directions and what joins them: HTTP requests that wait for a response.

    `known` is set once either direction spoke the protocol that it was tapped for.
    """

    __slots__ = ("asked", "halves", "known", "last")

    def __init__(self, now: float) -> None:
        self.halves: list[Half | None] = [None, None]
        # Bounded: pipelined requests without end push out the oldest.
        self.asked: deque[Asked] = deque(maxlen=16)
        self.last = now
        self.known = False

    @property
    def waiting(self) -> bool:
        """Tell whether a direction holds bytes that were not understood yet."""
        return any(half is not None and not half.done and half.window for half in self.halves)


class Streams:
    """Streams by five-tuple, oldest first; at most `limit`, the longest unused goes.

    The limit stops a flood of half-sent hellos from filling memory (8 KiB a direction).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._streams: OrderedDict[Key, Stream] = OrderedDict()
        self.shed = 0

    def __len__(self) -> int:
        """Return how many streams are held."""
        return len(self._streams)

    def place(
        self, key: Key, *, from_orig: bool, kind: int, seq: int, now: float
    ) -> tuple[Stream, Half]:
        """Return the stream and the direction a segment belongs to, made where they are new."""
        stream = self._streams.get(key)
        if stream is None:
            while len(self._streams) >= self._limit:
                _, oldest = self._streams.popitem(last=False)
                self.shed += oldest.waiting
            stream = self._streams[key] = Stream(now)
        else:
            self._streams.move_to_end(key)
        stream.last = now
        half = stream.halves[from_orig]
        if half is None or abs(half.distance(seq)) > RESTART:
            half = stream.halves[from_orig] = Half(kind, seq)
        elif kind not in {half.tapped, half.kind}:
            # The tap saw another protocol begin, as after STARTTLS.
            half = stream.halves[from_orig] = Half(kind, seq)
        return stream, half

    def get(self, key: Key) -> Stream | None:
        """Return a stream that is held."""
        return self._streams.get(key)

    def idle(self, now: float) -> list[tuple[Key, Stream]]:
        """Remove and return the streams that nothing was added to for IDLE seconds."""
        gone: list[tuple[Key, Stream]] = []
        while self._streams:
            key, stream = next(iter(self._streams.items()))
            if now - stream.last < IDLE:
                break
            gone.append((key, self._streams.pop(key)))
        return gone


def _merged(ranges: list[list[int]]) -> list[list[int]]:
    ranges.sort()
    merged = [ranges[0][:]]
    for start, end in ranges[1:]:
        if start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return merged
