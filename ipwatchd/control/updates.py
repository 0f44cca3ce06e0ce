"""Calls that tell those concerned how an incident stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ipwatchd.control.call import NotFoundError, UnavailableError
from ipwatchd.history.secret import pseudonyms
from ipwatchd.incidents.ask import GuardError
from ipwatchd.incidents.bodies import Updated
from ipwatchd.incidents.legal.periods import zone
from ipwatchd.incidents.paging.letters import may_read, places, reporters
from ipwatchd.incidents.updates import MARKINGS, draft, words
from ipwatchd.paging.post import wrote

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.incidents.updates import Draft
    from ipwatchd.records.incident import Incident

__all__ = ["drafted", "sent", "told"]

_LONGEST: Final = 20_000


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`text` is what was really said, where it is not the draft."""

    audience: Annotated[str, Meta(max_length=50)]
    to: Annotated[str, Meta(min_length=1, max_length=200)]
    way: Literal["mail", "phone", "post", "portal", "chat", "in person"]
    language: Annotated[str, Meta(max_length=20)] = ""
    text: Annotated[str, Meta(max_length=_LONGEST)] = ""
    reason: Annotated[str, Meta(max_length=500)] = ""


class _Send(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`to` is a name or an address of the plan's [stakeholders], "" all that fit the case."""

    audience: Annotated[str, Meta(max_length=50)]
    to: Annotated[str, Meta(max_length=254)] = ""
    language: Annotated[str, Meta(max_length=20)] = ""
    text: Annotated[str, Meta(max_length=_LONGEST)] = ""
    reason: Annotated[str, Meta(max_length=500)] = ""


async def drafted(house: House, call: Call) -> dict[str, Any]:
    """Answer GET incidents/ID/update?audience=client&language=es: what would be said."""
    made = await _draft(
        house, call, call.query.get("audience", "reporter"), call.query.get("language", "")
    )
    return made._asdict()


async def told(house: House, call: Call) -> dict[str, Any]:
    """Answer POST incidents/ID/update: write down what somebody concerned was told."""
    asked = msgspec.convert(call.body, _Told)
    made = await _draft(house, call, asked.audience, asked.language)
    body = Updated(
        audience=made.audience, language=made.language, tlp=made.tlp, to=asked.to, way=asked.way,
        subject=made.subject, text=asked.text or made.text,
    )  # fmt: skip
    after = await house.stores.incidents.append(
        call.names["id"].upper(), "updated", body, actor=call.peer.name, now=call.now
    )
    built: dict[str, Any] = msgspec.to_builtins(after)
    return built


async def sent(house: House, call: Call) -> dict[str, Any]:
    """Answer POST incidents/ID/send: hand an update over, to places that may read it."""
    asked = msgspec.convert(call.body, _Send)
    pager = house.live.pager if house.live else None
    if pager is None or pager.plan is None:
        raise UnavailableError(
            "nothing can be sent from here: name an escalation plan with [stakeholders] under "
            "[escalation] plan, and ask the daemon"
        )
    found = await house.stores.incidents.show(call.names["id"])
    if found is None:
        raise NotFoundError(f"there is no incident {call.names['id']}")
    incident, events = found
    audiences = house.stores.incidents.policy.audiences
    if asked.audience == "reporter":
        chosen = reporters(pager.plan, incident, wrote(events), asked.to)
    else:
        chosen = places(pager.plan, incident, asked.audience, asked.to, _clients(house, incident))
    ready = []
    for name, place in chosen.items():
        made = await _draft(house, call, asked.audience, asked.language or place.language)
        english = made if made.language == "en" else await _draft(
            house, call, asked.audience, "en")  # fmt: skip
        # The English words go along: the stricter marking of the two is that of the mail.
        made = made._replace(tlp=max(made.tlp, english.tlp, key=MARKINGS.index))
        if why := may_read(made.tlp, place, audiences):
            raise GuardError(f"{incident.id} is not sent to {name}: {why}")
        ready.append((name, place, made._replace(text=asked.text or made.text),
                      "" if asked.text or made is english else english.text))  # fmt: skip
    for name, place, made, original in ready:
        incident = await pager.post.update(
            incident.id, made, place, original, name=name, actor=call.peer.name, now=call.now
        )
    built: dict[str, Any] = msgspec.to_builtins(incident)
    return built


def _clients(house: House, incident: Incident) -> set[str]:
    """Return the names of a case's client."""
    named = str(incident.facts.get("client") or "")
    known = (one for one in house.stores.incidents.policy.clients if one.is_named(named))
    return {named, *(name for one in known for name in (one.id, one.name, *one.aliases))} - {""}


async def _draft(house: House, call: Call, audience: str, language: str) -> Draft:
    incidents, settings = house.stores.incidents, house.stores.config.incidents
    incident = await incidents.incident(call.names["id"])
    if incident is None:
        raise NotFoundError(f"there is no incident {call.names['id']}")
    policy = incidents.policy
    who = policy.audiences.get(audience)
    plain = who is not None and who.addresses == "plain"
    known = words(
        incident, zone(settings.time_zone), call.now, str if plain else _masked(house),
        settings.contact,
    )  # fmt: skip
    return draft(
        incident, policy.templates, policy.audiences, audience, language or _spoken(incident),
        known, tlp=incident.tlp,
    )  # fmt: skip


def _spoken(incident: Incident) -> str:
    return incident.language or "en"


def _masked(house: House) -> Callable[[str], str]:
    """Return how an address is written under the site's pseudonyms."""
    names = pseudonyms(house.stores.state_dir, make=not house.stores.read_only)
    return names.address
