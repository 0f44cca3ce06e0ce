"""Intake scripts: what is asked of a person who reports something, by kind and language. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipwatchd.incidents.taxonomy import Taxonomy

__all__ = ["ANSWER", "Script", "ScriptQuestion", "check_scripts", "claims", "parse_script"]

ANSWER: Final = 5_000
"""Characters of one answer."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is an error."""


class ScriptQuestion(_Table, frozen=True):
    """One question; `claim` says that our own records can tell whether its answer holds."""

    id: str
    text: dict[str, str]
    required: bool = False
    claim: Literal["", "address", "agent", "time"] = ""


class Script(_Table, frozen=True):
    """The questions for one kind of report, and the class that it begins with."""

    kind: str
    version: str
    classification: str
    title: dict[str, str]
    questions: tuple[ScriptQuestion, ...] = msgspec.field(name="question")

    def answers(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return answers as they are kept, unchanged; ValueError for a wrong or missing one."""
        known = [one.id for one in self.questions]
        for name, text in given.items():
            if name not in known:
                raise ValueError(f"{name!r} is no question of {self.kind}: {', '.join(known)}")
            if len(text) > ANSWER:
                raise ValueError(f"{name}: {len(text):,} characters are over {ANSWER:,}: attach it")
        missing = [
            one.id for one in self.questions if one.required and not given.get(one.id, "").strip()
        ]
        if missing:
            raise ValueError(f"a report of {self.kind} needs answers to {', '.join(missing)}")
        return {name: text for name, text in given.items() if text.strip()}


def claims(script: Script, answers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what answers claim that our records may know: kind of claim and its text."""
    return [
        (one.claim, answers[one.id].strip())
        for one in script.questions
        if one.claim and answers.get(one.id, "").strip()
    ]


def parse_script(data: bytes, where: str) -> Script:
    """Return the script of a TOML file; ValueError says what is wrong in `where`."""
    try:
        script = msgspec.toml.decode(data, type=Script)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: {error}") from error
    ids = [one.id for one in script.questions]
    if len(set(ids)) != len(ids) or not ids:
        raise ValueError(f"{where}: needs questions, each with an id of its own")
    languages = script.title.keys()
    for one in script.questions:
        if "en" not in one.text or one.text.keys() != languages:
            raise ValueError(
                f"{where}: question {one.id} must be in the languages of the title, English among "
                "them"
            )
    return script


def check_scripts(scripts: Sequence[Script], taxonomy: Taxonomy, where: str) -> None:
    """Raise ValueError where a script's class is none, or two are for the same kind."""
    kinds: set[str] = set()
    for script in scripts:
        if script.kind in kinds:
            raise ValueError(f"{where}: there are two scripts for {script.kind}")
        kinds.add(script.kind)
        try:
            taxonomy.known(script.classification)
        except ValueError as error:
            raise ValueError(f"{where}: {script.kind}: {error}") from error
