"""Reading connection tracking as plain Python or under bounds checks, in a process of its own.

Messages as a kernel makes them, cut at every length, with flipped bits, and of noise; then a
thousand connections told through events and looks in any order, against a plain reference. Exits 0
if nothing was raised. NUMBA_DISABLE_JIT=1 or NUMBA_BOUNDSCHECK=1 say how.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.capture.conntrack_entry import (
    COUNTED,
    DESTROYED,
    ENTRY,
    READ,
    STARTED,
    STOPPED,
    TIMED,
)
from ipwatchd.capture.conntrack_meter import BEGIN, GO_ON, LEAVE, ConntrackMeter
from ipwatchd.capture.conntrack_reader import read_datagrams
from ipwatchd.capture.conntrack_timeouts import kernel_timeouts
from ipwatchd.config import CaptureSettings

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
SETTINGS = CaptureSettings(flows=1024, active_timeout=20.0, udp_timeout=10.0)
KERNEL = kernel_timeouts(lambda _: None)


def attribute(kind: int, *values: bytes) -> bytes:
    """Return a netlink attribute."""
    value = b"".join(values)
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def tuple_(kind: int, source: bytes, target: bytes, *ports: bytes, proto: int = 6) -> bytes:
    """Return CTA_TUPLE_ORIG or CTA_TUPLE_REPLY."""
    first = 1 if len(source) == 4 else 3
    ends = attribute(1 | 0x8000, attribute(first, source), attribute(first + 1, target))
    return attribute(
        kind | 0x8000, ends, attribute(2 | 0x8000, attribute(1, bytes([proto])), *ports)
    )


def message(kind: int, *attributes: bytes) -> bytes:
    """Return a message of connection tracking."""
    body = bytes(4) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def tcp(kind: int = 0x102) -> bytes:
    """Return the end of a translated connection, with an attribute that nobody knows."""
    ports = (attribute(2, b"\xc3\x50"), attribute(3, b"\x01\xbb"))
    back = (attribute(2, b"\x01\xbb"), attribute(3, b"\x03\xe8"))
    inside, outside, public = bytes([10, 0, 0, 2]), bytes([203, 0, 113, 2]), bytes([203, 0, 113, 1])
    return message(
        kind,
        tuple_(1, inside, outside, *ports),
        tuple_(2, outside, public, *back),
        attribute(12, b"\0\0\0\7"),
        attribute(3, struct.pack(">I", 0x1E)),
        attribute(7, struct.pack(">I", 90)),
        attribute(99, b"who knows"),
        attribute(9, attribute(1, struct.pack(">Q", 5)), attribute(2, struct.pack(">Q", 500))),
        attribute(10, attribute(1, struct.pack(">Q", 4)), attribute(2, struct.pack(">Q", 4000))),
        attribute(20, attribute(1, struct.pack(">Q", 1)), attribute(2, struct.pack(">Q", 2))),
        attribute(4, attribute(1, attribute(1, b"\7"), attribute(4, b"\5\5"))),
    )


def ping() -> bytes:
    """Return a dumped echo over IPv6."""
    one, other = bytes(15) + b"\1", bytes(15) + b"\2"
    parts = (attribute(7, b"\0\5"), attribute(8, b"\x80"), attribute(9, b"\0"))
    return message(
        0x100, tuple_(1, one, other, *parts, proto=58), tuple_(2, other, one, *parts, proto=58)
    )


def read(data: bytes) -> tuple[Any, Any]:
    """Return the entries of one datagram and the counts."""
    entries, counts = np.zeros(64, ENTRY), np.zeros(1, READ)
    sizes = np.array([len(data)], np.uint32)
    padded = np.frombuffer(data + bytes(1), np.uint8)
    filled, done = read_datagrams(padded, 4096, sizes, 0, entries, counts[0])
    assert done == 1
    return entries[:filled], counts[0]


def whole() -> None:
    """What was put in comes out."""
    entries, counts = read(tcp() + ping() + struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0))
    assert (counts["messages"], counts["malformed"], counts["done"]) == (2, 0, 1), counts
    one, other = entries
    assert one["orig_src_lo"] == 0xFFFF_0A00_0002
    assert one["reply_dst_lo"] == 0xFFFF_CB00_7101
    assert (one["orig_sport"], one["orig_dport"], one["reply_dport"]) == (50_000, 443, 1000)
    assert (one["id"], one["status"], one["timeout"], one["proto"], one["tcp"]) == (7, 30, 90, 6, 7)
    assert one["packets"].tolist() == [5, 4]
    assert one["bytes"].tolist() == [500, 4000]
    assert (one["start"], one["stop"], one["closer"]) == (1, 2, 1)
    assert one["bits"] == COUNTED | STARTED | STOPPED | TIMED | DESTROYED
    assert (other["icmp_type"], other["orig_sport"], other["orig_dst_lo"]) == (128, 5, 2)
    assert other["bits"] == 0


def cut() -> None:
    """At every length nothing but whole messages comes out, and the rest is counted."""
    good = tcp()
    for size in range(len(good)):
        short = good[:size]
        entries, counts = read(short)
        assert len(entries) == 0
        assert counts["malformed"] == (size > 0), size
        if size >= 20:
            entries, counts = read(struct.pack("=I", size) + short[4:])
            assert len(entries) <= 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6), st.binary())
def flipped(changes: list[tuple[int, int]], tail: bytes) -> None:
    """Changed bytes and noise are read without harm, and what comes of them can be told."""
    data = bytearray(tcp() + ping())
    for place, value in changes:
        data[place % len(data)] = value
    for noise in (bytes(data) + tail, tail):
        entries, counts = read(noise)
        assert counts["messages"] >= len(entries)
        meter = ConntrackMeter(SETTINGS, KERNEL)
        meter.begin(GO_ON, START)
        meter.dumped(entries.copy(), START)
        meter.destroyed(entries.copy(), START)
        meter.end(whole=True)


class Teller:
    """Connections as a kernel counts them, and what a meter made of them."""

    def __init__(self) -> None:
        self.meter = ConntrackMeter(SETTINGS, KERNEL)
        self.now = START
        self.live: dict[int, Any] = {}
        self.spoke: dict[int, int] = {}
        self.sums: dict[int, int] = {}
        self.unheard: set[int] = set()
        self.told: list[Any] = [self.meter.destroyed(np.zeros(0, ENTRY), START)]
        self.dump: list[Any] | None = None
        self.look(BEGIN)
        self.read_dump()

    def begin(self, _: int) -> None:
        """Open a UDP connection."""
        key = len(self.sums) + 1
        row = np.zeros(1, ENTRY)
        row["id"], row["orig_src_lo"], row["proto"], row["start"] = key, key, 17, self.now
        row["bits"] = COUNTED | STARTED | TIMED
        self.live[key], self.sums[key], self.spoke[key] = row, 0, self.now

    def key(self, value: int) -> int:
        """Choose a live connection, 0 where there is none."""
        return list(self.live)[value % len(self.live)] if self.live else 0

    def count(self, value: int) -> None:
        """Let packets pass."""
        if key := self.key(value):
            self.live[key]["packets"][0, 0] += value
            self.live[key]["bytes"][0, 0] += 100 * value
            self.sums[key] += value
            self.spoke[key] = self.now

    def row(self, key: int) -> Any:
        """Return what the kernel says of a connection now."""
        row = self.live[key].copy()
        row["timeout"] = max(30 - (self.now - self.spoke[key]) // SECOND, 1)
        return row

    def end(self, value: int) -> None:
        """Close a connection and tell its last word."""
        if key := self.key(value):
            row = self.row(key)
            del self.live[key]
            row["bits"] |= DESTROYED | STOPPED
            row["stop"] = self.now
            self.told.append(self.meter.destroyed(row, self.now))

    def lose(self, value: int) -> None:
        """Close a connection of which nobody hears."""
        if key := self.key(value):
            del self.live[key]
            self.unheard.add(key)

    def look(self, mode: int = GO_ON) -> None:
        """Take a dump; it is read later: what ends in between is told first."""
        if self.dump is None:
            self.meter.begin(mode, self.now)
            self.dump = [self.row(key) for key in self.live]

    def read_dump(self, _: int = 0) -> None:
        """Read the dump that was taken."""
        if self.dump is not None:
            self.told += [self.meter.dumped(row, self.now) for row in self.dump]
            self.told += self.meter.end(whole=True)
            self.dump = None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("bcelLxw"), st.integers(1, 30)), max_size=60))
def sums(steps: list[tuple[str, int]]) -> None:
    """However events and looks interleave, each connection's records add up and one ends it.

    Where its last word is lost ("x"), no more is told of it than passed.
    """
    teller = Teller()
    acts = {
        "b": teller.begin, "c": teller.count, "e": teller.end, "x": teller.lose,
        "l": lambda _: teller.look(), "L": teller.read_dump, "w": lambda _: None,
    }  # fmt: skip
    for what, value in steps:
        teller.now += (value if what == "w" else 1) * SECOND
        acts[what](value)
    teller.read_dump()
    teller.look(LEAVE)
    teller.read_dump()
    flows = np.concatenate(teller.told)
    for key, passed in teller.sums.items():
        mine = flows[flows["orig_lo"] == key]
        total = int(mine["orig_packets"].sum())
        assert int(mine["orig_bytes"].sum()) == 100 * total
        assert (mine["start"] <= mine["end"]).all()
        if key in teller.unheard:
            assert total <= passed
        else:
            assert total == passed, (key, passed, mine)
            assert (mine["partial"] == 0).any()
    assert teller.meter.tracked == len(teller.live)


def main() -> int:
    """Run it all."""
    with np.errstate(over="ignore"):
        whole()
        cut()
        flipped()
        sums()
    return 0


if __name__ == "__main__":
    sys.exit(main())
