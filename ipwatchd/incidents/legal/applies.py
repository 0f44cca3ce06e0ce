"""Which duties an incident brings: conditions of regimes against what is known. Pure.

A condition is yes, no, or not known yet: what is not known is asked for, and never taken for no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ipwatchd.incidents.legal.regimes import Bounds, Client, Duty, Regime, When, in_force
from ipwatchd.incidents.taxonomy import UNDETERMINED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ipwatchd.incidents.policy import Policy
    from ipwatchd.records.incident import Incident

__all__ = ["Answer", "Known", "Owed", "client_of", "facts_of", "fits", "owed"]

Answer = Literal["yes", "no", "unknown"]
Known = dict[str, "frozenset[str] | dict[str, int] | None"]
"""fact → the words or the range that is known of it; None is not known yet."""


class Owed(NamedTuple):
    """A duty that follows, or (`unknown` not empty) may follow, from an incident."""

    regime: Regime
    duty: Duty
    unknown: tuple[str, ...] = ()


def client_of(incident: Incident, clients: Iterable[Client]) -> Client | None:
    """Return the client that an incident is about, where there is a file on it."""
    text = str(incident.facts.get("client") or "")
    return next((one for one in clients if text and one.is_named(text)), None)


def facts_of(incident: Incident, policy: Policy, client: Client | None) -> Known:
    """Return all that conditions can ask about an incident."""
    known: Known = {}
    for question in policy.assessment.questions:
        given = incident.facts.get(question.id)
        if given is None or (question.kind == "choice" and given == "unknown"):
            known[question.id] = None
        elif isinstance(given, dict):
            known[question.id] = given
        else:
            words = {given} if isinstance(given, str) else set(given)
            words |= {
                f"@{group}" for choice in question.choices if choice.id in words
                for group in choice.groups
            }  # fmt: skip
            known[question.id] = frozenset(words)
    known |= _derived(incident, policy, client)
    if known.get("role") is None and client and client.role:
        known["role"] = frozenset({client.role})
    return known


def _derived(incident: Incident, policy: Policy, client: Client | None) -> Known:
    seat = policy.seat
    people = incident.facts.get("countries")
    kind = incident.classification
    group = policy.taxonomy.class_of(kind)
    names_client = bool(str(incident.facts.get("client") or ""))
    country = client.country if client else ""
    return {
        "breach": _breach(incident),
        "people": frozenset(word.upper() for word in people) if people else None,
        "class": (
            None if kind in {"", UNDETERMINED}
            else frozenset({kind, f"@{group.id}"} if group else {kind})
        ),
        "priority": frozenset({incident.priority}),
        "site_country": frozenset({seat.country.upper()} if seat.country else ()),
        # A client that is named and not on file may sit anywhere.
        "client_country": (
            None if names_client and not country else frozenset({country.upper()} - {""})
        ),
        "listed": frozenset({*seat.laws, *(client.laws if client else ())}),
        "client_role": frozenset({client.role} if client and client.role else ()),
    }  # fmt: skip


def _breach(incident: Incident) -> frozenset[str] | None:
    """Return whether data was lost, changed or seen by someone who may not."""
    facts = incident.facts
    given = [facts.get(name) for name in ("confidentiality", "integrity", "availability")]
    if "yes" in given or facts.get("availability") == "down":
        return frozenset({"yes"})
    if "possible" in given:
        return frozenset({"possible"})
    if None in given[:2]:
        return None
    return frozenset({"no"})


def fits(when: When, known: Mapping[str, Any], regime: Regime) -> tuple[Answer, tuple[str, ...]]:
    """Return whether all of a condition's facts fit, and which are not known."""
    unknown: list[str] = []
    for name, wanted in when.items():
        given = known.get(name)
        if name == "listed" and isinstance(wanted, tuple):
            if regime.id not in (given or ()):
                return "no", ()
        elif given is None:
            unknown.append(_ASKED.get(name, name))
        elif not _fits(wanted, given, regime.groups):
            return "no", ()
    return ("unknown", tuple(dict.fromkeys(unknown))) if unknown else ("yes", ())


_ASKED: Final = {"people": "countries", "breach": "confidentiality"}
"""derived fact → the question to answer"""


def _fits(wanted: Any, given: Any, groups: Mapping[str, tuple[str, ...]]) -> bool:
    if isinstance(wanted, Bounds):
        most = given.get("max", 0) if isinstance(given, dict) else -1
        return wanted.at_least <= most < wanted.under
    words = {
        one for word in wanted
        for one in (groups.get(word[1:], (word,)) if word.startswith("@") else (word,))
    }  # fmt: skip
    return bool(words & set(given))


def _any_fits(
    alternatives: Iterable[When], known: Mapping[str, Any], regime: Regime
) -> tuple[Answer, tuple[str, ...]]:
    unknown: dict[str, None] = {}
    for one in alternatives:
        answer, asks = fits(one, known, regime)
        if answer == "yes":
            return "yes", ()
        unknown |= dict.fromkeys(asks)
    return ("unknown", tuple(unknown)) if unknown else ("no", ())


def owed(incident: Incident, policy: Policy, times: Sequence[float]) -> list[Owed]:
    """Return the duties that follow from what is known, and those that may.

    Of each regime that file is taken which is in force at the first of some times at which one is:
    when its time began to run, else now. A clock that was wrong at the opening loses no duty.
    What only a required question or the class is missing for is not listed: confirming asks those.
    """
    required = {one.id for one in policy.assessment.questions if one.required} | {"class"}
    client = client_of(incident, policy.clients)
    known = facts_of(incident, policy, client)
    contract = client.contract() if client else None
    found = []
    every = (*policy.regimes, *((contract,) if contract else ()))
    for regime in in_force(every, times, policy.seat.zone):
        applies, asks = _any_fits(regime.applies, known, regime)
        if applies == "no":
            continue
        for duty in regime.duties:
            answer, more = _any_fits(duty.when, known, regime)
            unknown = tuple(dict.fromkeys((*asks, *more)))
            if answer == "no" or required & set(unknown) or (unknown and not incident.facts):
                continue
            found.append(Owed(regime, duty, unknown))
    return found
