"""Which open incidents a new one may be the same as: by subject, kind, time, text. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.records.incident import Incident

__all__ = ["COMPARED", "Likeness", "duplicates", "likeness"]

COMPARED: Final = 500
"""Open incidents a new one is compared with, the newest: a flood of reports costs no more."""
SHOWN: Final = 5
ENOUGH: Final = 0.5
NEAR_SECONDS: Final = 24 * 3600.0
WORDS: Final = 200
_WORD: Final = re.compile(r"\w{3,}")
_NUMBER: Final = re.compile(r"\b(?=[\w-]*\d[\w-]*\d)[A-Za-z0-9][\w-]{3,30}\b")
"""What names one thing in the world: an inventory, ticket, policy or telephone number."""
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


class Likeness(NamedTuple):
    """How like another incident is, 0 to 1, and in what."""

    id: str
    score: float
    why: tuple[str, ...]


def likeness(one: Incident, other: Incident) -> Likeness:
    """Return how like two incidents are."""
    score, why = 0.0, []
    if one.subject and one.subject == other.subject:
        score += 0.5
        why.append("same subject")
    elif one.subject and one.subject in other.targets:
        score += 0.3
        why.append("its subject is a target there")
    if (one.rule, one.kind) == (other.rule, other.kind) and (one.kind or one.rule != "report"):
        score += 0.15
        why.append("same kind")
    if abs(one.first_seen - other.last_seen) <= NEAR_SECONDS:
        score += 0.1
        why.append("same day")
    shared = _numbers(one.title) & _numbers(other.title)
    if shared:
        score += 0.4
        why.append(f"both name {min(shared)}")
    alike = _text(one.title, other.title)
    if alike >= 0.3:
        score += 0.5 * alike
        why.append(f"text {alike:.0%} alike")
    return Likeness(other.id, round(min(1.0, score), 2), tuple(why))


def duplicates(one: Incident, others: Iterable[Incident]) -> list[Likeness]:
    """Return those that may be the same, the likeliest first."""
    found = [likeness(one, other) for other in others if other.id != one.id]
    found = [each for each in found if each.score >= ENOUGH]
    return sorted(found, key=lambda each: (-each.score, each.id))[:SHOWN]


def _numbers(text: str) -> set[str]:
    return {word for word in _NUMBER.findall(text.upper()) if not _DATE.fullmatch(word)}


def _text(one: str, other: str) -> float:
    """Return how many words two texts share (Jaccard)."""
    first = set(_WORD.findall(one.lower())[:WORDS])
    second = set(_WORD.findall(other.lower())[:WORDS])
    return len(first & second) / len(first | second) if first and second else 0.0
