"""The difference between what a source said and what it says now. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ipwatchd.lists.admit import admit
from ipwatchd.lists.rows import clean
from ipwatchd.records.network import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ipwatchd.records.entry import ListEntry

__all__ = ["Plan", "Replaced", "plan"]

_SENTENCES: Final = 100  # a feed of a million bad lines must not come back as a million sentences


class Replaced(NamedTuple):
    """How many entries a replacement added, removed and renewed (another end or reason).

    `refused` could not be taken; `problems` says why of the first of them.
    """

    added: int
    removed: int
    renewed: int = 0
    refused: int = 0
    problems: tuple[str, ...] = ()


class Plan(NamedTuple):
    """The entries that a replacement adds, removes and renews; those renewed keep their id."""

    added: list[ListEntry]
    removed: list[ListEntry]
    renewed: list[ListEntry]
    refused: int
    problems: tuple[str, ...]

    def replaced(self) -> Replaced:
        """Return the sizes."""
        return Replaced(
            len(self.added), len(self.removed), len(self.renewed), self.refused, self.problems
        )


def plan(source: str, old: Sequence[ListEntry], wanted: Iterable[ListEntry], *, now: float) -> Plan:
    """Return what makes `old` into `wanted`; where one network comes twice the later end wins."""
    standing = {(entry.list, entry.network): entry for entry in old}
    new: dict[tuple[str, str], ListEntry] = {}
    problems: list[str] = []
    count = 0
    for entry in wanted:
        # Most of a feed is as it was: what is known by its very text needs no second look.
        known = standing.get((entry.list, entry.network))
        if (
            known is not None
            and not _differs(entry, known)
            and (not entry.expires or entry.expires > now)
        ):
            new.setdefault((entry.list, entry.network), known)
            continue
        try:
            ready = _ready(source, entry, now)
        except ValueError as error:
            count += 1
            if count <= _SENTENCES:
                problems.append(str(error))
            continue
        key = (ready.list, ready.network)
        twin = new.get(key)
        if twin is None or _later(ready.expires, twin.expires):
            new[key] = ready
    return Plan(
        added=[entry for key, entry in new.items() if key not in standing],
        removed=[entry for key, entry in standing.items() if key not in new],
        renewed=[
            msgspec.structs.replace(entry, id=standing[key].id, created=standing[key].created)
            for key, entry in new.items()
            if key in standing and _differs(entry, standing[key])
        ],
        refused=count,
        problems=tuple(problems),
    )


def _ready(source: str, entry: ListEntry, now: float) -> ListEntry:
    ready = msgspec.structs.replace(
        entry, id=0, source=source, network=canonical(entry.network)[0],
        author=clean(entry.author) or source, reason=clean(entry.reason) or source,
        ticket=clean(entry.ticket),
        created=entry.created or now,
    )  # fmt: skip
    admit(ready, now=now)
    return ready


def _later(end: float, other: float) -> bool:
    return bool(other) and (not end or end > other)


def _differs(entry: ListEntry, old: ListEntry) -> bool:
    return (entry.expires, entry.reason, entry.author, entry.ticket) != (
        old.expires, old.reason, old.author, old.ticket,
    )  # fmt: skip
