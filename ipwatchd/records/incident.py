"""The incident and the append-only events that it is the fold of.

An incident event is `(site, seq, time, actor, kind, body, previous, hash)`: gapless from 1 for each
site, each event's hash over its own fields and the hash before it. Nothing is edited in place.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

__all__ = [
    "GENESIS", "OPEN_STATES", "PRIORITIES", "STATES", "Incident", "IncidentEvent", "Report",
    "event_hash",
]  # fmt: skip

STATES: Final = (
    "NEW", "TRIAGE", "CONFIRMED", "CONTAINED", "RESOLVED", "REVIEW", "CLOSED", "REJECTED", "MERGED",
)  # fmt: skip
OPEN_STATES: Final = STATES[:6]
PRIORITIES: Final = ("P1", "P2", "P3", "P4", "P5")
GENESIS: Final = "0" * 64


class Report(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a person or system told us, kept as received and never changed."""

    id: str
    received: float
    channel: str
    reporter: str
    text: str
    language: str = ""
    subject: str = ""


class IncidentEvent(msgspec.Struct, kw_only=True, frozen=True):
    """One link of a site's chain. `incident` is the id it belongs to, `body` what `kind` needs."""

    site: str
    seq: int
    time: float
    incident: str
    actor: str
    kind: str
    body: dict[str, Any]
    previous: str
    hash: str


class Incident(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What findings and reports are about, as it stands now (DESIGN 6's JSON).

    `key` is the finding's, by which the same thing grows; `updated` is the time of the newest
    event. `impact` and `urgency` are 1 (high) to 3 (low) and make the priority.
    """

    id: str
    site: str
    rule: str
    subject: str
    title: str
    severity: str
    priority: str
    state: str
    first_seen: float
    last_seen: float
    count: int
    # JSON calls the class "class", which Python can't.
    classification: str = msgspec.field(default="", name="class")
    opened: float = 0.0
    owner: str = ""
    targets: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    reports: tuple[str, ...] = ()
    responses: tuple[str, ...] = ()
    resolution: str = ""
    key: str = ""
    updated: float = 0.0
    impact: int = 0
    urgency: int = 0


def event_hash(event: IncidentEvent) -> str:
    """Return the SHA-256 of an event's fields in order, its own hash left out, as hex digits.

    The digest is over the canonical JSON array `[site, seq, time, incident, actor, kind, body,
    previous]`, keys of `body` sorted, so that anyone can repeat it with any JSON library.
    """
    fields = (
        event.site, event.seq, event.time, event.incident, event.actor, event.kind, event.body,
        event.previous,
    )  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(fields, order="deterministic")).hexdigest()
