"""Standard operating procedures: Markdown with TOML front matter, and which of them a case gets.

+++
id = "phishing-call"
…
[[step]]
id = "hang-up"
text = "…"
+++
What the reader has to know.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.incidents.front import split
from ipwatchd.records.incident import SopUse, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ipwatchd.incidents.taxonomy import Taxonomy

__all__ = ["Sop", "SopStep", "assigned", "check_sops", "in_language", "matching", "parse_sop"]

MOST: Final = 5
"""SOPs one case gets: with more nobody reads any."""
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the front matter; an unknown key is an error."""


class SopStep(_Table, frozen=True):
    """One step; `who` does it, and a mandatory one holds the case open."""

    id: str
    text: str
    who: str = ""
    mandatory: bool = False


class Sop(_Table, frozen=True):
    """A procedure in one language. It fits a case by detector rule, intake script or class."""

    id: str
    title: str
    language: str
    version: str
    steps: tuple[SopStep, ...] = msgspec.field(name="step")
    classes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    text: str = ""


def parse_sop(data: bytes, where: str) -> Sop:
    """Return the SOP of a file; ValueError says what is wrong in `where`."""
    sop, text = split(data, Sop, where)
    ids = [step.id for step in sop.steps]
    for one in (sop.id, *ids):
        if not _ID.fullmatch(one):
            raise ValueError(f"{where}: {one!r} is no id: small letters, digits and hyphens")
    if len(set(ids)) != len(ids) or not ids:
        raise ValueError(f"{where}: needs steps, each with an id of its own")
    return msgspec.structs.replace(sop, text=text)


def check_sops(sops: Sequence[Sop], taxonomy: Taxonomy, where: str) -> None:
    """Raise ValueError where translations differ in their steps, or a class is none."""
    first: dict[str, Sop] = {}
    seen: set[tuple[str, str]] = set()
    for sop in sops:
        if (sop.id, sop.language) in seen:
            raise ValueError(f"{where}: SOP {sop.id} is there twice in {sop.language}")
        seen.add((sop.id, sop.language))
        for kind in sop.classes:
            try:
                taxonomy.known(kind)
            except ValueError as error:
                raise ValueError(f"{where}: SOP {sop.id}: {error}") from error
        other = first.setdefault(sop.id, sop)
        if _outline(other) != _outline(sop):
            raise ValueError(
                f"{where}: SOP {sop.id} in {sop.language} and {other.language} differ in version, "
                "steps, or what is mandatory: make them alike"
            )
    for identity in first:
        if (identity, "en") not in seen:
            raise ValueError(f"{where}: SOP {identity} has no English text")


def _outline(sop: Sop) -> tuple[object, ...]:
    steps = tuple((step.id, step.mandatory) for step in sop.steps)
    return sop.version, steps, sop.classes, sop.rules, sop.kinds


def in_language(sops: Iterable[Sop], identity: str, language: str) -> Sop | None:
    """Return an SOP in a language, else in English."""
    held = {sop.language: sop for sop in sops if sop.id == identity}
    return held.get(language.partition("-")[0].lower()) or held.get("en")


def matching(
    sops: Sequence[Sop], *, rule: str, kind: str, classification: str, language: str
) -> list[Sop]:
    """Return the SOPs that a case gets, those for its rule or script before those for its class.

    What is written for people's reports is not for a finding whose rule has an SOP of its own.
    """
    by_rule = [one.id for one in sops if rule in one.rules]
    exact = [*by_rule, *(one.id for one in sops if kind and kind in one.kinds)]
    by_class = [
        one.id for one in sops
        if classification in one.classes and not (by_rule and one.kinds)
    ]  # fmt: skip
    names = list(dict.fromkeys([*exact, *by_class]))[:MOST]
    found = [in_language(sops, name, language) for name in names]
    return [one for one in found if one is not None]


def assigned(sops: Iterable[Sop]) -> tuple[tuple[SopUse, ...], tuple[Task, ...]]:
    """Return SOPs as a case carries them: what it goes by, and the steps to tick."""
    chosen = list(sops)
    uses = tuple(SopUse(id=one.id, version=one.version, language=one.language) for one in chosen)
    tasks = tuple(
        Task(sop=one.id, step=step.id, mandatory=step.mandatory)
        for one in chosen
        for step in one.steps
    )
    return uses, tasks
