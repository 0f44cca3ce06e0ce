"""Reading a plan of escalation: what is wrong is named with its line, at load. Pure but for a read.

A gap in a schedule, a policy that is never reached and the like are warned of.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from ipwatchd.config.position import line_of
from ipwatchd.incidents.legal.periods import moment, zone
from ipwatchd.incidents.paging.plan import (
    WORDS,
    Match,
    Notify,
    Person,
    Plan,
    Policy,
    Stakeholder,
    Words,
)
from ipwatchd.incidents.paging.schedule import Schedule, gaps
from ipwatchd.records.duration import parse_duration
from ipwatchd.records.paging import Channel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["load_plan", "parse_plan", "warnings"]

MAX_FILE: Final = 1 << 20
"""Bytes read of a file: a log named by mistake can't fill the memory."""
SHOWN: Final = 3


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


_SECTIONS: Final = {
    "channels": Channel, "people": Person, "schedules": Schedule, "words": Words,
    "notices": Words, "notify": Notify, "stakeholders": Stakeholder,
}  # fmt: skip


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
        self._letters(plan)

    def _letters(self, plan: Plan) -> None:
        for section, held in (("words", plan.words), ("notices", plan.notices)):
            for language, words in held.items():
                self._words(f"{section}.{language}", words)
        for name, told in plan.notify.items():
            self._targets(f"notify.{name}.targets", told.targets)
            for channel in told.channels:
                self._known(f"notify.{name}.channels", channel, plan.channels, "channel")
        for name, one in plan.stakeholders.items():
            self._known(f"stakeholders.{name}.channel", one.channel, plan.channels, "channel")

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
