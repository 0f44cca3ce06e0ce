"""What each kind of incident event says: the shapes of `body`."""

from __future__ import annotations

from typing import Any

import msgspec

from ipwatchd.records import incident as parts  # noqa: TC001 - msgspec reads it at run time
from ipwatchd.records.paging import Letter, Page  # noqa: TC001 - msgspec reads it at run time

__all__ = [
    "Absorbed", "Acked", "Assessed", "Aware", "Body", "Checked", "Classified", "Collected",
    "Delivered", "Feedback", "Grown", "Held", "Jumped", "Marked", "Note", "Noticed", "Obliged",
    "Opened", "Paged", "Posted", "Prioritised", "Proposed", "Read", "Reported", "Response", "State",
    "Step", "Suggested", "Told", "Translated", "Undone", "Updated", "Watched",
]  # fmt: skip


class Body(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What an event's `kind` needs."""


class Opened(Body, frozen=True):
    """A finding or a report became an incident."""

    rule: str
    subject: str
    title: str
    severity: str
    priority: str
    impact: int
    urgency: int
    first_seen: float
    last_seen: float
    count: int
    classification: str = ""
    key: str = ""
    targets: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    report: parts.Report | None = None
    sops: tuple[parts.SopUse, ...] = ()
    tasks: tuple[parts.Task, ...] = ()


class Grown(Body, frozen=True):
    """More of the same: `count` and `targets` are what came on top, `findings` how many said so.

    `severity` and what follows are set where the growth made it worse.
    """

    findings: int
    count: int
    first_seen: float
    last_seen: float
    targets: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    severity: str = ""
    priority: str = ""
    impact: int = 0
    urgency: int = 0


class Reported(Body, frozen=True):
    """A report that belongs to an incident that is there already."""

    report: parts.Report


class State(Body, frozen=True):
    """Somebody moved it on. Where `owner` or `resolution` are empty they stay.

    `target` is what it was merged into, `second` who proposed what this person agreed to.
    """

    action: str
    before: str
    after: str
    reason: str = ""
    owner: str = ""
    resolution: str = ""
    target: str = ""
    second: str = ""


class Classified(Body, frozen=True):
    """Its class (an RSIT type) was set; with it come SOPs, and go those that nobody had begun."""

    classification: str
    reason: str = ""
    version: int = 0
    sops: tuple[parts.SopUse, ...] = ()
    tasks: tuple[parts.Task, ...] = ()
    dropped: tuple[str, ...] = ()


class Assessed(Body, frozen=True):
    """Questions of fact were answered; what follows from all answers stands beside them."""

    facts: dict[str, Any]
    impact: int
    urgency: int
    priority: str
    because: tuple[str, ...] = ()
    personal: bool = False
    version: str = ""


class Prioritised(Body, frozen=True):
    """Somebody set the priority by hand, or (empty) gave it back to the facts."""

    priority: str
    reason: str


class Held(Body, frozen=True):
    """It waits for something, or (empty) does no longer. No clock stops."""

    reason: str = ""


class Feedback(Body, frozen=True):
    """Who raised it was told what became of it; `verdict` judges a detector's finding."""

    text: str
    verdict: str = ""


class Step(Body, frozen=True):
    """A step of an SOP was done, or (`done` false) turned out not to be."""

    sop: str
    step: str
    done: bool = True
    note: str = ""


class Read(Body, frozen=True):
    """Somebody signed that they have read an SOP."""

    sop: str
    version: str


class Proposed(Body, frozen=True):
    """Somebody wants something done that a second person must agree to; None withdraws it."""

    proposal: parts.Proposal | None = None


class Obliged(Body, frozen=True):
    """A duty began, changed or was met: the newest of an id counts."""

    obligation: parts.Obligation


class Aware(Body, frozen=True):
    """When somebody became aware of it: legal clocks start then. A later one corrects it."""

    at: float
    before: float = 0.0
    reason: str = ""


class Told(Body, frozen=True):
    """What notices are to say, by field."""

    fields: dict[str, str]


class Noticed(Body, frozen=True):
    """A notice that a duty asks for went out."""

    obligation: str
    notice: parts.Notice


class Paged(Body, frozen=True):
    """People are paged: a run begins (`cause`) or goes on (empty) with a step."""

    policy: str
    cause: str
    priority: str
    step: int
    round: int
    need: int
    pages: tuple[Page, ...]


class Delivered(Body, frozen=True):
    """What became of a page: it left, or could not be handed over in so many tries.

    With `letter` it is that letter's, and `page` is 0.
    """

    page: int
    ok: bool
    why: str = ""
    tries: int = 1
    letter: int = 0


class Jumped(Body, frozen=True):
    """Somebody wants a step of the policy paged now, from 0; what was answered counts no more."""

    step: int
    reason: str


class Acked(Body, frozen=True):
    """Somebody acknowledged: they know, and are on it. `via` is how they said so."""

    by: str
    via: str = ""


class Absorbed(Body, frozen=True):
    """Another incident was merged into this one: its reports, targets and counts come with it."""

    incident: str
    count: int = 0
    first_seen: float = 0.0
    last_seen: float = 0.0
    reports: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    reason: str = ""
    aware: float = 0.0


class Note(Body, frozen=True):
    """Somebody wrote something down."""

    text: str


class Response(Body, frozen=True):
    """Something was done; `receipt` where it can be taken back, `letters` whom it told."""

    text: str
    receipt: parts.Receipt | None = None
    letters: tuple[Letter, ...] = ()


class Posted(Body, frozen=True):
    """Letters by another way, instead of some that could not be handed over."""

    letters: tuple[Letter, ...]


class Undone(Body, frozen=True):
    """A response was taken back."""

    receipt: str
    reason: str = ""


class Marked(Body, frozen=True):
    """Who may be told of it was set (TLP 2.0)."""

    tlp: str
    reason: str = ""


class Updated(Body, frozen=True):
    """Somebody concerned was told how it stands: what was said, to whom, by which way.

    `letters` are what we sent ourselves, `original` the English words beside a translation.
    """

    audience: str
    language: str
    tlp: str
    to: str
    way: str
    subject: str
    text: str
    original: str = ""
    letters: tuple[Letter, ...] = ()


class Translated(Body, frozen=True):
    """A translation of a report, kept beside the words as they came."""

    report: str
    language: str
    text: str


class Watched(Body, frozen=True):
    """What a watched subject did in a while; `peers` and `services` are the busiest."""

    subject: str
    since: float
    until: float
    flows: int
    bytes: int
    peer_count: int
    peers: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


class Collected(Body, frozen=True):
    """Evidence was taken; `missing` names what could not be had, and why."""

    exhibits: tuple[parts.Exhibit, ...]
    missing: dict[str, str] = {}


class Checked(Body, frozen=True):
    """What our own records say about what a report claims."""

    report: str
    facts: tuple[dict[str, Any], ...]


class Suggested(Body, frozen=True):
    """Other incidents that may be the same, the likeliest first."""

    duplicates: tuple[dict[str, Any], ...]
