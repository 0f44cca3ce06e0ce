"""Letters: who is told of an incident beside the pages, by which way, in which words. Pure.

A letter asks for no answer. `notify` sends one to people of the plan; an update goes to the places
of an audience, as far as the TLP 2.0 marking lets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.incidents.paging.escalate import Recipient, recipients, ways
from ipwatchd.incidents.paging.pages import values_of
from ipwatchd.incidents.paging.plan import Stakeholder, Step, fits
from ipwatchd.incidents.updates import MARKINGS
from ipwatchd.records.incident import OPEN_STATES
from ipwatchd.records.paging import Letter, Message

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ipwatchd.incidents.paging.plan import Plan
    from ipwatchd.incidents.updates import Audience
    from ipwatchd.records.incident import Incident

__all__ = [
    "NOTIFY", "PATIENCE", "UPDATE", "by_themselves", "check_stakeholders", "instead", "letter_of",
    "may_read", "may_read_all", "notice_of", "notified", "places", "posted", "reached",
    "reporters", "update_of",
]  # fmt: skip

UPDATE: Final = "update"
"""What an update's letters are about; those of a response are about its receipt."""
NOTIFY: Final = "notify"
PATIENCE: Final = 86_400.0
"""Seconds for which a letter that can't be handed over is tried again."""
FRESH: Final = 86_400.0
"""A name that is new in the plan is not told of all that lay open for longer without a change."""
_KINDS: Final = ("person", "group", "schedule", "channel")


def notified(plan: Plan, name: str, now: float) -> list[Recipient]:
    """Return whom `notify` tells: a name of [notify] or a target; ValueError where it is neither.

    Empty where the plan has no such name and it is no target either: nothing can be sent.
    """
    kind, _, rest = name.partition(":")
    if name in plan.notify:
        one = plan.notify[name]
        return recipients(plan, Step(targets=one.targets, channels=one.channels), now)
    if kind not in _KINDS or not rest:
        return []
    rooms: dict[str, Mapping[str, object]] = {
        "person": plan.people, "group": plan.groups, "schedule": plan.schedules,
        "channel": plan.channels,
    }  # fmt: skip
    known = rooms[kind]
    if rest not in known:
        raise ValueError(
            f"{rest!r} is no {kind} of the escalation plan: {', '.join(sorted(known)) or 'none'}"
        )
    return recipients(plan, Step(targets=(name,)), now)


def by_themselves(incident: Incident, plan: Plan, now: float) -> Iterator[str]:
    """Yield the names of [notify] that are to be told of an incident and were not yet."""
    if incident.state not in OPEN_STATES or now - incident.updated > FRESH:
        return
    told = {one.subject for one in incident.receipts if one.kind == NOTIFY}
    for name, one in plan.notify.items():
        if one.by_itself and name not in told and fits(one.match, incident):
            yield name


def letter_of(
    incident: Incident, who: Recipient, plan: Plan, about: str, now: float, *, ahead: int = 0
) -> Letter:
    """Return a letter to somebody; `ahead` others are being made with it."""
    person = plan.people.get(who.person)
    return Letter(
        number=_newest(incident) + ahead + 1, time=now, channel=who.channel, about=about,
        to=who.to, person=who.person, name=(person.name if person else "") or who.person or who.to,
    )  # fmt: skip


def _newest(incident: Incident) -> int:
    return max((one.number for one in incident.letters), default=0)


def instead(incident: Incident, failed: Letter, plan: Plan, now: float) -> Letter | None:
    """Return the letter by the person's next channel; None where all were tried."""
    if not failed.person or failed.about == UPDATE:
        return None
    tried = {
        one.channel for one in incident.letters
        if (one.person, one.about) == (failed.person, failed.about)
    }  # fmt: skip
    rest = [way for way in ways(plan, failed.person, None) if way.channel not in tried]
    return letter_of(incident, rest[0], plan, failed.about, now) if rest else None


def notice_of(
    incident: Incident, letter: Letter, plan: Plan, *, why: str, zone: str, now: float
) -> Message:
    """Return the message of a response's letter, in the person's language."""
    person = plan.people.get(letter.person)
    words = plan.noticed(person.language if person else "en")
    values = values_of(incident, cause=why, zone=zone, now=now) | {"person": letter.name}
    return _message(
        incident, letter, words.subject.format_map(values), words.body.format_map(values), why, ""
    )


def update_of(
    incident: Incident, letter: Letter, subject: str, text: str, original: str, tlp: str
) -> Message:
    """Return the message of an update: the words, and beneath a translation the English ones."""
    body = f"{text.rstrip()}\n\n-- in English --\n\n{original}" if original else text
    return _message(incident, letter, subject, body, "", tlp)


def _message(
    incident: Incident, letter: Letter, subject: str, body: str, cause: str, tlp: str
) -> Message:
    return Message(
        incident=incident.id, page=letter.number, channel=letter.channel, to=letter.to,
        subject=subject, body=body, priority=incident.priority, cause=cause, site=incident.site,
        time=letter.time, kind="letter", tlp=tlp,
    )  # fmt: skip


def posted(incident: Incident, now: float) -> Iterator[Letter]:
    """Yield the letters that are on their way, or failed and are still tried again."""
    for one in incident.letters:
        if one.state == "" or (one.state == "failed" and now < one.time + PATIENCE):
            yield one


def reached(letters: Sequence[Letter]) -> str:
    """Return in words whom letters reached and whom they did not; "" of none."""
    there = [f"{one.name} by {one.channel}" for one in letters if one.state == "delivered"]
    gone = [one.name for one in letters if one.state != "delivered"]
    parts = [f"it reached {', '.join(there)} and can't be unsent" if there else "",
             f"stopped on its way to {', '.join(gone)}" if gone else ""]  # fmt: skip
    return "; ".join(part for part in parts if part)


def may_read(marking: str, place: Stakeholder, audiences: Mapping[str, Audience]) -> str:
    """Return why a place may not be handed what is marked so, "" where it may."""
    who = audiences.get(place.audience)
    if who is None:
        return f"{place.audience!r} is no audience of audiences.toml: {', '.join(audiences)}"
    may = min(who.may, place.may or who.may, key=MARKINGS.index)
    if MARKINGS.index(marking) > MARKINGS.index(may):
        return f"it is marked {marking}, and {', '.join(place.to)} may be handed up to {may}"
    return ""


def may_read_all(marking: str, place: Stakeholder, audiences: Mapping[str, Audience]) -> str:
    """Return why a place may not be handed a report on every client's cases, "" where it may."""
    if place.client:
        return (f"{', '.join(place.to)} is told of {place.client}'s cases alone, and a report is "
                "on everybody's")  # fmt: skip
    return may_read(marking, place, audiences)


def places(
    plan: Plan, incident: Incident, audience: str, wanted: str, clients: Collection[str]
) -> dict[str, Stakeholder]:
    """Return the places that an update of an audience goes to, by name.

    `wanted` is a name of [stakeholders] or an address of one, "" is all that fit the case's
    client, which has the names `clients`. ValueError where there is none.
    """
    names = {one.casefold() for one in clients}
    of_audience = {name: one for name, one in plan.stakeholders.items() if one.audience == audience}
    fitting = {
        name: one for name, one in of_audience.items()
        if not one.client or one.client.casefold() in names
    }  # fmt: skip
    found = {
        name: one for name, one in fitting.items() if wanted in {"", name, *one.to}
    }  # fmt: skip
    if found:
        return found
    if wanted and any(wanted in {name, *one.to} for name, one in of_audience.items()):
        whose = min(clients, default="no client that is named (incidents assess client=…)")
        raise ValueError(f"{wanted} is told of another client's cases; {incident.id} is of {whose}")
    known = ", ".join(fitting) or "nobody"
    raise ValueError(
        f"{wanted or 'nobody'} is on file as {audience} for {incident.id} (on file: {known}): add "
        "the address under [stakeholders] of the escalation plan, or hand the text over yourself "
        "and write that down (--way)"
    )


def reporters(
    plan: Plan, incident: Incident, wrote: Collection[str], wanted: str
) -> dict[str, Stakeholder]:
    """Return the addresses that reported an incident by mail, as places; ValueError without any."""
    channel = next((name for name, one in plan.channels.items() if one.kind == "smtp"), "")
    found = [one for one in dict.fromkeys(wrote) if "@" in one and wanted in {"", one}]
    if not channel:
        raise ValueError("the escalation plan has no channel of kind smtp to answer reporters by")
    if not found:
        raise ValueError(
            f"nobody reported {incident.id} by mail{f' as {wanted}' if wanted else ''}: tell them "
            "yourself and write that down (--way)"
        )
    return {
        one: Stakeholder(audience="reporter", channel=channel, to=(one,)) for one in found
    }  # fmt: skip


def check_stakeholders(plan: Plan, audiences: Mapping[str, Audience]) -> None:
    """Raise ValueError for a place of an audience that is none."""
    for name, one in plan.stakeholders.items():
        if one.audience not in audiences:
            raise ValueError(
                f"[stakeholders.{name}] audience {one.audience!r} is none of audiences.toml: "
                f"{', '.join(audiences)}"
            )
