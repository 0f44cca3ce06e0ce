"""Escalation as data: channels, people, schedules, policies, words. Pure; `plan_file` reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ipwatchd.incidents.paging.schedule import Clock, Schedule  # noqa: TC001 - msgspec reads them
from ipwatchd.records.paging import Channel  # noqa: TC001 - msgspec reads it at run time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.records.incident import Incident

__all__ = [
    "WORDS", "CatchAll", "Contact", "Match", "Notify", "Person", "Plan", "Policy", "Stakeholder",
    "Step", "Words", "fits",
]  # fmt: skip

WORDS: Final = (
    "id",
    "site",
    "priority",
    "title",
    "subject",
    "severity",
    "state",
    "class",
    "client",
    "cause",
    "opened",
    "person",
    "link",
    "step",
    "clocks",
    "answer",
)
"""What a page's words may name."""
Span = Annotated[str, Meta(pattern=r"^(\d{1,9}(\.\d{1,3})?[smhdw])+$")]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is an error."""


class Contact(_Table, frozen=True):
    """Where somebody is reached by a channel."""

    channel: str
    to: str = ""


class Person(_Table, frozen=True):
    """[people.NAME] in the order of their contacts; `language` is that of the words."""

    contacts: Annotated[tuple[Contact, ...], Meta(min_length=1)]
    name: str = ""
    language: str = "en"


class Match(_Table, frozen=True):
    """Fits where each of what is named has the incident's; nothing named fits all.

    `personal` fits only where personal data is concerned.
    """

    priority: tuple[Annotated[str, Meta(pattern="^P[1-5]$")], ...] = ()
    classes: tuple[str, ...] = msgspec.field(name="class", default=())
    client: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()
    personal: bool = False


class Step(_Table, frozen=True):
    """Whom to tell `wait` after the step before. `need` of them must acknowledge."""

    targets: Annotated[tuple[str, ...], Meta(min_length=1)]
    wait: Span = "0s"
    need: Annotated[str, Meta(pattern=r"^(any|all|[1-9]\d?)$")] = "any"
    channels: tuple[str, ...] = ()


class Quiet(_Table, frozen=True):
    """Hours in which only a P1 pages."""

    since: Clock
    until: Clock
    zone: str


class Policy(_Table, frozen=True):
    """[[policy]] the first that matches. After its steps all begins again, `repeat` times."""

    id: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
    steps: Annotated[tuple[Step, ...], Meta(min_length=1)] = msgspec.field(name="step")
    match: Match = Match()
    repeat: Annotated[int, Meta(ge=0, le=100)] = 2
    every: Span = "15m"
    ack_timeout: Span = "30m"
    progress_timeout: Span = "4h"
    quiet: Quiet | None = None


class CatchAll(_Table, frozen=True):
    """[catch_all] who hears of what nobody acknowledged; of a P1 every so often, for ever."""

    targets: Annotated[tuple[str, ...], Meta(min_length=1)]
    every: Span = "15m"


class Notify(_Table, frozen=True):
    """[notify.NAME] whom the response `notify` tells, and at most how often in an hour.

    With `by_itself` each incident that `match` fits is told once, as it comes to fit.
    """

    targets: Annotated[tuple[str, ...], Meta(min_length=1)]
    channels: tuple[str, ...] = ()
    match: Match = Match()
    by_itself: bool = False
    most_per_hour: Annotated[int, Meta(ge=1, le=1000)] = 20


class Stakeholder(_Table, frozen=True):
    """[stakeholders.NAME] where an audience's updates and reports are sent.

    `client` keeps it to the cases of one client. `may` is the strictest marking that this place
    may be handed, where it is less than its audience may read.
    """

    audience: Annotated[str, Meta(min_length=1)]
    channel: str
    to: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=254)], ...],
        Meta(min_length=1, max_length=50),
    ]
    client: str = ""
    language: str = ""
    may: Literal[
        "", "TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"
    ] = ""  # fmt: skip


class Words(_Table, frozen=True):
    """[words.LANGUAGE] the text of a page; {names} are those of WORDS. [notices.LANGUAGE] likewise.

    A notice is what `notify` sends: it asks for no answer.
    """

    subject: str
    body: str


_ENGLISH: Final = Words(
    subject="[{priority}] {id} {title}",
    body=(
        "{title}\n\n{id} at {site}, {priority}, {state}\nwhy now: {cause}\nabout: {subject}\n"
        "class: {class}\nopened: {opened}\n{clocks}\n\n"
        "Acknowledge: {answer}\n{link}\n"
    ),
)


_NOTICE: Final = Words(
    subject="[{priority}] {id} {title}",
    body=(
        "{title}\n\n{id} at {site}, {priority}, {state}\n{cause}\nabout: {subject}\n"
        "class: {class}\nopened: {opened}\n{clocks}\n\n"
        "This is to tell you; no answer is asked for.\n"
    ),
)


class Plan(_Table, frozen=True):
    """The whole file."""

    channels: dict[str, Channel]
    people: dict[str, Person]
    catch_all: CatchAll
    version: str = ""
    policies: tuple[Policy, ...] = msgspec.field(name="policy", default=())
    groups: dict[str, Annotated[tuple[str, ...], Meta(min_length=1, max_length=200)]] = {}
    schedules: dict[str, Schedule] = {}
    words: dict[str, Words] = {}
    notices: dict[str, Words] = {}
    notify: dict[str, Notify] = {}
    stakeholders: dict[str, Stakeholder] = {}
    answers: Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=50)] = (
        "ack*", "acknowledge*", "acknowledged*", "ok", "on it", "i am on it", "voy", "recibido",
        "sige",
    )  # fmt: skip
    """The first line of a mail that answers a page, when it acknowledges; after a * more may
    follow."""
    clock_shares: tuple[Annotated[int, Meta(ge=1, le=100)], ...] = (50, 75, 90, 100)
    same_source_sites: Annotated[int, Meta(ge=2, le=1000)] = 3
    silent_seconds: Annotated[float, Meta(ge=5)] = 90.0

    def policy_of(self, incident: Incident) -> Policy | None:
        """Return the policy that escalates an incident; a P1 has the catch-all where none does."""
        for one in self.policies:
            if fits(one.match, incident):
                return one
        return self.last() if incident.priority == "P1" else None

    def policy(self, identity: str) -> Policy | None:
        """Return a policy by its id."""
        if identity == "catch-all":
            return self.last()
        return next((one for one in self.policies if one.id == identity), None)

    def last(self) -> Policy:
        """Return what the catch-all is as a policy."""
        return Policy(id="catch-all", steps=(Step(targets=self.catch_all.targets),), repeat=0,
                      every=self.catch_all.every)  # fmt: skip

    def said(self, language: str) -> Words:
        """Return the words of a language, else the English ones."""
        return self.words.get(language) or self.words.get("en") or _ENGLISH

    def noticed(self, language: str) -> Words:
        """Return the words of a notice in a language, else the English ones."""
        return self.notices.get(language) or self.notices.get("en") or _NOTICE


def fits(match: Match, incident: Incident) -> bool:
    """Tell whether an incident is what a match asks for."""
    # What the centre pages for in a site's place is of that site and client.
    stands = incident.evidence if incident.rule == "taken-over" else {}
    client = str(incident.facts.get("client") or stands.get("client") or "").casefold()
    site = str(stands.get("site") or incident.site)
    pairs: tuple[tuple[Iterable[str], str], ...] = (
        (match.priority, incident.priority), (match.classes, incident.classification),
        (tuple(one.casefold() for one in match.client), client), (match.site, site),
        (match.rule, incident.rule),
    )  # fmt: skip
    if match.personal and not incident.personal:
        return False
    return all(not wanted or given in wanted for wanted, given in pairs)
