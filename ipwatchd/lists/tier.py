"""A part of the lists in memory: its rows' ranges, and both lists of it merged.

Feeds and the centre are one tier, people and responses the other: one more deny rebuilds the small
one and leaves a feed of a hundred thousand as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipwatchd.lists.compile import merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Tier", "is_bulk"]


def is_bulk(source: str) -> bool:
    """Tell the sources that are replaced as a whole from those that change line by line."""
    return source.startswith("feed:") or source == "central"


class Tier:
    """Rows (entry id, list, range) and what they come to. Immutable: a change makes a new one."""

    def __init__(
        self, ids: NDArray[np.int64], deny: NDArray[np.bool_], ranges: NDArray[np.void]
    ) -> None:
        self.ids = ids
        self.is_deny = deny
        self.ranges = ranges
        self.allow = merge(ranges[~deny])
        self.deny = merge(ranges[deny])

    def changed(
        self,
        remove: Sequence[int],
        ids: Sequence[int],
        deny: Sequence[bool],
        ranges: NDArray[np.void],
    ) -> Tier:
        """Return the tier without the ids `remove` and with the rows given."""
        keep = np.isin(self.ids, np.array(remove, np.int64), invert=True)
        return Tier(
            np.concatenate([self.ids[keep], np.array(ids, np.int64)]),
            np.concatenate([self.is_deny[keep], np.array(deny, np.bool_)]),
            np.concatenate([self.ranges[keep], ranges]),
        )

    def holding(self, hi: int, lo: int) -> list[int]:
        """Return the ids of all rows that hold an address."""
        high, low, ranges = np.uint64(hi), np.uint64(lo), self.ranges
        begun = (ranges["first_hi"] < high) | (
            (ranges["first_hi"] == high) & (ranges["first_lo"] <= low)
        )
        open_ = (ranges["last_hi"] > high) | (
            (ranges["last_hi"] == high) & (ranges["last_lo"] >= low)
        )
        found: list[int] = self.ids[begun & open_].tolist()
        return found

    def ended(self, now: int) -> list[int]:
        """Return the ids of the rows whose end (epoch ns) has come."""
        expires = self.ranges["expires"]
        found: list[int] = self.ids[(expires > 0) & (expires <= now)].tolist()
        return found

    def next_expiry(self) -> int:
        """Return the soonest end (epoch ns), or 0 where no row ever ends."""
        expires = self.ranges["expires"]
        ends = expires[expires > 0]
        return int(ends.min()) if len(ends) else 0
