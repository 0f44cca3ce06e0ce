"""The incident and the append-only events that it is the fold of.

An incident event is `(site, seq, time, actor, kind, body, previous, hash)`: gapless from 1 for each
site, each event's hash over its own fields and the hash before it. Nothing is edited in place.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from ipwatchd.records.paging import Letter, Paging  # noqa: TC001 - msgspec reads it at run time

__all__ = [
    "GENESIS", "OPEN_STATES", "PRIORITIES", "STATES", "Attachment", "Exhibit", "Incident",
    "IncidentEvent", "Notice", "Obligation", "Proposal", "Receipt", "Report", "SopUse", "Task",
    "event_hash", "link_hash",
]  # fmt: skip

STATES: Final = (
    "NEW", "TRIAGE", "CONFIRMED", "CONTAINED", "RESOLVED", "REVIEW", "CLOSED", "REJECTED", "MERGED",
)  # fmt: skip
OPEN_STATES: Final = STATES[:6]
PRIORITIES: Final = ("P1", "P2", "P3", "P4", "P5")
GENESIS: Final = "0" * 64


class _Part(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A part of a report or an incident."""


class Attachment(_Part, frozen=True):
    """A file that came with a report; the file is kept by its hash."""

    name: str
    sha256: str
    bytes: int
    type: str = ""


class Exhibit(_Part, frozen=True):
    """Evidence that was taken, kept by its hash. `rows` is how many records it holds."""

    name: str
    sha256: str
    bytes: int
    taken: float
    rows: int = 0
    note: str = ""


class Task(_Part, frozen=True):
    """A step of an SOP; `done` is when it was ticked (0: not yet), `by` who did."""

    sop: str
    step: str
    mandatory: bool = False
    done: float = 0.0
    by: str = ""
    note: str = ""


class SopUse(_Part, frozen=True):
    """An SOP that an incident goes by, and who signed that they have read it, and when."""

    id: str
    version: str
    language: str = "en"
    read: dict[str, float] = {}


class Notice(_Part, frozen=True):
    """A notice that went out: which stage, when, the other side's reference, what it lacked."""

    stage: str
    time: float
    by: str
    reference: str = ""
    missing: tuple[str, ...] = ()
    sha256: str = ""


class Obligation(_Part, frozen=True):
    """A duty that a law or contract sets; `done` is when it was met (0: pending).

    `state` is "" (pending), "waits" (for another duty or a request), "possible" (`asks` names the
    facts that decide), "met", "waived" or "void" (it does not apply after all). `due` 0: no time
    is set; `aim` says that the time is the house's and not the law's. `open` is what the newest
    notice still lacked.
    """

    id: str
    title: str
    due: float = 0.0
    done: float = 0.0
    note: str = ""
    state: str = ""
    started: float = 0.0
    aim: bool = False
    to: str = ""
    cite: str = ""
    regime: str = ""
    zone: str = ""
    asks: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    by: tuple[str, ...] = ()
    """Who waived it, and who agreed."""

    @property
    def settled(self) -> bool:
        """Tell whether nothing is left to do for it now; what waits comes up when its time does."""
        return self.state in {"waived", "void", "waits"} or (bool(self.done) and not self.open)


class Proposal(_Part, frozen=True):
    """What one person wants done and a second one must agree to."""

    action: str
    actor: str
    reason: str
    time: float
    target: str = ""


class Receipt(_Part, frozen=True):
    """A response that was carried out; `undone` is when it was taken back (0: it stands)."""

    id: str
    kind: str
    subject: str
    time: float
    by: str
    expires: float = 0.0
    text: str = ""
    undone: float = 0.0


class Report(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a person or system told us, kept as received and never changed.

    `kind` names the intake script, `answers` what was answered to it. `original` is the hash of
    the message as it came in, where there is one.
    """

    id: str
    received: float
    channel: str
    reporter: str
    text: str
    language: str = ""
    subject: str = ""
    kind: str = ""
    answers: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = ()
    original: str = ""
    role: str = ""
    """customer, employee, client or system"""


class IncidentEvent(msgspec.Struct, kw_only=True, frozen=True):
    """One link of a site's chain. `incident` is the id it belongs to, `body` what `kind` needs.

    `signature` is the site's over the hash (Ed25519, hex); empty where a log is older than its key.
    `previous` is the hash and the signature of the event before, one after the other.
    """

    site: str
    seq: int
    time: float
    incident: str
    actor: str
    kind: str
    body: dict[str, Any]
    previous: str
    hash: str
    signature: str = ""


class Incident(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What findings and reports are about, as it stands now (DESIGN 6's JSON).

    `key` is the finding's, by which the same thing grows; `updated` is the time of the newest
    event. `impact` and `urgency` are 1 (high) to 3 (low) and make the priority, unless `override`
    says another. `facts` are the answers to the impact questions, `because` what followed from
    them. `on_hold` says why it waits; it never stops a legal clock.
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
    kind: str = ""
    language: str = ""
    facts: dict[str, Any] = {}
    because: tuple[str, ...] = ()
    personal: bool = False
    override: str = ""
    on_hold: str = ""
    proposal: Proposal | None = None
    feedback: str = ""
    verdict: str = ""
    merged_into: str = ""
    sops: tuple[SopUse, ...] = ()
    tasks: tuple[Task, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    tlp: str = ""
    """Its TLP 2.0 marking where somebody set one: who may be told of it."""
    aware: float = 0.0
    """When somebody became aware of it, as stated; 0: nobody said, `opened` counts."""
    told: dict[str, str] = {}
    """What was written for the fields of notices."""
    touched: float = 0.0
    """When a person last did something about it."""
    paging: Paging | None = None
    letters: tuple[Letter, ...] = ()
    """What went out and asks for no answer: the newest."""


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


def link_hash(hash_: str, signature: str) -> str:
    """Return what the next event names as `previous`: both, so that its hash covers both."""
    return hash_ + signature
