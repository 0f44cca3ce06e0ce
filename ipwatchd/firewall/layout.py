"""Policy → what each kernel set shall hold, and what has to change; pure.

A range of one address goes into a hash set with timeouts: one more deny is one element, whatever
else is denied. Longer ranges go into an interval set, which takes ranges as they are. Which sets
there are is one table (SETS), so that another layout is another table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.records.address import V4_PREFIX, is_v4, join
from ipwatchd.records.policy import RANGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ipwatchd.records.policy import Policy

__all__ = [
    "SETS", "Columns", "Ranges", "SetSpec", "changes", "columns", "distribute", "in_force",
    "range_of_keys", "range_text", "sizes", "unexpired",
]  # fmt: skip

_ROOM: Final = 1 << 14
_LARGEST_ROOM: Final = 1 << 24
"""Most single addresses of one family: bounds what a hostile or broken feed takes of the kernel."""
_NANOSECONDS: Final = 1_000_000_000


class SetSpec(NamedTuple):
    """One kernel set: which list it serves, family (4, 6), and single addresses or intervals."""

    name: str
    list: str
    family: int
    interval: bool
    timeout: bool

    @property
    def key(self) -> int:
        """Key length in bytes."""
        return 4 if self.family == 4 else 16


SETS: Final = (
    SetSpec("management4", "management", 4, interval=True, timeout=False),
    SetSpec("management6", "management", 6, interval=True, timeout=False),
    SetSpec("allow4", "allow", 4, interval=True, timeout=True),
    SetSpec("allow6", "allow", 6, interval=True, timeout=True),
    SetSpec("deny4", "deny", 4, interval=False, timeout=True),
    SetSpec("deny6", "deny", 6, interval=False, timeout=True),
    SetSpec("deny4_nets", "deny", 4, interval=True, timeout=True),
    SetSpec("deny6_nets", "deny", 6, interval=True, timeout=True),
)

Ranges = dict[str, "NDArray[np.void]"]
"""Ranges by name of a list, or of a set."""


def in_force(policy: Policy, now: float) -> Ranges:
    """Return the ranges of every list that stand at `now`; management never ends."""
    management = policy.management
    if management["expires"].any():
        management = management.copy()
        management["expires"] = 0
    return {
        "management": management,
        "allow": unexpired(policy.allow, now),
        "deny": unexpired(policy.deny, now),
    }


def distribute(lists: Mapping[str, NDArray[np.void]]) -> Ranges:
    """Return the ranges of every set of these lists, sorted."""
    held: Ranges = {}
    for name, ranges in lists.items():
        four = is_v4(ranges["first_hi"], ranges["first_lo"])
        single = (ranges["first_hi"] == ranges["last_hi"]) & (
            ranges["first_lo"] == ranges["last_lo"]
        )
        hashed = {spec.family for spec in SETS if spec.list == name and not spec.interval}
        for spec in SETS:
            if spec.list != name:
                continue
            mine = four if spec.family == 4 else ~four
            if spec.family in hashed:
                mine = mine & (~single if spec.interval else single)
            held[spec.name] = ranges[mine]
    return held


def unexpired(ranges: NDArray[np.void], now: float) -> NDArray[np.void]:
    """Return the ranges that have not ended at `now`."""
    stands = (ranges["expires"] == 0) | (ranges["expires"] > int(now * _NANOSECONDS))
    if stands.all():
        return ranges
    live: NDArray[np.void] = ranges[stands]
    return live


def changes(
    held: NDArray[np.void], wanted: NDArray[np.void]
) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return (to add, to remove) between two sorted range arrays, expiry included.

    The common head and tail are found by comparing memory; only what is between is sorted.
    """
    head = _common(held, wanted)
    tail = _common(held[head:][::-1], wanted[head:][::-1])
    old, new = held[head : len(held) - tail], wanted[head : len(wanted) - tail]
    if not len(old) or not len(new):
        return new, old
    both = np.concatenate([old, new])
    names = ("expires", "last_lo", "last_hi", "first_lo", "first_hi")
    order = np.lexsort(tuple(both[name] for name in names))
    ordered = both[order]
    same = np.ones(len(both) - 1, np.bool_)
    for name in names:
        same &= ordered[name][1:] == ordered[name][:-1]
    lone = np.ones(len(both), np.bool_)
    lone[1:] &= ~same
    lone[:-1] &= ~same
    changed = np.sort(order[lone])
    return both[changed[changed >= len(old)]], both[changed[changed < len(old)]]


def _common(one: NDArray[np.void], other: NDArray[np.void]) -> int:
    """Return how many leading rows are equal."""
    rows = min(len(one), len(other))
    step, done = 4096, 0
    while done < rows:
        upto = min(done + step, rows)
        equal = one[done:upto] == other[done:upto]
        if not equal.all():
            return done + int(np.argmin(equal))
        done, step = upto, step * 4
    return rows


class Columns(NamedTuple):
    """Ranges as the kernel takes them: keys in network order; `after` is the last address plus one.

    `open` tells where there is none: the range goes up to the highest address. Milliseconds are
    the time left, 0 where there is no end.
    """

    first: NDArray[np.uint8]
    after: NDArray[np.uint8]
    open: NDArray[np.bool_]
    milliseconds: NDArray[np.uint64]


def columns(ranges: NDArray[np.void], family: int, now: float) -> Columns:
    """Return the kernel's columns of ranges of one family."""
    hi, lo = ranges["last_hi"].copy(), ranges["last_lo"] + np.uint64(1)
    hi += lo == 0
    first = _keys(ranges["first_hi"], ranges["first_lo"], family)
    after = _keys(hi, lo, family)
    left = ranges["expires"] - int(now * _NANOSECONDS)
    milliseconds = np.where(ranges["expires"] == 0, 0, np.maximum(-(-left // 1_000_000), 1))
    wrapped: NDArray[np.bool_] = np.logical_not(after.any(axis=1))
    return Columns(first, after, wrapped, milliseconds.astype(np.uint64))


def _keys(hi: NDArray[np.uint64], lo: NDArray[np.uint64], family: int) -> NDArray[np.uint8]:
    if family == 4:
        low: NDArray[np.uint8] = (lo & np.uint64(0xFFFFFFFF)).astype(">u4").view(np.uint8)
        return low.reshape(-1, 4)
    both = np.empty((len(hi), 2), ">u8")
    both[:, 0], both[:, 1] = hi, lo
    return both.view(np.uint8).reshape(-1, 16)


def range_of_keys(
    first: NDArray[np.uint8], last: NDArray[np.uint8], family: int
) -> NDArray[np.void]:
    """Return ranges of keys in network order, inclusive; expires is 0."""
    ranges = np.zeros(len(first), RANGE)
    for name, keys in (("first", first), ("last", last)):
        if family == 4:
            low = np.ascontiguousarray(keys).view(">u4").reshape(-1).astype(np.uint64)
            ranges[f"{name}_lo"] = low | np.uint64(V4_PREFIX)
        else:
            both = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2)
            ranges[f"{name}_hi"], ranges[f"{name}_lo"] = both[:, 0], both[:, 1]
    return ranges


def sizes(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the `size` of each hash set: room to double; OverflowError above what may be.

    With a size the kernel makes the table large enough at once. It can't grow inside one
    transaction, and a load into a table that is too small is quadratic.
    """
    room: dict[str, int] = {}
    for spec in SETS:
        if spec.interval:
            continue
        count = counts.get(spec.name, 0)
        if count > _LARGEST_ROOM // 2:
            raise OverflowError(
                f"{count} denied single addresses are more than {_LARGEST_ROOM // 2}: "
                "take feeds out or deny networks instead"
            )
        room[spec.name] = max(_ROOM, 1 << (2 * count).bit_length())
    return room


def range_text(row: np.void) -> str:
    """Return a range as people write it: an address, a prefix, or first-last."""
    first = join(int(row["first_hi"]), int(row["first_lo"]))
    last = join(int(row["last_hi"]), int(row["last_lo"]))
    size = int(last) - int(first) + 1
    if size == 1:
        return str(first)
    if size & (size - 1) == 0 and int(first) % size == 0:
        return f"{first}/{first.max_prefixlen - size.bit_length() + 1}"
    return f"{first}-{last}"
