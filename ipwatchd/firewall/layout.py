"""Policy → which kernel sets there are, what each shall hold, and what has to change; pure.

What people and responses deny goes into a small hash set with timeouts (single addresses) and an
interval set (networks): one more is one element. What comes in masses is cut into prefixes, a hash
set for each length of which there are many and one interval set for the rest. docs/firewall.md has
the measurements that led here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.firewall.prefixes import last_of, prefixes
from ipwatchd.records.address import V4_PREFIX, is_v4, join
from ipwatchd.records.policy import RANGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ipwatchd.records.policy import Policy

__all__ = [
    "LIVE", "Columns", "Ranges", "SetSpec", "changes", "columns", "distribute",
    "in_force", "of_family", "plan", "range_of_keys", "range_text", "sizes", "slices", "soonest",
    "unexpired",
]  # fmt: skip

_ROOM: Final = 1 << 14
_BULK_ROOM: Final = 1 << 12
_LARGEST_ROOM: Final = 1 << 24
"""Most prefixes of one length: bounds what a hostile or broken feed takes of the kernel."""
_MANY: Final = 512
"""From so many prefixes of one length up they get a hash set: a look-up in it costs what a few
steps down the tree of an interval set do, and a change of it does not pay for the whole tree."""
_SLICE: Final = 1 << 16
_NANOSECONDS: Final = 1_000_000_000
_WIDTH: Final = {4: 32, 6: 128}


class SetSpec(NamedTuple):
    """One kernel set: which list it serves, and what it takes.

    A hash set holds the prefixes of one `length`, by their first address; an interval set holds
    any ranges and has length 0. Without `timeout` a set takes nothing that ends.
    """

    name: str
    list: str
    family: int
    interval: bool
    timeout: bool
    length: int = 0

    @property
    def key(self) -> int:
        """Key length in bytes."""
        return 4 if self.family == 4 else 16

    @property
    def counted(self) -> bool:
        """Tell whether each element counts what it met: what people and responses entered.

        Not the masses: a counter is memory for each processor, and half of the time of a load.
        """
        return not self.list.startswith("bulk_") and not self.list.endswith(("management", "-to"))

    @property
    def single(self) -> bool:
        """Tell whether it holds single addresses alone."""
        return self.length == _WIDTH[self.family]


LIVE: Final = (
    SetSpec("management4", "management", 4, interval=True, timeout=False),
    SetSpec("management6", "management", 6, interval=True, timeout=False),
    SetSpec("allow4", "allow", 4, interval=True, timeout=True),
    SetSpec("allow6", "allow", 6, interval=True, timeout=True),
    SetSpec("deny4", "deny", 4, interval=False, timeout=True, length=32),
    SetSpec("deny6", "deny", 6, interval=False, timeout=True, length=128),
    SetSpec("deny4_nets", "deny", 4, interval=True, timeout=True),
    SetSpec("deny6_nets", "deny", 6, interval=True, timeout=True),
)
"""The sets that are always there."""

Ranges = dict[str, "NDArray[np.void]"]
"""Ranges by name of a list, or of a set."""


def in_force(policy: Policy, now: float) -> Ranges:
    """Return the ranges of every list that stand at `now`; management never ends."""
    standing = {name: unexpired(ranges, now) for name, ranges in policy.lists().items()}
    management = policy.management
    if management["expires"].any():
        management = management.copy()
        management["expires"] = 0
    return {**standing, "management": management}


def plan(lists: Mapping[str, NDArray[np.void]]) -> tuple[SetSpec, ...]:
    """Return the sets for these lists: those always there, and what the masses need."""
    specs = [*LIVE]
    for family in (4, 6):
        allow = of_family(lists.get("bulk_allow"), family)
        if len(allow):
            specs.append(
                SetSpec(f"bulk_allow{family}", "bulk_allow", family, interval=True, timeout=True)
            )
        deny = of_family(lists.get("bulk_deny"), family)
        if len(deny):
            specs += _bulk(deny, family)
        specs += [
            SetSpec(f"{name}{family}", name, family, interval=True, timeout=True)
            for name in lists if name.startswith("on-")
        ]  # fmt: skip
    return tuple(specs)


def of_family(ranges: NDArray[np.void] | None, family: int) -> NDArray[np.void]:
    """Return the ranges of one family: the same array where all are."""
    if ranges is None or not len(ranges):
        return np.zeros(0, RANGE)
    four = is_v4(ranges["first_hi"], ranges["first_lo"])
    mine = four if family == 4 else ~four
    found: NDArray[np.void] = ranges if mine.all() else ranges[mine]
    return found


def slices(ranges: NDArray[np.void]) -> Iterator[NDArray[np.void]]:
    """Yield ranges in parts: what is made of a million at once takes several times their memory."""
    for start in range(0, len(ranges), _SLICE):
        yield ranges[start : start + _SLICE]


def _bulk(deny: NDArray[np.void], family: int) -> list[SetSpec]:
    count, timed = np.zeros(129, np.intp), np.zeros(129, np.intp)
    for part in slices(deny):
        cut = prefixes(part, family)
        count += np.bincount(cut.length, minlength=129)
        timed += np.bincount(cut.length[cut.ranges["expires"] != 0], minlength=129)
    rest = SetSpec(f"bulk{family}_nets", "bulk_deny", family, interval=True, timeout=True)
    own = [
        SetSpec(
            f"bulk{family}_{length}", "bulk_deny", family, interval=False,
            timeout=bool(timed[length]), length=length,
        )
        for length in np.flatnonzero(count >= _MANY).tolist()
        if length
    ]  # fmt: skip
    return [*own, rest]


def distribute(lists: Mapping[str, NDArray[np.void]], specs: Sequence[SetSpec]) -> Ranges:
    """Return what every set of these lists holds; OverflowError where a list has no set."""
    held: Ranges = {}
    for name, ranges in lists.items():
        for family in (4, 6):
            mine = [spec for spec in specs if spec.list == name and spec.family == family]
            part = of_family(ranges, family)
            if mine:
                _share(part, mine, family, held)
            elif len(part):
                raise OverflowError(f"there is no set for {name} of IPv{family}")
    return held


def _share(ranges: NDArray[np.void], specs: Sequence[SetSpec], family: int, held: Ranges) -> None:
    """Share ranges of one family out among the sets of a list."""
    hashed = [spec for spec in specs if not spec.interval]
    rest = next(spec for spec in specs if spec.interval)
    if not hashed:
        held[rest.name] = ranges
        return
    if all(spec.single for spec in hashed):
        single = (ranges["first_hi"] == ranges["last_hi"]) & (
            ranges["first_lo"] == ranges["last_lo"]
        )
        pieces, length = ranges, np.where(single, _WIDTH[family], 0)
    else:
        cut = prefixes(ranges, family)
        pieces, length = cut.ranges, cut.length.astype(np.intp)
    left = np.ones(len(pieces), np.bool_)
    for spec in hashed:
        own = length == spec.length
        if not spec.timeout:
            own &= pieces["expires"] == 0
        held[spec.name] = pieces[own]
        left &= ~own
    others = pieces[left]
    held[rest.name] = others[np.lexsort((others["first_lo"], others["first_hi"]))]


def soonest(ranges: NDArray[np.void]) -> int:
    """Return when the first of these ranges ends (epoch ns), or 0 where none ever does."""
    ends = ranges["expires"][ranges["expires"] > 0]
    return int(ends.min()) if len(ends) else 0


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
    first: NDArray[np.uint8], last: NDArray[np.uint8], family: int, length: int = 0
) -> NDArray[np.void]:
    """Return ranges of keys in network order, inclusive; expires is 0.

    With a length `first` are prefixes of that length and `last` is not looked at.
    """
    ranges = np.zeros(len(first), RANGE)
    for name, keys in (("first", first), ("last", last)):
        if family == 4:
            low = np.ascontiguousarray(keys).view(">u4").reshape(-1).astype(np.uint64)
            ranges[f"{name}_lo"] = low | np.uint64(V4_PREFIX)
        else:
            both = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2)
            ranges[f"{name}_hi"], ranges[f"{name}_lo"] = both[:, 0], both[:, 1]
    if length:
        last_of(ranges, length, family)
    return ranges


def sizes(counts: Mapping[str, int], specs: Sequence[SetSpec] = LIVE) -> dict[str, int]:
    """Return how many elements each set has room for; OverflowError above what may be.

    With a `size` the kernel makes a hash table large enough at once. It can't grow inside one
    transaction, and a load into a table that is too small is quadratic. The interval set of the
    masses has a bound of its own: what grows over it deserves a hash set.
    """
    room: dict[str, int] = {}
    for spec in specs:
        count = counts.get(spec.name, 0)
        bulk = spec.list == "bulk_deny"
        if spec.interval and not bulk:
            continue
        if count > _LARGEST_ROOM // 2 and not spec.interval:
            raise OverflowError(
                f"{count} denied prefixes of one length are more than {_LARGEST_ROOM // 2}: "
                "take feeds out or deny larger networks instead"
            )
        least = _BULK_ROOM if bulk else _ROOM
        room[spec.name] = count + count // 4 + least if bulk else max(least, 2 * count)
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
