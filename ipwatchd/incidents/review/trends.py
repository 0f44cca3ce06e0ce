"""Numbers over many incidents: how many, how fast, how often wrong, by what divides them. Pure."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.incidents.review.advice import Advice, advice
from ipwatchd.incidents.review.course import FALSE, TRUE, Course

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from zoneinfo import ZoneInfo

__all__ = ["DIVISIONS", "SPANS", "Day", "Group", "Span", "Trends", "quantile", "trends"]

SPANS: Final = {
    "detect": ("happened", "detected"),
    "acknowledge": ("detected", "acknowledged"),
    "contain": ("detected", "contained"),
    "resolve": ("detected", "resolved"),
}
"""Name of a time to …: the moments it lies between."""
DAYS: Final = 400
"""Days that are told one by one: a period of decades makes no page of megabytes."""
_NONE: Final = "(none)"


class Span(msgspec.Struct, kw_only=True, frozen=True):
    """Seconds that something took, over `count` incidents where it came."""

    count: int = 0
    median: float = 0.0
    p90: float = 0.0


class Group(msgspec.Struct, kw_only=True, frozen=True):
    """Incidents that have something in common."""

    name: str
    count: int
    open: int
    true: int
    false: int
    late: int
    spans: dict[str, Span]

    @property
    def wrong(self) -> float:
        """Return the share of those judged that were nothing, 0 to 1."""
        judged = self.true + self.false
        return self.false / judged if judged else 0.0


class Day(msgspec.Struct, kw_only=True, frozen=True):
    """What came and went on a day (in the site's time zone), and what was open at its end."""

    date: str
    opened: int
    closed: int
    open: int


class Trends(msgspec.Struct, kw_only=True, frozen=True):
    """Everything that is said of a period."""

    since: float
    until: float
    total: Group
    by: dict[str, tuple[Group, ...]]
    days: tuple[Day, ...]
    advice: tuple[Advice, ...]


DIVISIONS: Final[dict[str, Callable[[Course], str]]] = {
    "class": lambda one: one.type,
    "priority": lambda one: one.priority,
    "rule": lambda one: one.rule,
    "site": lambda one: one.site,
    "client": lambda one: one.client,
    "channel": lambda one: one.channel,
}


def trends(courses: Sequence[Course], since: float, until: float, zone: ZoneInfo) -> Trends:
    """Return the numbers of the incidents detected in a period (since ≤ t < until).

    What was merged is counted with what it was merged into.
    """
    courses = [one for one in courses if one.state != "MERGED"]
    known = [one for one in courses if since <= one.detected < until]
    return Trends(
        since=since, until=until, total=_group("all", known),
        by={
            name: _divided(known, key, named=name == "priority") for name, key in DIVISIONS.items()
        },
        days=tuple(_days(courses, since, until, zone)), advice=tuple(advice(known)),
    )  # fmt: skip


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value at or below which a share lies (nearest rank); 0 where there is none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = -(-len(ordered) * round(share * 100) // 100)
    return ordered[max(rank, 1) - 1]


def _divided(
    courses: Iterable[Course], key: Callable[[Course], str], *, named: bool
) -> tuple[Group, ...]:
    """Return the groups in the order of their names, or the greatest first."""
    held: dict[str, list[Course]] = {}
    for one in courses:
        held.setdefault(key(one) or _NONE, []).append(one)
    groups = [_group(name, members) for name, members in held.items()]
    return tuple(sorted(groups, key=lambda one: (0 if named else -one.count, one.name)))


def _group(name: str, courses: Sequence[Course]) -> Group:
    return Group(
        name=name, count=len(courses),
        open=sum(not one.closed for one in courses),
        true=sum(one.verdict == TRUE for one in courses),
        false=sum(one.verdict == FALSE for one in courses),
        late=sum(one.late for one in courses),
        spans={span: _span(courses, *moments) for span, moments in SPANS.items()},
    )  # fmt: skip


def _span(courses: Iterable[Course], start: str, end: str) -> Span:
    """Return how long it took where both came; a clock that went back counts as at once."""
    moments = [(getattr(one, start), getattr(one, end)) for one in courses]
    took = [max(after - before, 0.0) for before, after in moments if before and after]
    return Span(count=len(took), median=quantile(took, 0.5), p90=quantile(took, 0.9))


def _days(courses: Sequence[Course], since: float, until: float, zone: ZoneInfo) -> Iterable[Day]:
    first = dt.datetime.fromtimestamp(since, zone).date()
    last = dt.datetime.fromtimestamp(max(until - 1e-3, since), zone).date()
    first = max(first, last - dt.timedelta(days=DAYS - 1))
    opened, closed = _by_date(courses, "detected", zone), _by_date(courses, "closed", zone)
    standing = sum(n for day, n in opened.items() if day < first)
    standing -= sum(n for day, n in closed.items() if day < first)
    day = first
    while day <= last:
        standing += opened.get(day, 0) - closed.get(day, 0)
        yield Day(
            date=day.isoformat(), opened=opened.get(day, 0), closed=closed.get(day, 0),
            open=max(standing, 0),
        )  # fmt: skip
        day += dt.timedelta(days=1)


def _by_date(courses: Iterable[Course], moment: str, zone: ZoneInfo) -> dict[dt.date, int]:
    held: dict[dt.date, int] = {}
    for one in courses:
        if when := getattr(one, moment):
            day = dt.datetime.fromtimestamp(when, zone).date()
            held[day] = held.get(day, 0) + 1
    return held
