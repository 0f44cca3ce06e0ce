"""Ranges → prefixes: every range as the fewest aligned blocks, a million at once; pure.

A hash set can hold prefixes of one length and nothing else, so ranges have to be cut for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.policy import RANGE

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Blocks", "last_of", "prefixes"]

_ALL: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_ONE: Final = np.uint64(1)


class Blocks(NamedTuple):
    """Prefixes as ranges (dtype RANGE, expiry kept) and the length of each."""

    ranges: NDArray[np.void]
    length: NDArray[np.uint8]


class _Cut(NamedTuple):
    """Aligned blocks of a 64-bit field: which row each is of, its first number, its free bits."""

    row: NDArray[np.intp]
    first: NDArray[np.uint64]
    bits: NDArray[np.uint8]


def prefixes(ranges: NDArray[np.void], family: int) -> Blocks:
    """Return the prefixes that make up ranges of one family, in no particular order."""
    single = (ranges["first_lo"] == ranges["last_lo"]) & (ranges["first_hi"] == ranges["last_hi"])
    width = 32 if family == 4 else 128
    alone = Blocks(ranges[single], np.full(np.count_nonzero(single), width, np.uint8))
    wide = ranges[~single]
    if family == 6:
        return _joined([alone, *(_six(part) for part in _by_half(wide))])
    low = np.uint64(V4_PREFIX)
    cut = _cut(wide["first_lo"] - low, wide["last_lo"] - low, 32)
    high = np.zeros(len(cut.row), np.uint64)
    return _joined([alone, _blocks(wide, cut.row, high, cut.first | low, 32 - cut.bits, 32)])


def last_of(first: NDArray[np.void], length: int, family: int) -> None:
    """Make rows that hold the first address of prefixes of one length reach to their last."""
    hi, lo = _masks(np.array([(32 if family == 4 else 128) - length], np.uint64))
    first["last_hi"] = first["first_hi"] | hi
    first["last_lo"] = first["first_lo"] | lo


def _masks(free: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return both halves with so many low bits set (a shift by 64 is not defined)."""
    over = np.where(free > 64, free - np.minimum(free, np.uint64(64)), np.uint64(0))
    hi = np.where(over >= 64, _ALL, (_ONE << np.minimum(over, np.uint64(63))) - _ONE)
    lo = np.where(free >= 64, _ALL, (_ONE << np.minimum(free, np.uint64(63))) - _ONE)
    return hi, lo


def _by_half(ranges: NDArray[np.void]) -> list[NDArray[np.void]]:
    """Cut IPv6 ranges at /64 borders: what is left lies in one /64 or is made of whole ones."""
    across = ranges["first_hi"] != ranges["last_hi"]
    inside, wide = ranges[~across], ranges[across].copy()
    head = wide[wide["first_lo"] != 0].copy()
    head["last_hi"], head["last_lo"] = head["first_hi"], _ALL
    tail = wide[wide["last_lo"] != _ALL].copy()
    tail["first_hi"], tail["first_lo"] = tail["last_hi"], 0
    wide["first_hi"] += wide["first_lo"] != 0
    wide["last_hi"] -= wide["last_lo"] != _ALL
    wide["first_lo"], wide["last_lo"] = 0, _ALL
    middle = wide[wide["first_hi"] <= wide["last_hi"]]
    return [inside, head, tail, middle]


def _six(ranges: NDArray[np.void]) -> Blocks:
    whole = (ranges["first_lo"] == 0) & (ranges["last_lo"] == _ALL)
    high, low = ranges[whole], ranges[~whole]
    upper = _cut(high["first_hi"], high["last_hi"], 64)
    lower = _cut(low["first_lo"], low["last_lo"], 64)
    nought = np.zeros(len(upper.row), np.uint64)
    return _joined(
        [
            _blocks(high, upper.row, upper.first, nought, 64 - upper.bits, 128),
            _blocks(low, lower.row, low["first_hi"][lower.row], lower.first, 128 - lower.bits, 128),
        ]
    )


def _joined(parts: list[Blocks]) -> Blocks:
    return Blocks(
        np.concatenate([one.ranges for one in parts]), np.concatenate([one.length for one in parts])
    )


def _blocks(
    ranges: NDArray[np.void], row: NDArray[np.intp], hi: NDArray[np.uint64],
    lo: NDArray[np.uint64], length: NDArray[np.uint8], width: int,
) -> Blocks:  # fmt: skip
    made = np.empty(len(row), RANGE)
    made["first_hi"], made["first_lo"] = hi, lo
    over, under = _masks(width - length.astype(np.uint64))
    made["last_hi"], made["last_lo"] = hi | over, lo | under
    made["expires"] = ranges["expires"][row]
    return Blocks(made, length)


def _cut(first: NDArray[np.uint64], last: NDArray[np.uint64], width: int) -> _Cut:
    """Cut inclusive ranges of numbers of `width` bits into aligned blocks.

    Level by level as in a segment tree: an odd first and an even last stand alone, what is between
    are pairs, which are the numbers of the next level.
    """
    row = np.arange(len(first))
    rows: list[NDArray[np.intp]] = []
    firsts: list[NDArray[np.uint64]] = []
    bits: list[NDArray[np.uint8]] = []

    def put(which: NDArray[np.bool_], number: NDArray[np.uint64], level: int) -> None:
        rows.append(row[which])
        firsts.append(number[which] << np.uint64(level) if level < 64 else number[which])
        bits.append(np.full(len(rows[-1]), level, np.uint8))

    for level in range(width + 1):
        if not len(row):
            break
        odd = (first & _ONE) == 1
        put(odd, first, level)
        done = odd & (first == last)
        first = first + odd
        even = ~done & ((last & _ONE) == 0)
        put(even, last, level)
        done |= even & (first == last)
        going = ~done
        row, first = row[going], first[going] >> _ONE
        last = (last - even)[going] >> _ONE
        # What was two lone neighbours has nothing between them.
        left = first <= last
        row, first, last = row[left], first[left], last[left]
    if not rows:
        return _Cut(row, first, np.zeros(0, np.uint8))
    return _Cut(np.concatenate(rows), np.concatenate(firsts), np.concatenate(bits))
