"""The notice that a duty asks for: what it must say, what is missing, its draft. Pure.

A field is filled by what somebody wrote for it, else by what the incident knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.incidents.legal.applies import client_of
from ipwatchd.incidents.legal.clocks import awareness, duty_of
from ipwatchd.incidents.legal.periods import moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.incidents.legal.seat import Seat
    from ipwatchd.incidents.policy import Policy
    from ipwatchd.records.incident import Incident, Obligation

__all__ = ["DELAY", "STAGES", "Draft", "Line", "draft", "local"]

STAGES: Final = ("initial", "intermediate", "final")
DELAY: Final = "delay"
"""The field that a late notice needs where the law asks for reasons."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a notice must say; `value` is "" where it is missing."""

    id: str
    text: str
    value: str = ""
    written: bool = False
    """Somebody wrote it; else the incident's facts did."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as it could go out now."""

    obligation: str
    title: str
    to: str
    cite: str
    due: float
    phased: bool
    lines: tuple[Line, ...]
    missing: tuple[str, ...]
    text: str


def local(seconds: float, zone: str) -> str:
    """Return a time as people of a zone write it, with its distance from UTC."""
    when = moment(seconds, zone or "UTC")
    # Not every zone has letters for a name, and few people know them all.
    return when.strftime("%Y-%m-%d %H:%M %Z (UTC%z)" if when.utcoffset() else "%Y-%m-%d %H:%M UTC")


def draft(incident: Incident, one: Obligation, policy: Policy, now: float) -> Draft:
    """Return the draft of a duty's notice; ValueError where no file knows the duty."""
    found = duty_of(one.id, incident, policy)
    if found is None:
        raise ValueError(f"no regime has the duty {one.id} any more: write its notice by hand")
    regime, duty = found
    names = [*duty.fields]
    if duty.reasons_if_late and one.due and now > one.due and not one.done:
        names.append(DELAY)
    lines = tuple(_line(name, incident, policy, one.zone) for name in names)
    missing = tuple(line.id for line in lines if not line.value)
    return Draft(
        obligation=one.id, title=duty.title, to=duty.to, cite=f"{regime.name}, {duty.cite}",
        due=one.due, phased=duty.phased, lines=lines, missing=missing,
        text=_text(incident, one, f"{regime.name}, {duty.cite}", lines),
    )  # fmt: skip


def _line(name: str, incident: Incident, policy: Policy, zone: str) -> Line:
    field = policy.fields[name]
    written = incident.told.get(name, "")
    source = _SOURCES.get(field.source)
    value = written or (source(incident, policy, policy.seat, zone) if source else "")
    return Line(id=name, text=field.text, value=value, written=bool(written))


def _text(incident: Incident, one: Obligation, cite: str, lines: tuple[Line, ...]) -> str:
    head = [one.title, "", f"To: {one.to}", f"Under: {cite}", f"Our reference: {incident.id}"]
    if one.due:
        head.append(f"{'Aim' if one.aim else 'Due'}: {local(one.due, one.zone)}")
    body = [f"{line.text}\n  {line.value or '[MISSING]'}" for line in lines]
    return "\n".join([*head, "", *body, ""])


def _span(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    low, high = value.get("min"), value.get("max")
    return f"{low:,}" if low == high else f"between {low:,} and {high:,}"


def _words(name: str) -> Callable[..., str]:
    def words(incident: Incident, *_: Any) -> str:
        value = incident.facts.get(name)
        return ", ".join(value) if isinstance(value, list | tuple) else str(value or "")

    return words


def _happened(incident: Incident, _policy: Policy, _seat: Seat, zone: str) -> str:
    first, last = local(incident.first_seen, zone), local(incident.last_seen, zone)
    return first if first == last else f"first seen {first}, last seen {last}"


def _class(incident: Incident, policy: Policy, *_: Any) -> str:
    one = policy.taxonomy.types().get(incident.classification)
    return one.name if one and one.id != "undetermined" else ""


def _client(incident: Incident, policy: Policy, *_: Any) -> str:
    client = client_of(incident, policy.clients)
    return client.name if client else str(incident.facts.get("client") or "")


def _nature(incident: Incident, policy: Policy, seat: Seat, zone: str) -> str:
    """Return what happened in one sentence, once its class and facts are known."""
    kind = _class(incident, policy)
    what = [name for name in ("confidentiality", "integrity", "availability")
            if incident.facts.get(name) not in {None, "no"}]  # fmt: skip
    if not kind or not incident.facts:
        return ""
    affected = f"; affected: {', '.join(what)}" if what else ""
    return f"{kind}: {incident.title}{affected}; {_happened(incident, policy, seat, zone)}"


_SOURCES: Final[dict[str, Callable[..., str]]] = {
    "title": lambda incident, *_: incident.title,
    "nature": _nature,
    "class": _class,
    "client": _client,
    "happened": _happened,
    "data": _words("data"),
    "countries": _words("countries"),
    "malicious": _words("malicious"),
    "cross_border": _words("cross_border"),
    "subjects": lambda incident, *_: _span(incident.facts.get("subjects")),
    "records": lambda incident, *_: _span(incident.facts.get("records")),
    "aware": lambda incident, _policy, _seat, zone: local(awareness(incident), zone),
    "measures": lambda incident, *_: "; ".join(incident.responses),
    "contact": lambda _incident, _policy, seat, _zone: seat.contact,
    "site": lambda incident, *_: incident.site,
    "priority": lambda incident, *_: f"{incident.priority}, severity {incident.severity}",
    "indicators": lambda incident, *_: ", ".join(
        dict.fromkeys((incident.subject, *incident.targets[:20]))
    ),
}
"""source of a field → what the incident says of it"""
