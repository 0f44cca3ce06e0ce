"""Escalation as data: channels, people, schedules, policies, words (one TOML file). Pure."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import msgspec
from msgspec import Meta

from ipwatchd.config.position import line_of
from ipwatchd.incidents.legal.periods import moment, zone
from ipwatchd.incidents.paging.schedule import Clock, Schedule, gaps
from ipwatchd.records.duration import parse_duration
from ipwatchd.records.paging import Channel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ipwatchd.records.incident import Incident

__all__ = [
    "WORDS", "CatchAll", "Contact", "Match", "Person", "Plan", "Policy", "Step", "Words",
    "load_plan", "parse_plan", "warnings",
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
MAX_FILE: Final = 1 << 20

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
    """Fits where each of what is named has the incident's; nothing named fits all."""

    priority: tuple[Annotated[str, Meta(pattern="^P[1-5]$")], ...] = ()
    classes: tuple[str, ...] = msgspec.field(name="class", default=())
    client: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()


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


class Words(_Table, frozen=True):
    """[words.LANGUAGE] the text of a page; {names} are those of WORDS."""

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
    clock_shares: tuple[Annotated[int, Meta(ge=1, le=100)], ...] = (50, 75, 90, 100)
    same_source_sites: Annotated[int, Meta(ge=2, le=1000)] = 3
    silent_seconds: Annotated[float, Meta(ge=5)] = 90.0

    def policy_of(self, incident: Incident) -> Policy | None:
        """Return the policy that escalates an incident; a P1 has the catch-all where none does."""
        for one in self.policies:
            if _matches(one.match, incident):
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


def _matches(match: Match, incident: Incident) -> bool:
    # What the centre pages for in a site's place is of that site and client.
    stands = incident.evidence if incident.rule == "taken-over" else {}
    client = str(incident.facts.get("client") or stands.get("client") or "").casefold()
    site = str(stands.get("site") or incident.site)
    pairs: tuple[tuple[Iterable[str], str], ...] = (
        (match.priority, incident.priority), (match.classes, incident.classification),
        (tuple(one.casefold() for one in match.client), client), (match.site, site),
        (match.rule, incident.rule),
    )  # fmt: skip
    return all(not wanted or given in wanted for wanted, given in pairs)


def load_plan(path: str) -> Plan:
    """Read a plan; ValueError names file, line and fault, OSError what can't be read."""
    with open(path, "rb") as file:  # noqa: PTH123 - one bounded read
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise ValueError(f"{path} has over {MAX_FILE:,} bytes: is it the right file?")
    return parse_plan(data, path)


def parse_plan(data: bytes, where: str) -> Plan:
    """Return the plan of a TOML file; ValueError names the line and what is wrong."""
    text = data.decode("utf-8", "replace")
    try:
        plan = msgspec.toml.decode(data, type=Plan)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message, path = _named(data, error)
        line = line_of(text, path)
        raise ValueError(f"{where}{f':{line}' if line else ''}: {message}") from error
    _Check(plan, text, where).all()
    return plan


def _named(data: bytes, error: Exception) -> tuple[str, str]:
    """Return message and path; msgspec writes `[...]` for a key of a table of tables."""
    message, _, path = str(error).partition(" - at `")
    if "[...]" not in path:
        return message, path.rstrip("`")
    tree = msgspec.toml.decode(data)
    for section, kind in _SECTIONS.items():
        for name, table in tree.get(section, {}).items():
            try:
                msgspec.convert(table, kind)
            except msgspec.ValidationError as inner:
                message, _, rest = str(inner).partition(" - at `$")
                return message, f"{section}.{name}{rest.rstrip('`')}"
    return message, path.partition("[")[0]


_SECTIONS: Final = {"channels": Channel, "people": Person, "schedules": Schedule, "words": Words}


class _Check:
    """What types can't say about a plan."""

    def __init__(self, plan: Plan, text: str, where: str) -> None:
        self._plan, self._text, self._where = plan, text, where

    def _no(self, path: str, why: str) -> NoReturn:
        line = line_of(self._text, path)
        raise ValueError(f"{self._where}{f':{line}' if line else ''}: {why}")

    def all(self) -> None:
        """Raise ValueError for the first fault."""
        plan = self._plan
        for name, channel in plan.channels.items():
            self._channel(f"channels.{name}", channel)
        for name, person in plan.people.items():
            for contact in person.contacts:
                self._known(f"people.{name}.contacts", contact.channel, plan.channels, "channel")
        for name, members in plan.groups.items():
            for one in members:
                self._known(f"groups.{name}", one, plan.people, "person")
        for name, schedule in plan.schedules.items():
            self._schedule(f"schedules.{name}", schedule)
        self._targets("catch_all.targets", plan.catch_all.targets)
        if any(one.startswith("schedule:") for one in plan.catch_all.targets):
            self._no(
                "catch_all.targets", "a schedule may have a gap: name people, groups, channels"
            )
        for number, policy in enumerate(plan.policies):
            self._policy(f"policy[{number}]", policy)
        for language, words in plan.words.items():
            self._words(f"words.{language}", words)

    def _known(self, path: str, name: str, known: Mapping[str, object], what: str) -> None:
        if name not in known:
            self._no(path, f"{name!r} is no {what}: {', '.join(sorted(known)) or 'there is none'}")

    def _channel(self, path: str, one: Channel) -> None:
        needs = {"smtp": ("host", "sender"), "webhook": ("url",), "syslog": ("address",),
                 "apprise": ("url_file",)}[one.kind]  # fmt: skip
        for name in needs:
            if not getattr(one, name):
                self._no(path, f"a channel of kind {one.kind} needs {name}")
        if one.kind == "webhook" and not one.url.startswith(("http://", "https://")):
            self._no(f"{path}.url", f"{one.url!r} is no URL: write https://…")
        if one.kind == "syslog" and one.address.partition(":")[0] not in {
            "udp", "tcp", "tls", "unix",
        }:  # fmt: skip
            self._no(f"{path}.address", "write udp:HOST:PORT, tcp:…, tls:… or unix:/dev/log")

    def _schedule(self, path: str, schedule: Schedule) -> None:
        for number, layer in enumerate(schedule.layers):
            here = f"{path}.layer[{number}]"
            self._zone(f"{here}.zone", layer.zone)
            for one in layer.rotation:
                self._known(f"{here}.rotation", one, self._plan.people, "person")
        for number, override in enumerate(schedule.overrides):
            here = f"{path}.override[{number}]"
            self._known(f"{here}.person", override.person, self._plan.people, "person")
            if override.until.tzinfo != override.since.tzinfo or override.until <= override.since:
                self._no(f"{here}.until", "an override ends before it begins")

    def _zone(self, path: str, name: str) -> None:
        try:
            zone(name)
        except ValueError as error:
            self._no(path, str(error))

    def _policy(self, path: str, policy: Policy) -> None:
        if policy.quiet:
            self._zone(f"{path}.quiet", policy.quiet.zone)
        for name in ("every", "ack_timeout", "progress_timeout"):
            if parse_duration(getattr(policy, name)) < 1.0:
                self._no(f"{path}.{name}", f"{name} is under a second: pages would never stop")
        for number, step in enumerate(policy.steps):
            self._targets(f"{path}.step[{number}].targets", step.targets)
            for name in step.channels:
                self._known(f"{path}.step[{number}].channels", name, self._plan.channels, "channel")

    def _targets(self, path: str, targets: Iterable[str]) -> None:
        rooms: Mapping[str, Mapping[str, object]] = {
            "person": self._plan.people, "group": self._plan.groups,
            "schedule": self._plan.schedules, "channel": self._plan.channels,
        }  # fmt: skip
        for target in targets:
            kind, _, name = target.partition(":")
            if kind not in rooms:
                self._no(path, f"{target!r} is no target: person:NAME, group:NAME, schedule:NAME, "
                         "channel:NAME")  # fmt: skip
            self._known(path, name, rooms[kind], kind)

    def _words(self, path: str, words: Words) -> None:
        for name in ("subject", "body"):
            try:
                parts = list(string.Formatter().parse(getattr(words, name)))
            except ValueError as error:
                self._no(f"{path}.{name}", f"is no text with {{names}}: {error}")
            for _, field, spec, conversion in parts:
                if field is not None and (field not in WORDS or spec or conversion):
                    self._no(f"{path}.{name}", f"{{{field}}} is not known: {', '.join(WORDS)}")


def warnings(plan: Plan, now: float) -> Iterator[str]:
    """Yield what is allowed and hardly meant: gaps with their times, a policy never reached."""
    for name, schedule in plan.schedules.items():
        zone_name = schedule.layers[0].zone
        for number, (begin, end) in enumerate(gaps(schedule, now)):
            if number == SHOWN:
                yield f"schedule {name}: and more such gaps"
                break
            since = moment(begin, zone_name).strftime("%a %Y-%m-%d %H:%M")
            until = moment(end, zone_name).strftime("%a %Y-%m-%d %H:%M %Z")
            yield f"schedule {name}: nobody from {since} to {until}: the catch-all is paged then"
    for number, one in enumerate(plan.policies[:-1]):
        if one.match == Match():
            yield (
                f"policy {one.id} matches everything: {plan.policies[number + 1].id} and what "
                "follows are never reached"
            )


SHOWN: Final = 3
