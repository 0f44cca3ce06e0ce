"""What each entry has met, out of what the kernel's elements counted; pure.

An element is a range of the lists after merging: entries that overlap or touch and end together
are one element and share its count. Counts begin when the element is put down (start of the daemon,
a renewal, a repair).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ipwatchd.firewall.kernel import Hits

__all__ = ["Met", "Tally"]


class Met(NamedTuple):
    """Packets and bytes (IP layer) that an entry met."""

    packets: int
    bytes: int


class Tally:
    """The elements of every list, to be asked for ranges."""

    def __init__(self, hits: Iterable[Hits]) -> None:
        """Take elements, disjoint within a list."""
        self._elements: dict[str, list[Hits]] = {}
        for one in hits:
            self._elements.setdefault(one.list, []).append(one)
        for rows in self._elements.values():
            rows.sort(key=lambda row: row.first)
        self._lasts = {name: [row.last for row in rows] for name, rows in self._elements.items()}

    def met(self, name: str, ranges: Sequence[tuple[int, int]]) -> Met | None:
        """Return what a list's elements that share an address with these ranges have met.

        Ranges are (first, last) as numbers (records.address); None where no element does.
        """
        rows, lasts = self._elements.get(name, []), self._lasts.get(name, [])
        found: dict[int, Hits] = {}
        for first, last in ranges:
            place = bisect_left(lasts, first)
            while place < len(rows) and rows[place].first <= last:
                found[place] = rows[place]
                place += 1
        if not found:
            return None
        return Met(
            sum(row.packets for row in found.values()), sum(row.bytes for row in found.values())
        )
