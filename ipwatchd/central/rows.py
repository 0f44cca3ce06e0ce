"""Rows of the centre's tables as what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ipwatchd.incidents.signing import fingerprint
from ipwatchd.records.entry import ListEntry
from ipwatchd.records.incident import IncidentEvent

if TYPE_CHECKING:
    import sqlite3

__all__ = [
    "SILENT_SECONDS", "Entry", "SiteState", "TokenRow", "entry_of", "event_of", "site_state_of",
]  # fmt: skip

SILENT_SECONDS: Final = 90.0
"""Six heartbeats of the default interval: a site that is not heard for so long is silent."""


class SiteState(msgspec.Struct, frozen=True, kw_only=True):
    """A site as the centre knows it.

    `waiting` is what it said it has more than is held here, `silent_since` its last contact where
    that is long ago (else 0), `drift` its clock less ours, `unreadable` the events that made no
    sense, `conflict` a sentence or "".
    """

    site: str
    seq: int
    last_contact: float
    waiting: int
    open_incidents: int
    silent_since: float
    drift: float
    unreadable: int
    conflict: str
    key: str = ""
    """The fingerprint of the key that it signs with, as first shown."""


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token, known by the first digits of its hash; `revoked` 0 is valid."""

    id: str
    site: str
    created: float
    revoked: float


class Entry(NamedTuple):
    """A list entry and the site it is for, "" for all."""

    site: str
    entry: ListEntry


def event_of(row: sqlite3.Row) -> IncidentEvent:
    """Return the event of a row of `events`."""
    return IncidentEvent(
        site=row["site"], seq=row["seq"], time=row["time"], incident=row["incident"],
        actor=row["actor"], kind=row["kind"], body=msgspec.json.decode(row["body"]),
        previous=row["previous"], hash=row["hash"], signature=row["signature"],
    )  # fmt: skip


def entry_of(row: sqlite3.Row) -> Entry:
    """Return the list entry of a row of `entries`."""
    entry = ListEntry(
        id=row["id"], list=row["list"], network=row["network"], reason=row["reason"],
        author=row["author"], created=row["created"], expires=row["expires"], source="central",
        ticket=row["ticket"],
    )  # fmt: skip
    return Entry(row["site"], entry)


def site_state_of(row: sqlite3.Row, now: float) -> SiteState:
    """Return the state of a row of a site joined with its conflict."""
    seq, contact = row["seq"] or 0, row["last_contact"] or 0.0
    conflict = (
        f"another chain since event {row['conflict_seq']}: the site's log was put back or forged; "
        "give the site a new name to go on, and keep both"
        if row["conflict_seq"] is not None
        else ""
    )
    if row["other_key"]:
        conflict = conflict or (
            f"shows another key than at first ({fingerprint(row['other_key'])}): its state folder "
            "was lost, or somebody speaks for it; give the site a new name to go on"
        )
    key = fingerprint(row["public_key"]) if row["public_key"] else ""
    return SiteState(
        site=row["site"], key=key, seq=seq, last_contact=contact,
        waiting=max(0, (row["announced"] or 0) - seq), open_incidents=row["open"],
        silent_since=contact if now - contact > SILENT_SECONDS else 0.0,
        drift=row["drift"] or 0.0, unreadable=row["unreadable"] or 0, conflict=conflict,
    )  # fmt: skip
