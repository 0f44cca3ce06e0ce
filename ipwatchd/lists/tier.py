"""A part of the lists in memory: its rows' ranges, and both lists of it merged.

Feeds, the centre and imports are one tier, people and responses the other: one more deny rebuilds
the small one and leaves a feed of a million as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipwatchd.lists.compile import merge
from ipwatchd.lists.match import Matcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Tier", "is_bulk", "is_replaced"]


def is_replaced(source: str) -> bool:
    """Tell the sources that are replaced as a whole from those that change line by line."""
    return source.startswith("feed:") or source == "central"


def is_bulk(source: str) -> bool:
    """Tell the sources that come in masses."""
    return is_replaced(source) or source == "import"


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
        self.allows = Matcher(self.allow)
        self.denies = Matcher(self.deny)
        ends = ranges["expires"][ranges["expires"] > 0]
        self.next_expiry = int(ends.min()) if len(ends) else 0
        """The soonest end (epoch ns), or 0 where no row ever ends."""

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
        one = np.array([hi], np.uint64), np.array([lo], np.uint64)
        if not (self.allows(*one)[0] or self.denies(*one)[0]):
            return []
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
        if not self.next_expiry or now < self.next_expiry:
            return []
        expires = self.ranges["expires"]
        found: list[int] = self.ids[(expires > 0) & (expires <= now)].tolist()
        return found

    def standing(self, list: str, now: int) -> NDArray[np.void]:  # noqa: A002 (the vocabulary's)
        """Return a list merged, as of `now` (epoch ns); the same array while nothing ends."""
        merged = self.allow if list == "allow" else self.deny
        if not self.next_expiry or now < self.next_expiry:
            return merged
        stands: NDArray[np.void] = merged[(merged["expires"] == 0) | (merged["expires"] > now)]
        return stands
