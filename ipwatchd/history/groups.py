"""Grouping whole columns: which rows are equal, and each group's sum, minimum, maximum. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.records.address import ADDRESS, unique_addresses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "codes", "factorise", "fold", "greatest", "heaviest", "keys", "least", "ranks", "totals",
]  # fmt: skip

_DENSE: Final = 8


def keys(addresses: NDArray[np.void]) -> list[bytes]:
    """Return addresses (dtype ADDRESS) as the 16 bytes, big-endian, that are their keys."""
    big = np.empty(len(addresses), [("hi", ">u8"), ("lo", ">u8")])
    big["hi"], big["lo"] = addresses["hi"], addresses["lo"]
    found: list[bytes] = big.view("V16").tolist()
    return found


def factorise(
    hi: NDArray[np.uint64], lo: NDArray[np.uint64]
) -> tuple[NDArray[np.void], NDArray[np.intp]]:
    """Return the distinct addresses in order (dtype ADDRESS) and each row's place among them."""
    if hi.any():
        return unique_addresses(hi, lo)
    import pyarrow as pa  # its hash table is three times as fast as a sort

    found = pa.array(lo).dictionary_encode()
    low = found.dictionary.to_numpy()
    order = np.argsort(low)
    place = np.empty(len(low), np.intp)
    place[order] = np.arange(len(low))
    distinct = np.zeros(len(low), ADDRESS)
    distinct["lo"] = low[order]
    return distinct, place[found.indices.to_numpy()]


def totals(place: NDArray[np.intp], groups: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of each group, exactly; much faster than sorting the rows first."""
    found = np.zeros(groups, np.int64)
    np.add.at(found, place, values)
    return found


def least(place: NDArray[np.intp], groups: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the smallest value of each group."""
    found = np.full(groups, np.iinfo(np.int64).max)
    np.minimum.at(found, place, values)
    return found


def greatest(place: NDArray[np.intp], groups: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the largest value of each group."""
    found = np.full(groups, np.iinfo(np.int64).min)
    np.maximum.at(found, place, values)
    return found


def ranks(column: NDArray[np.integer]) -> tuple[NDArray[np.int64], int]:
    """Return a column of small numbers as ranks of those that occur, and how many these are."""
    used = np.flatnonzero(np.bincount(column))
    rank = np.zeros(int(used[-1]) + 1 if len(used) else 1, np.int64)
    rank[used] = np.arange(len(used))
    return rank[column], len(used)


def codes(code: NDArray[np.int64]) -> tuple[int, NDArray[np.intp]]:
    """Return how many distinct codes there are and each row's place among them, in order."""
    if not len(code):
        return 0, np.zeros(0, np.intp)
    if int(code.max()) < _DENSE * len(code):  # few possible codes: counting beats sorting
        seen = np.bincount(code) > 0
        return int(seen.sum()), (np.cumsum(seen) - 1)[code]
    distinct, place = np.unique(code, return_inverse=True)
    return len(distinct), place


def heaviest(weight: NDArray[np.int64], limit: int) -> tuple[NDArray[np.intp], int]:
    """Return which groups to keep where there are too many, the heaviest, and how many go."""
    if len(weight) <= limit:
        return np.arange(len(weight)), 0
    return np.sort(np.argpartition(weight, -limit)[-limit:]), len(weight) - limit


_REDUCE: Final = {"add": np.add, "min": np.minimum, "max": np.maximum}


def fold(rows: NDArray[np.void], by: Sequence[str], how: Mapping[str, str]) -> NDArray[np.void]:
    """Return rows with those equal in `by` made one; `how` says add, min or max of each other field."""  # noqa: E501 - one line says it
    if not len(rows):
        return rows
    group = np.zeros(len(rows), np.int64)
    for name in by:
        column = rows[name].astype(np.int64)
        many, place = codes(column - int(column.min()))
        # Ranks of what was met so far: the product of a few columns would not fit in 63 bits.
        _, group = codes(group * many + place)
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    found = rows[order[first]]
    for name, what in how.items():
        found[name] = _REDUCE[what].reduceat(rows[name][order], first)
    return found
