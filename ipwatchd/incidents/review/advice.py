"""What verdicts say of a detector: how often it was wrong, and what line would do. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.incidents.review.course import FALSE, TRUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ipwatchd.incidents.review.course import Course

__all__ = ["LEAST", "SHARE", "Advice", "advice"]

LEAST: Final = 5
"""Judged incidents of a rule from which its share of false ones says something."""
SHARE: Final = 0.3
"""A rule that is wrong more often than this costs more belief than it gives."""


class Advice(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A rule that was often wrong. `line` is a threshold that keeps every true one (0: none)."""

    rule: str
    judged: int
    false: int
    threshold: float = 0.0
    line: float = 0.0
    spared: int = 0
    text: str


def advice(courses: Iterable[Course]) -> Iterator[Advice]:
    """Return what to tune, the worst rule first."""
    held: dict[str, list[Course]] = {}
    for one in courses:
        if one.verdict in {TRUE, FALSE} and one.rule != "report":
            held.setdefault(one.rule, []).append(one)
    bad = {rule: judged for rule, judged in held.items() if _share(judged) > SHARE}
    for rule in sorted(bad, key=lambda name: -_share(bad[name])):
        if len(bad[rule]) >= LEAST:
            yield _advised(rule, bad[rule])


def _share(judged: Sequence[Course]) -> float:
    return sum(one.verdict == FALSE for one in judged) / len(judged)


def _advised(rule: str, judged: Sequence[Course]) -> Advice:
    false = [one for one in judged if one.verdict == FALSE]
    true = [one.value for one in judged if one.verdict == TRUE]
    said = f"{len(false)} of {len(judged)} judged findings were false"
    threshold = max((one.threshold for one in judged), default=0.0)
    lowest = min(true, default=0.0)
    spared = sum(one.value < lowest for one in false)
    if threshold and lowest > threshold and spared:
        text = (
            f"{said}: a threshold of {lowest:g} in place of {threshold:g} would have kept all "
            f"{len(true)} true ones and spared {spared} false ones"
        )
        return Advice(
            rule=rule, judged=len(judged), false=len(false), threshold=threshold, line=lowest,
            spared=spared, text=text,
        )  # fmt: skip
    text = (
        f"{said}, and no threshold tells them apart: silence what is known with [[expected]] in "
        "detectors.toml, or look at what they have in common"
    )
    return Advice(rule=rule, judged=len(judged), false=len(false), threshold=threshold, text=text)
