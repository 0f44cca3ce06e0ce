"""Sessions: unbroken activity of one address, merged in whole columns. Pure.

Open sessions and new flows are rows of one table; sorted by address and start, a row that begins
more than the gap after everything before it begins a session. The last session of an address stays
open until the capture clock is a gap past its end.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.history.groups import factorise, greatest, least, totals
from ipwatchd.records.flow import SERVICES, STATES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipwatchd.history.columns import Columns

__all__ = ["SESSION", "Merged", "changed", "merge", "no_sessions", "number", "service_names"]

SESSION: Final = np.dtype(
    [
        ("id", "<i8"),
        ("hi", "<u8"),
        ("lo", "<u8"),
        ("start", "<i8"),
        ("end", "<i8"),
        ("flows", "<i8"),
        ("packets", "<i8"),
        ("bytes", "<i8"),
        ("services", "<u8"),
    ]
)
"""`start` and `end` in milliseconds since the epoch; `services` has a bit for each of SERVICES (the
last for all beyond the 62nd); `id` 0 is not numbered yet."""

# One open session an address: a flood from made-up sources closes the longest idle ones early.
MAX_OPEN: Final = 100_000
_MS: Final = 1_000_000
_LONGEST: Final = (1 << 42) - 1
_REDUCE: Final = {
    "end": np.maximum, "id": np.maximum, "services": np.bitwise_or, "flows": np.add,
    "packets": np.add, "bytes": np.add,
}  # fmt: skip
_MOST: Final = (1 << 62) - 1
# Two-way states of Zeek's conn_state; what never answered makes no session (a spoofed source).
_TWO_WAY: Final = np.isin(STATES, ("S1", "SF", "S2", "S3", "RSTO", "RSTR", "OTH"))
_BIT: Final = np.left_shift(np.uint64(1), np.minimum(np.arange(256), 62).astype(np.uint64))


class Merged(NamedTuple):
    """Sessions still open, those that ended, and how many of these were closed for want of room."""

    open: NDArray[np.void]
    closed: NDArray[np.void]
    cut: int


def no_sessions() -> NDArray[np.void]:
    """Return an empty table."""
    return np.zeros(0, SESSION)


@functools.lru_cache(maxsize=4096)
def service_names(mask: int) -> str:
    """Return the services of a mask, comma-separated."""
    return ",".join(name for bit, name in enumerate(SERVICES[:63]) if name and mask >> bit & 1)


def merge(
    sessions: NDArray[np.void], flows: Columns, now: float, gap: float,
    limit: int = MAX_OPEN,
) -> Merged:  # fmt: skip
    """Add flows (records.flow) to the open sessions; `now` is the capture clock."""
    rows = np.concatenate([sessions, _rows(flows, int(gap * 1000))])
    if not len(rows):
        return Merged(rows, rows, 0)
    joined, group = _join(rows, int(gap * 1000))
    newest = np.append(group[1:] != group[:-1], True)  # an address's last session
    idle = joined["end"] + int(gap * 1000) < int(now * 1000)
    stays = newest & ~idle
    kept = np.flatnonzero(stays)
    cut = max(0, len(kept) - limit)
    if cut:
        stays[kept[np.argpartition(joined["end"][kept], cut)[:cut]]] = False
    return Merged(joined[stays], joined[~stays], cut)


def number(merged: Merged, following: int) -> tuple[Merged, int]:
    """Give new sessions their ids, from `following` on; return it as it is then."""
    for rows in (merged.closed, merged.open):
        new = np.flatnonzero(rows["id"] == 0)
        rows["id"][new] = np.arange(following, following + len(new))
        following += len(new)
    return merged, following


def changed(before: NDArray[np.void], after: NDArray[np.void]) -> NDArray[np.void]:
    """Return the sessions of `after` that flows were added to."""
    stood = np.isin(after["id"] << 32 | after["flows"], before["id"] << 32 | before["flows"])
    return after[~stood]


def _rows(flows: Columns, gap: int) -> NDArray[np.void]:
    """Return rows for the ends of the flows that both sides took part in.

    Flows of one address that all lie within a gap are one row: there is no break between them.
    """
    two_way = _TWO_WAY[np.minimum(flows["state"], len(STATES) - 1)] & (flows["resp_packets"] > 0)
    column = {name: flows[name][two_way] for name in _USED}
    both = np.concatenate
    distinct, place = factorise(
        both([column["orig_hi"], column["resp_hi"]]), both([column["orig_lo"], column["resp_lo"]])
    )
    many = len(distinct)
    start, end = (np.tile(column[name] // _MS, 2) for name in ("start", "end"))
    first, last = least(place, many, start), greatest(place, many, end)
    whole = last - first <= gap
    apart = np.flatnonzero(~whole[place])
    # A place for each address that is one row, then one for each row of the others.
    target = (np.cumsum(whole) - 1)[place]
    target[apart] = int(whole.sum()) + np.arange(len(apart))
    groups = int(whole.sum()) + len(apart)
    rows = np.zeros(groups, SESSION)
    packets, octets = (
        np.tile(np.minimum(column[f"orig_{what}"] + column[f"resp_{what}"], _MOST), 2)
        for what in ("packets", "bytes")
    )
    rows["hi"][target], rows["lo"][target] = distinct["hi"][place], distinct["lo"][place]
    rows["start"], rows["end"] = least(target, groups, start), greatest(target, groups, end)
    rows["flows"] = np.bincount(target, minlength=groups)
    rows["packets"] = totals(target, groups, packets.astype(np.int64))
    rows["bytes"] = totals(target, groups, octets.astype(np.int64))
    services = np.zeros(groups, np.uint64)
    np.bitwise_or.at(services, target, np.tile(_BIT[column["service"]], 2))
    rows["services"] = services
    return rows


_USED: Final = (
    "orig_hi", "orig_lo", "resp_hi", "resp_lo", "start", "end", "orig_packets", "resp_packets",
    "orig_bytes", "resp_bytes", "service",
)  # fmt: skip


def _join(rows: NDArray[np.void], gap: int) -> tuple[NDArray[np.void], NDArray[np.intp]]:
    """Return the sessions that rows make, in order of address and start, and each one's address."""
    _, place = factorise(rows["hi"], rows["lo"])
    # The address's rank above, the time below: one number sorts rows, one running maximum serves
    # all addresses. Times count from the batch's first, in 42 bits of milliseconds (139 years).
    zero = int(rows["start"].min())
    base = place.astype(np.int64) << 42
    begins = base + np.clip(rows["start"] - zero, 0, _LONGEST)
    reaches = base + np.clip(rows["end"] - zero, 0, _LONGEST)
    order = np.argsort(begins)
    first = _breaks(place[order], begins[order], reaches[order], gap)
    joined = rows[order[first]]
    for name, reduce in _REDUCE.items():
        joined[name] = reduce.reduceat(rows[name][order], first)
    return joined, place[order[first]]


def _breaks(
    place: NDArray[np.intp], begins: NDArray[np.int64], reaches: NDArray[np.int64], gap: int
) -> NDArray[np.intp]:
    """Return the rows that begin a session."""
    reach = np.maximum.accumulate(reaches)
    first = np.ones(len(place), np.bool_)
    first[1:] = (place[1:] != place[:-1]) | (begins[1:] - gap > reach[:-1])
    return np.flatnonzero(first)
