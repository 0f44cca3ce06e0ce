"""Facts → impact, urgency and priority, by a file of questions and rules (impact.toml). Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from ipwatchd.incidents.triage import priority

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Assessment", "Choice", "Derived", "Facts", "Question", "Rule", "parse_assessment"]

Facts = dict[str, Any]
"""question → answer: a choice, a list of choices or words, {"min", "max"}, or text."""

LOWEST: Final = 3
TEXT: Final = 200
WORDS: Final = 50
MOST: Final = 10**10
_RANGE: Final = re.compile(r"\s*(\d{1,11})\s*(?:(?:-|\.\.)\s*(\d{1,11})\s*)?")


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is an error."""


class Choice(_Table, frozen=True):
    """One possible answer; rules may name its groups instead (`@personal`)."""

    id: str
    groups: tuple[str, ...] = ()


class Question(_Table, frozen=True):
    """A question of fact, in some languages."""

    id: str
    kind: Literal["choice", "choices", "range", "text", "words"]
    text: dict[str, str]
    required: bool = False
    choices: tuple[Choice, ...] = ()


class AtLeast(_Table, frozen=True):
    """Fits a range whose upper end is this or more."""

    at_least: int


class Rule(_Table, frozen=True):
    """A level and the answers it follows from."""

    level: Annotated[int, Meta(ge=1, le=3)]
    because: str
    when: dict[str, tuple[str, ...] | AtLeast]


class Derived(NamedTuple):
    """What follows from facts. `because` says which rule made impact and urgency."""

    impact: int
    urgency: int
    priority: str
    because: tuple[str, str]
    personal: bool


class Assessment(_Table, frozen=True):
    """The questions and the rules of one version."""

    version: str
    questions: tuple[Question, ...] = msgspec.field(name="question")
    impact: tuple[Rule, ...]
    urgency: tuple[Rule, ...]

    def missing(self, facts: Mapping[str, Any]) -> list[str]:
        """Return the required questions that have no answer."""
        return [one.id for one in self.questions if one.required and one.id not in facts]

    def derive(self, facts: Mapping[str, Any]) -> Derived:
        """Return what follows from facts, whole or not."""
        impact, why = self._first(self.impact, facts, "no harm is known")
        urgency, now = self._first(self.urgency, facts, "it is over or can wait")
        return Derived(
            impact, urgency, priority(impact, urgency), (why, now), self.is_personal(facts)
        )

    def is_personal(self, facts: Mapping[str, Any]) -> bool:
        """Tell whether personal data is concerned."""
        return any(
            self._fits(one.id, ("@personal",), facts)
            for one in self.questions
            if one.kind in {"choice", "choices"}
        )

    def answers(self, raw: Mapping[str, Any]) -> Facts:
        """Return answers as they are kept; ValueError names the question and what it takes.

        Text is understood as a person types it: `yes`, `health,identity`, `10-200`.
        """
        questions = {one.id: one for one in self.questions}
        facts: Facts = {}
        for name, value in raw.items():
            key = name.strip().replace("-", "_")
            if key not in questions:
                raise ValueError(f"{name!r} is no question: {', '.join(questions)}")
            facts[key] = _answer(questions[key], value)
        return facts

    def _first(
        self, rules: Iterable[Rule], facts: Mapping[str, Any], otherwise: str
    ) -> tuple[int, str]:
        for rule in rules:
            if all(self._fits(name, wanted, facts) for name, wanted in rule.when.items()):
                return rule.level, rule.because
        return LOWEST, otherwise

    def _fits(self, name: str, wanted: tuple[str, ...] | AtLeast, facts: Mapping[str, Any]) -> bool:
        given = facts.get(name)
        if given is None:
            return False
        if isinstance(wanted, AtLeast):
            return isinstance(given, dict) and given.get("max", 0) >= wanted.at_least
        choices = {given} if isinstance(given, str) else set(given)
        groups = {
            f"@{group}"
            for question in self.questions
            if question.id == name
            for choice in question.choices
            if choice.id in choices
            for group in choice.groups
        }
        return bool((choices | groups) & set(wanted))


def _answer(question: Question, value: Any) -> Any:
    if question.kind == "range":
        return _range(question, value)
    if question.kind == "text":
        return str(value).strip()[:TEXT]
    words = value if isinstance(value, list | tuple) else str(value).split(",")
    given = tuple(dict.fromkeys(str(word).strip() for word in words if str(word).strip()))
    if question.kind == "words":
        return [word[:TEXT] for word in given[:WORDS]]
    ids = [choice.id for choice in question.choices]
    wrong = [word for word in given if word not in ids]
    if wrong or not given or (question.kind == "choice" and len(given) > 1):
        many = "one or more of" if question.kind == "choices" else "one of"
        raise ValueError(f"{question.id}={value!r} is no answer: write {many} {', '.join(ids)}")
    return list(given) if question.kind == "choices" else given[0]


def _range(question: Question, value: Any) -> dict[str, int]:
    if isinstance(value, dict):
        low, high = value.get("min"), value.get("max")
    elif isinstance(value, int):
        low = high = value
    else:
        found = _RANGE.fullmatch(str(value))
        low = int(found[1]) if found else None
        high = int(found[2] or found[1]) if found else None
    if not (isinstance(low, int) and isinstance(high, int) and 0 <= low <= high <= MOST):
        raise ValueError(f"{question.id}={value!r} is no answer: write 12, or 10-200 for at least "
                         "10 and at most 200")  # fmt: skip
    return {"min": low, "max": high}


def parse_assessment(data: bytes, where: str) -> Assessment:
    """Return the questions and rules of a TOML file; ValueError says what is wrong in `where`."""
    try:
        found = msgspec.toml.decode(data, type=Assessment)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{where}: {error}") from error
    questions: dict[str, Question] = {}
    for one in found.questions:
        if one.id in questions:
            raise ValueError(f"{where}: question {one.id} is there twice")
        if "en" not in one.text:
            raise ValueError(f"{where}: question {one.id} has no English text")
        if one.kind in {"choice", "choices"} and not one.choices:
            raise ValueError(f"{where}: question {one.id} has no choices")
        questions[one.id] = one
    for rule in (*found.impact, *found.urgency):
        _check(rule, questions, where)
    return found


def _check(rule: Rule, questions: Mapping[str, Question], where: str) -> None:
    if not rule.when:
        raise ValueError(f"{where}: rule {rule.because!r} always fits: say when")
    for name, wanted in rule.when.items():
        question = questions.get(name)
        if question is None:
            raise ValueError(f"{where}: rule {rule.because!r} asks {name}, which is no question")
        if isinstance(wanted, AtLeast):
            if question.kind != "range":
                raise ValueError(f"{where}: rule {rule.because!r}: {name} is no range")
            continue
        known = {one.id for one in question.choices}
        known |= {f"@{group}" for one in question.choices for group in one.groups}
        for word in wanted:
            if word not in known:
                raise ValueError(f"{where}: rule {rule.because!r}: {name} has no answer {word!r}")
