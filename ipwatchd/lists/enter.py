"""What becomes of an entry that somebody wants on a list: guarded, renewed or new. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ipwatchd.lists.admit import LockOutError, admit, moment, touches, until
from ipwatchd.lists.rows import clean
from ipwatchd.records.network import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.records.entry import ListEntry

__all__ = ["Imported", "Prepared", "guard", "prepare", "renewal"]


class Imported(NamedTuple):
    """What came of many entries; `refused` are (place in the input, why)."""

    added: list[ListEntry]
    renewed: list[ListEntry]
    refused: list[tuple[int, str]]


class Prepared(NamedTuple):
    """Entries that are to be written as new, or over those that are there."""

    added: list[ListEntry]
    renewed: list[ListEntry]
    refused: list[tuple[int, str]]


def prepare(
    entries: Sequence[ListEntry], management: Sequence[str],
    twin: Callable[[ListEntry], ListEntry | None], *, now: float, services: Collection[str] = (),
    sessions: Sequence[str] = (),
) -> Prepared:  # fmt: skip
    """Return what is to be written; of entries that share a key the last counts."""
    new: dict[tuple[str, str, str, str], ListEntry] = {}
    refused: list[tuple[int, str]] = []
    for place, one in enumerate(entries):
        try:
            entry = msgspec.structs.replace(
                one, id=0, network=canonical(one.network)[0], reason=clean(one.reason),
                author=clean(one.author), ticket=clean(one.ticket), created=now,
            )  # fmt: skip
            admit(entry, now=now, services=services)
            guard(entry, management, force=False, sessions=sessions)
        except ValueError as error:
            refused.append((place, str(error)))
            continue
        new[entry.list, entry.network, entry.scope, entry.source] = entry
    made = Prepared([], [], refused)
    for entry in new.values():
        old = twin(entry)
        if old is None:
            made.added.append(entry)
        else:
            made.renewed.append(renewal(entry, old)[0])
    return made


def guard(
    entry: ListEntry, management: Sequence[str], *, force: bool, sessions: Sequence[str] = (),
    stands_for: NDArray[np.void] | None = None,
) -> str:  # fmt: skip
    """Raise LockOutError for a deny over management or an admin's session, unless forced.

    Returns what to say then. `sessions` are addresses that admins are logged in from now,
    `stands_for` is what a selector means now.
    """
    if entry.list != "deny":
        return ""
    hit = touches(entry.network, management, stands_for)
    cut = touches(entry.network, sessions, stands_for)
    # In management too: passes whatever is denied.
    cut = "" if cut and touches(cut, management) else cut
    if hit and not force:
        raise LockOutError(
            f"denying {entry.network} would shut out {hit}, a management network: deny less, or "
            "use --force (management still passes)"
        )
    if cut and not force:
        raise LockOutError(
            f"denying {entry.network} would cut off {cut}, where an SSH session to this machine "
            "comes from: deny less, add it to firewall.management, or use --force"
        )
    said = f"{hit} is a management network and still passes" if hit else ""
    return f"the SSH session from {cut} is cut off" if cut and not said else said


def renewal(entry: ListEntry, old: ListEntry | None) -> tuple[ListEntry, str]:
    """Return the entry as a renewal of `old`, and what to say of it.

    A person's word is taken as it is; a response never shortens what stands.
    """
    if old is None:
        return entry, ""
    expires = entry.expires
    if entry.source.startswith("response:"):
        expires = max(expires, old.expires) if expires and old.expires else 0.0
    renewed = msgspec.structs.replace(entry, id=old.id, created=old.created, expires=expires)
    note = f"already on the {old.list} list since {moment(old.created)}: now {until(expires)}"
    return renewed, note
