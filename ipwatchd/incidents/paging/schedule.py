"""Who is on call: layers of rotations in time zones of their own, overrides, and gaps. Pure."""

from __future__ import annotations

import datetime as dt
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
    clock = _clock(moment(now, zone))
    return since <= clock < until if since < until else clock >= since or clock < until


def _clock(local: dt.datetime) -> str:
    """Return the time of day as the plan writes it; strftime takes ten times as long."""
    return f"{local.hour:02}:{local.minute:02}"


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
    days = (local.date() - layer.start).days - (_clock(local) < layer.hand_over)
    return layer.rotation[days // layer.days % len(layer.rotation)] if days >= 0 else ""


def _covers(cover: Cover, local: dt.datetime) -> bool:
    clock, today = _clock(local), DAYS[local.weekday()]
    if cover.since < cover.until:
        return today in cover.days and cover.since <= clock < cover.until
    yesterday = DAYS[(local.weekday() - 1) % 7]
    late = today in cover.days and clock >= cover.since
    return late or (yesterday in cover.days and clock < cover.until)


def gaps(schedule: Schedule, now: float, ahead: float = AHEAD) -> Iterator[tuple[float, float]]:
    """Yield the spans in which nobody is on call, to the minute, however short.

    It is looked at each quarter of an hour, and at each minute in which somebody may come or go.
    """
    first = now - now % MINUTE
    end = first + ahead
    begun: float | None = None
    before = first
    for time in _looks(schedule, first, end):
        empty = not on_call(schedule, time)
        if empty and begun is None:
            begun = _edge(schedule, before, time, empty=True)
        elif not empty and begun is not None:
            yield begun, _edge(schedule, before, time, empty=False)
            begun = None
        before = time
    if begun is not None:
        yield begun, end


def _looks(schedule: Schedule, first: float, end: float) -> list[float]:
    """Return the times at which it is looked whether somebody is on call."""
    times = {first, end}
    time = first - first % GRID + GRID
    while time < end:
        times.add(time)
        time += GRID
    for layer in schedule.layers:
        clocks = {layer.hand_over, "00:00"}
        clocks |= {clock for one in layer.cover for clock in (one.since, one.until)}
        day = moment(first, layer.zone)
        for ahead in range(round((end - first) / 86_400) + 2):
            for clock in clocks:
                hour, minute = map(int, clock.split(":"))
                at = day.replace(hour=hour, minute=minute, second=0, microsecond=0)
                times.add((at + dt.timedelta(days=ahead)).timestamp())
    zone = schedule.layers[0].zone
    for override in schedule.overrides:
        times |= {_aware(one, zone).timestamp() for one in (override.since, override.until)}
    return sorted(one for one in times if first <= one <= end)


def _edge(schedule: Schedule, low: float, high: float, *, empty: bool) -> float:
    """Return the first minute from `low` to `high` that is as `high` is."""
    while low < high and (not on_call(schedule, low)) != empty:
        low += MINUTE
    return min(low, high)
