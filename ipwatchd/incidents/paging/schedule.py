"""Who is on call: layers of rotations in time zones of their own, overrides, and gaps. Pure."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - msgspec reads it at run time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from ipwatchd.incidents.legal.periods import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cover", "Layer", "Override", "Schedule", "gaps", "in_window", "on_call"]

Clock = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AHEAD: Final = 35 * 86400.0
GRID: Final = 900.0
MINUTE: Final = 60.0


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; an unknown key is an error."""


class Cover(_Table, frozen=True):
    """Hours of some days that a layer covers; over midnight where `until` is not after `since`."""

    since: Clock
    until: Clock
    days: tuple[Annotated[str, Meta(pattern="^(mon|tue|wed|thu|fri|sat|sun)$")], ...] = DAYS


class Override(_Table, frozen=True):
    """Somebody else in a span of time, on the wall clock of the first layer's zone."""

    since: dt.datetime
    until: dt.datetime
    person: str


class Layer(_Table, frozen=True):
    """A rotation: each has `days` days from `start` on, handed over at a time of day."""

    zone: str
    start: dt.date
    rotation: Annotated[tuple[str, ...], Meta(min_length=1, max_length=200)]
    hand_over: Clock = "09:00"
    days: Annotated[int, Meta(ge=1, le=366)] = 7
    cover: tuple[Cover, ...] = ()


class Schedule(_Table, frozen=True):
    """[schedules.NAME] the first layer that has somebody at a time says who."""

    layers: Annotated[tuple[Layer, ...], Meta(min_length=1)] = msgspec.field(name="layer")
    overrides: tuple[Override, ...] = msgspec.field(name="override", default=())


def in_window(now: float, zone: str, since: str, until: str) -> bool:
    """Tell whether a time of day lies in a window, which may go over midnight."""
    clock = moment(now, zone).strftime("%H:%M")
    return since <= clock < until if since < until else clock >= since or clock < until


def on_call(schedule: Schedule, now: float) -> str:
    """Return who is on call, "" in a gap."""
    zone = schedule.layers[0].zone
    local = moment(now, zone)
    for one in reversed(schedule.overrides):
        if _aware(one.since, zone) <= local < _aware(one.until, zone):
            return one.person
    return next((name for layer in schedule.layers if (name := _turn(layer, now))), "")


def _aware(when: dt.datetime, zone: str) -> dt.datetime:
    return when if when.tzinfo else when.replace(tzinfo=moment(0.0, zone).tzinfo)


def _turn(layer: Layer, now: float) -> str:
    local = moment(now, layer.zone)
    if layer.cover and not any(_covers(one, local) for one in layer.cover):
        return ""
    days = (local.date() - layer.start).days - (local.strftime("%H:%M") < layer.hand_over)
    return layer.rotation[days // layer.days % len(layer.rotation)] if days >= 0 else ""


def _covers(cover: Cover, local: dt.datetime) -> bool:
    clock, today = local.strftime("%H:%M"), DAYS[local.weekday()]
    if cover.since < cover.until:
        return today in cover.days and cover.since <= clock < cover.until
    yesterday = DAYS[(local.weekday() - 1) % 7]
    late = today in cover.days and clock >= cover.since
    return late or (yesterday in cover.days and clock < cover.until)


def gaps(schedule: Schedule, now: float, ahead: float = AHEAD) -> Iterator[tuple[float, float]]:
    """Yield the spans in which nobody is on call, to the minute.

    What is shorter than a quarter of an hour is found where it lies over one.
    """
    time = now - now % MINUTE
    end = time + ahead
    begun: float | None = None
    while time <= end:
        empty = not on_call(schedule, time)
        if empty and begun is None:
            begun = _edge(schedule, max(now - now % MINUTE, time - GRID), time, empty=True)
        elif not empty and begun is not None:
            yield begun, _edge(schedule, time - GRID, time, empty=False)
            begun = None
        time = min(time - time % GRID + GRID, end) if time < end else end + 1
    if begun is not None:
        yield begun, end


def _edge(schedule: Schedule, low: float, high: float, *, empty: bool) -> float:
    """Return the first minute from `low` to `high` that is as `high` is."""
    while low < high and (not on_call(schedule, low)) != empty:
        low += MINUTE
    return min(low, high)
