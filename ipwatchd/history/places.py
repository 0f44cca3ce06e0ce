"""Which addresses were looked up lately: a bounded memory between flushes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from ipwatchd.history.groups import keys
from ipwatchd.history.writing import Sighting
from ipwatchd.records.address import address_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.history.rollup import Summary
    from ipwatchd.records.place import Place

__all__ = ["Places"]

# An attacker who uses a new source each packet pushes out the oldest; about 60 MB when full.
MAX_KNOWN: Final = 131_072
# Look-ups cost some 20 µs each: those above this in one flush wait until they are seen again.
MAX_LOOKUPS: Final = 5_000
AGAIN: Final = 3600.0


class Places:
    """Looks an address up once an hour of its activity."""

    def __init__(self, locate: Callable[[str], Place | None]) -> None:
        self._locate = locate
        self._known: OrderedDict[bytes, tuple[Place, float]] = OrderedDict()
        self.deferred = 0

    def sight(self, summary: Summary) -> list[Sighting]:
        """Return the addresses of a summary that are due, looked up."""
        found: list[Sighting] = []
        rows = summary.addresses
        seen, place_of = (rows["last"] / 1e9).tolist(), rows["address"].tolist()
        for index, key in enumerate(keys(summary.distinct[rows["address"]])):
            known = self._known.get(key)
            if known and abs(seen[index] - known[1]) < AGAIN:
                continue
            if len(found) >= MAX_LOOKUPS:
                self.deferred += 1
                continue
            row = summary.distinct[place_of[index]]
            place = self._locate(address_text(int(row["hi"]), int(row["lo"])))
            if place is not None:
                found.append(Sighting(key, place, seen[index]))
        return found

    def keep(self, sightings: list[Sighting]) -> None:
        """Remember what was written."""
        for one in sightings:
            self._known[one.address] = (one.place, one.seen)
            self._known.move_to_end(one.address)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def known(self) -> dict[bytes, Place]:
        """Return the places at hand."""
        return {key: place for key, (place, _) in self._known.items()}

    def drop(self, first: bytes, last: bytes) -> None:
        """Forget the addresses of a network."""
        for key in [key for key in self._known if first <= key <= last]:
            del self._known[key]

    def forget(self) -> None:
        """Look everything up again (the databases or zones changed)."""
        self._known.clear()
