"""Calls that tell those concerned how an incident stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ipwatchd.control.call import NotFoundError
from ipwatchd.history.secret import pseudonyms
from ipwatchd.incidents.bodies import Updated
from ipwatchd.incidents.legal.periods import zone
from ipwatchd.incidents.updates import draft, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.incidents.updates import Draft
    from ipwatchd.records.incident import Incident

__all__ = ["drafted", "told"]

_LONGEST: Final = 20_000


class _Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`text` is what was really said, where it is not the draft."""

    audience: Annotated[str, Meta(max_length=50)]
    to: Annotated[str, Meta(min_length=1, max_length=200)]
    way: Literal["mail", "phone", "post", "portal", "chat", "in person"]
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
