"""Sources that tried one target so far, in whole columns: most never try a second.

The attack that it stops: a sender that forges a new source for each packet would have a record made
for each, and drive out those of real scanners. A source gets a record with its second target. A
slot belongs to whoever came last: what a forger can overwrite is one target of a scanner's many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ipwatchd.detect.batch import address_hash, runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SLOT", "Doorstep", "Let"]

SLOT: Final = np.dtype([
    ("tag", "u8"), ("target", "u8"), ("hi", "u8"), ("lo", "u8"), ("started", "i8"), ("last", "i8"),
    ("flows", "u4"), ("known", "?"),
])  # fmt: skip
"""A source (its hash), its one target and responder, when (epoch ns), and whether it went on."""
_SLOTS_A_SOURCE: Final = 2
_WHOLE: Final = np.dtype((np.void, SLOT.itemsize))
"""A slot as so many bytes: numpy copies those at once, and fields one by one."""


class Let(NamedTuple):
    """Which rows go on, and for each of these what the doorstep held of its source (SLOT)."""

    rows: NDArray[np.bool_]
    held: NDArray[np.void]


class Doorstep:
    """Two slots for each of `sources`, rounded up to a power of two; `quiet` in ns ends one."""

    def __init__(self, sources: int, quiet: int) -> None:
        size = 1 << (sources * _SLOTS_A_SOURCE - 1).bit_length()
        self._slots = np.zeros(size, SLOT)
        self._mask = np.uint64(size - 1)
        self._quiet = quiet
        self.waiting = 0
        """Rows that were the first of their source and went no further."""

    def let(
        self, flows: NDArray[np.void], targets: NDArray[np.uint64], side: str = "orig",
        tags: NDArray[np.uint64] | None = None,
    ) -> Let:  # fmt: skip
        """Return the rows (FLOW) of sources that have tried a second target by now.

        `held` has flows = 0 where the doorstep had nothing to hand on. With the `side` "resp" it
        keeps responders, and whoever tried them. `tags` are the sources' hashes where known.
        """
        other = "resp" if side == "orig" else "orig"
        if not len(flows):
            return Let(np.zeros(0, np.bool_), np.zeros(0, SLOT))
        if tags is None:
            tags = address_hash(flows[f"{side}_hi"], flows[f"{side}_lo"])
        order = np.argsort(tags, kind="stable")
        sorted_tags, sorted_targets = tags[order], targets[order]
        starts, counts = runs(sorted_tags)
        first = order[starts]
        group = np.zeros(len(starts), SLOT)
        group["tag"], group["target"] = sorted_tags[starts], sorted_targets[starts]
        group["hi"], group["lo"] = flows[f"{other}_hi"][first], flows[f"{other}_lo"][first]
        group["last"] = np.maximum.reduceat(flows["end"][order], starts)
        group["started"] = np.minimum.reduceat(flows["start"][order], starts)
        group["flows"] = counts
        several = np.minimum.reduceat(sorted_targets, starts) != np.maximum.reduceat(
            sorted_targets, starts
        )
        goes_on, held = self._visit(group, several)
        rows = np.zeros(len(order), np.bool_)
        rows[order] = np.repeat(goes_on, counts)
        of_group = np.empty(len(order), np.intp)
        of_group[order] = np.repeat(np.arange(len(starts)), counts)
        self.waiting += int(len(order) - np.count_nonzero(rows))
        return Let(rows, held.take(of_group[rows]))

    def _visit(
        self, group: NDArray[np.void], several: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.void]]:
        """Return which groups go on, with what was held of them; note all of them."""
        places = (group["tag"] & self._mask).astype(np.intp)
        old = self._slots.take(places)
        same = (old["tag"] == group["tag"]) & (group["last"] - old["last"] <= self._quiet)
        goes_on = several | (same & (old["known"] | (old["target"] != group["target"])))
        handed = np.flatnonzero(same & ~old["known"] & goes_on)
        held = np.zeros(len(old), SLOT)
        held.view(_WHOLE)[handed] = old.take(handed).view(_WHOLE)
        stays = same & ~goes_on
        group["flows"][stays] += old["flows"][stays]
        group["started"][stays] = old["started"][stays]
        group["known"] = goes_on
        self._slots.view(_WHOLE)[places] = group.view(_WHOLE)
        return goes_on, held
