"""The geometry of the pictures in reports: what the templates draw as SVG. Pure.

A picture is `WIDTH` units wide and scales with the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.incidents.review.course import Course
    from ipwatchd.incidents.review.trends import Day, Group

__all__ = ["Days", "Moment", "Row", "bars", "days", "moments"]

WIDTH: Final = 640.0
HEIGHT: Final = 140.0
_LEFT: Final = 28.0
_FOOT: Final = 18.0
_LABELS: Final = 8
_APART: Final = 74.0
"""Units between the labels of two moments, so that they can be read."""


class Bar(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    said: str


class Days(NamedTuple):
    """Opened and closed incidents of each day as bars, open ones as a line."""

    opened: tuple[Bar, ...]
    closed: tuple[Bar, ...]
    line: str
    ticks: tuple[tuple[float, str], ...]
    labels: tuple[tuple[float, str], ...]


class Row(NamedTuple):
    """A bar of a table: a name, its count, and how much of the greatest it is, 0 to 1."""

    group: Group
    share: float


class Moment(NamedTuple):
    """A point of the course of one incident, and where its label stands."""

    name: str
    time: float
    x: float
    label: float


def days(rows: Sequence[Day]) -> Days:
    """Return the picture of a period's days."""
    top = float(max((max(one.opened, one.closed, one.open) for one in rows), default=0)) or 1.0
    floor, height = HEIGHT - _FOOT, HEIGHT - _FOOT - 8
    step = (WIDTH - _LEFT) / max(len(rows), 1)
    wide = max(step * 0.36, 0.5)

    def bar(index: int, count: int, shift: float, said: str) -> Bar:
        tall = count / top * height
        return Bar(_LEFT + index * step + shift, floor - tall, wide, tall, said)

    opened = [bar(i, d.opened, step * 0.1, f"{d.date}: {d.opened}") for i, d in enumerate(rows)]
    closed = [bar(i, d.closed, step * 0.52, f"{d.date}: {d.closed}") for i, d in enumerate(rows)]
    points = [
        f"{_LEFT + (i + 0.5) * step:.1f},{floor - d.open / top * height:.1f}"
        for i, d in enumerate(rows)
    ]
    every = max(-(-len(rows) // _LABELS), 1)
    labels = [(_LEFT + (i + 0.5) * step, d.date[5:]) for i, d in enumerate(rows) if i % every == 0]
    ticks = [(floor - share * height, f"{share * top:g}") for share in _ticks(top)]
    return Days(tuple(opened), tuple(closed), " ".join(points), tuple(ticks), tuple(labels))


def _ticks(top: float) -> tuple[float, ...]:
    """Return where whole numbers stand: the floor, the half where it is one, the top."""
    return (0.0, 0.5, 1.0) if top % 2 == 0 else (0.0, 1.0)


def bars(groups: Sequence[Group], most: int = 12) -> tuple[Row, ...]:
    """Return the greatest groups with their bars."""
    top = max((one.count for one in groups), default=0) or 1
    return tuple(Row(one, one.count / top) for one in groups[:most])


def moments(course: Course) -> tuple[Moment, ...]:
    """Return the points of an incident's course in order, along a line that is `WIDTH` long."""
    names = ("happened", "detected", "acknowledged", "confirmed", "contained", "resolved", "closed")
    # Sorted by time alone: what came at the same time stays in the order of the names.
    held = sorted(
        ((getattr(course, name), name) for name in names if getattr(course, name)),
        key=lambda one: one[0],
    )
    if not held:
        return ()
    first, span = held[0][0], max(held[-1][0] - held[0][0], 1.0)
    room = WIDTH - _APART
    placed: list[Moment] = []
    for index, (time, name) in enumerate(held):
        x = _APART / 2 + (time - first) / span * room
        least = placed[-1].label + _APART if placed else _APART / 2
        most = WIDTH - _APART / 2 - (len(held) - 1 - index) * _APART
        placed.append(Moment(name, time, x, min(max(x, least), max(most, least))))
    return tuple(placed)
