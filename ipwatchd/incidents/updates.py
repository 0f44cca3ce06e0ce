"""Updates to those concerned: templates by audience and language, under TLP 2.0. Pure.

+++
audience = "client"
language = "en"
tlp = "TLP:AMBER"
subject = "…"
+++
The text, a jinja2 template over the words in WORDS. A table [says] has this language's words for
states and kinds of data, as in CONFIRMED = "confirmado".

A template that asks for another word is refused when it is loaded, not when somebody waits.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from ipwatchd.incidents.ask import GuardError
from ipwatchd.incidents.front import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from jinja2.sandbox import SandboxedEnvironment

    from ipwatchd.records.incident import Incident

__all__ = [
    "MARKINGS", "WORDS", "Audience", "Draft", "Template", "check_templates", "draft",
    "parse_audiences", "parse_template", "words",
]  # fmt: skip

MARKINGS: Final = ("TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED")
"""From what everybody may read to what only named people may (TLP 2.0, first.org/tlp)."""
Marking = Literal["TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"]
WORDS: Final = {
    "id": "the incident's number", "site": "the site", "title": "what it is in a line",
    "type": "its RSIT type", "priority": "P1 to P5", "state": "where it stands",
    "state_said": "the same in the template's words",
    "closed": "whether it is over", "owner": "who works on it", "client": "the client's name",
    "because": "what the priority follows from", "data": "kinds of data",
    "data_said": "the same in the template's words", "subjects": "how many",
    "countries": "where they live", "first_seen": "when it was first seen",
    "opened": "when it was noticed", "aware": "when we became aware", "now": "the time of writing",
    "done": "what was done against it", "resolution": "how it ended", "tlp": "the marking",
    "steps_open": "mandatory steps not done", "duties_open": "duties not met",
    "next_duty": "when the next one is due", "contact": "who answers questions",
    "subject_shown": "the address or name it is about, as this audience may see it",
}  # fmt: skip
"""Word → what it stands for; every template is made of these."""
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f:.]{3,46}")
"""What may be an address within a text."""
LONGEST: Final = 20_000
"""Characters of a text: a template can't make a mail of megabytes."""


class Audience(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[audience.NAME]: the strictest marking it may be handed, and how it sees addresses."""

    title: str
    may: Marking
    addresses: Literal["plain", "pseudonyms"] = "pseudonyms"


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An update for an audience in a language."""

    audience: str
    language: str
    version: str
    subject: str
    tlp: Marking
    says: dict[str, str] = {}
    text: str = ""


class Draft(NamedTuple):
    """An update that is written and not yet sent."""

    audience: str
    language: str
    tlp: str
    subject: str
    text: str


class _Audiences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    audience: dict[str, Audience]


def parse_audiences(data: bytes, where: str) -> dict[str, Audience]:
    """Return the audiences of a file; ValueError names what is wrong in `where`."""
    try:
        return msgspec.toml.decode(data, type=_Audiences).audience
    except msgspec.MsgspecError as error:
        raise ValueError(f"{where}: {error}") from error


def parse_template(data: bytes, where: str) -> Template:
    """Return the template of a file; ValueError says what is wrong in `where`."""
    made, text = split(data, Template, where)
    made = msgspec.structs.replace(made, text=text)
    for part in (made.subject, made.text):
        _checked(part, where)
    return made


def check_templates(
    templates: Sequence[Template], audiences: Mapping[str, Audience], where: str
) -> None:
    """Raise ValueError for an audience that is none, one that may not read its own, no English."""
    for one in templates:
        who = audiences.get(one.audience)
        if who is None:
            known = ", ".join(audiences)
            raise ValueError(f"{where}: {one.audience!r} is no audience of audiences.toml: {known}")
        if MARKINGS.index(one.tlp) > MARKINGS.index(who.may):
            raise ValueError(
                f"{where}: {one.audience}.{one.language} is {one.tlp}, and the {one.audience} may "
                f"read up to {who.may}: lower its tlp"
            )
    for name in {one.audience for one in templates}:
        if not any(one.language == "en" for one in templates if one.audience == name):
            raise ValueError(f"{where}: the {name} has no English text")


def draft(
    incident: Incident, templates: Iterable[Template], audiences: Mapping[str, Audience],
    audience: str, language: str, known: Mapping[str, Any], *, tlp: str = "",
) -> Draft:  # fmt: skip
    """Return an update in a language, in English where it has no other.

    `tlp` is the case's own marking. GuardError where the audience may not read what is marked so.
    """
    who = audiences.get(audience)
    fitting = [one for one in templates if one.audience == audience]
    if who is None or not fitting:
        raise ValueError(f"{audience!r} is no audience: {', '.join(audiences)}")
    chosen = next((one for one in fitting if one.language == language), None)
    chosen = chosen or next(one for one in fitting if one.language == "en")
    marking = max(chosen.tlp, tlp or chosen.tlp, key=MARKINGS.index)
    if MARKINGS.index(marking) > MARKINGS.index(who.may):
        raise GuardError(
            f"{incident.id} is marked {marking}, and the {audience} ({who.title}) may read up to "
            f"{who.may}: mark it otherwise (incidents mark) or leave the {audience} out"
        )
    filled = {
        **known, "tlp": marking, "state_said": chosen.says.get(known["state"], known["state"]),
        "data_said": ", ".join(chosen.says.get(one, one) for one in known["data"].split(", ")),
    }  # fmt: skip
    text = "\n".join(
        line.rstrip() for line in _environment().from_string(chosen.text).render(filled).split("\n")
    )
    subject = " ".join(_environment().from_string(chosen.subject).render(filled).split())
    return Draft(audience, chosen.language, marking, subject[:300], _tidy(text)[:LONGEST])


def words(
    incident: Incident, zone: ZoneInfo, now: float, shown: Callable[[str], str], contact: str
) -> dict[str, Any]:
    """Return word → what it says of an incident; `shown` is how the audience sees an address."""
    facts = incident.facts
    owed = [one for one in incident.obligations if not one.settled and one.state != "possible"]
    due = [one.due for one in owed if one.due]
    standing = [one.text for one in incident.receipts if not one.undone]

    def moment(seconds: float) -> str:
        return dt.datetime.fromtimestamp(seconds, zone).strftime("%Y-%m-%d %H:%M %Z")

    def hidden(text: str) -> str:
        return _ADDRESS.sub(lambda found: _hidden(found[0], shown), text)

    return {
        "id": incident.id, "site": incident.site, "title": hidden(incident.title),
        "type": incident.classification or "undetermined", "priority": incident.priority,
        "state": incident.state, "state_said": incident.state,
        "closed": incident.state in {"CLOSED", "REJECTED", "MERGED"},
        "owner": incident.owner, "client": str(facts.get("client") or ""),
        "because": hidden(" and ".join(incident.because)), "data": _listed(facts.get("data")),
        "data_said": _listed(facts.get("data")),
        "subjects": _range(facts.get("subjects")), "countries": _listed(facts.get("countries")),
        "first_seen": moment(incident.first_seen), "opened": moment(incident.opened),
        "aware": moment(float(getattr(incident, "aware", 0.0) or incident.opened)),
        "now": moment(now), "done": hidden("; ".join(standing)),
        "resolution": hidden(incident.resolution),
        "steps_open": sum(1 for one in incident.tasks if one.mandatory and not one.done),
        "duties_open": len(owed),
        "next_duty": moment(min(due)) if due else "", "contact": contact,
        "subject_shown": hidden(incident.subject),
    }  # fmt: skip


def _hidden(word: str, shown: Callable[[str], str]) -> str:
    """Return an address as it may be seen, and anything else as it stands."""
    bare = word.rstrip(".:")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return word
    return shown(bare) + word[len(bare) :]


def _checked(source: str, where: str) -> None:
    """Refuse a template that can't be read or that asks for words we do not have."""
    from jinja2 import TemplateError, TemplateSyntaxError, meta

    try:
        asked = meta.find_undeclared_variables(_environment().parse(source))
    except TemplateSyntaxError as error:
        raise ValueError(f"{where}: line {error.lineno} of the text: {error.message}") from error
    if unknown := sorted(asked - set(WORDS)):
        raise ValueError(f"{where}: {unknown[0]!r} is no word of updates: {', '.join(WORDS)}")
    for closed in (False, True):
        sample = {**dict.fromkeys(WORDS, "x"), "closed": closed, "steps_open": 1, "duties_open": 1}
        try:
            _environment().from_string(source).render(sample)
        except TemplateError as error:
            raise ValueError(f"{where}: can't be filled in: {error.message}") from error


@lru_cache(maxsize=1)
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    # Plain text goes out, so nothing is escaped.
    return SandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )


def _tidy(text: str) -> str:
    """Return the text with one empty line where branches left several."""
    lines: list[str] = []
    for line in text.strip().split("\n"):
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _listed(value: Any) -> str:
    if value in (None, "", "none", ["none"], ("none",)):
        return ""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _range(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    low, high = value.get("min", 0), value.get("max", 0)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
