"""The checks behind status and doctor: each part, whether it is well, and the mend where not."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ipwatchd.control.messages import Check
from ipwatchd.control.paging import clock_checks, pager_checks
from ipwatchd.records.duration import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipwatchd.control.house import House, Live

__all__ = ["checks"]


async def checks(house: House, now: float) -> list[Check]:
    """Return every check, the ones that are not well first."""
    rows = [*_stored(house, now), *await _history(house), *await clock_checks(house, now)]
    if house.live is None:
        rows.append(Check(name="daemon", ok=True, note="not running: this is a state folder"))
    else:
        rows += [*_capture(house.live), *_firewall(house.live), *_uplink(house.live, now)]
        rows += [*_quiet(house.live), *_logs(house.live)]
        rows += pager_checks(house.live)
        rows += [Check(name=name, ok=False, note=note) for name, note in _notes(house.live)]
    return sorted(rows, key=lambda row: row.ok)


def _stored(house: House, now: float) -> Iterator[Check]:
    settings = house.stores.config.history
    free = shutil.disk_usage(house.stores.state_dir).free
    yield Check(
        name="disk",
        ok=free >= settings.free_bytes,
        note=f"{free / 1e9:.1f} GB free of which {settings.free_bytes / 1e9:.1f} are kept clear",
    )
    for name, note in house.stores.enricher.problems():
        yield Check(name=name, ok=False, note=note)
    yield from _geo(house, now)


def _geo(house: House, now: float) -> Iterator[Check]:
    """Say of each database of when it is; an old one places addresses where they no longer are."""
    days = house.stores.config.geo.stale_days
    for one in house.stores.enricher.status(now).databases:
        if one.error:
            continue
        if not one.built:
            yield Check(name=f"geo {one.role}", ok=True, note=f"{one.type}: names no build date")
            continue
        built = datetime.fromtimestamp(one.built, UTC).date().isoformat()
        old = one.age > days * 86_400
        note = f"{one.type} of {built} ({duration_text(one.age)} old)"
        if one.unreadable:
            note += f", {one.unreadable} records can't be read"
        if old:
            note += ": fetch a newer one (ipwatchd geo install)"
        yield Check(name=f"geo {one.role}", ok=not old and not one.unreadable, note=note)


async def _history(house: House) -> list[Check]:
    degraded = str((await house.stores.history.status()).get("degraded") or "")
    return [Check(name="history", ok=not degraded, note=degraded or "recording")]


def _quiet(live: Live) -> Iterator[Check]:
    """What is silenced on purpose is well, and said."""
    counts = {why: count for why, count in live.pipeline.silenced.counts.items() if count}
    if counts:
        said = ", ".join(f"{count} ({why})" for why, count in counts.items())
        yield Check(name="silenced", ok=True, note=f"findings that were expected: {said}")


def _logs(live: Live) -> Iterator[Check]:
    if live.logs is None:
        return
    counts = live.logs.counts()
    read = " ".join(f"{name} {value:,}" for name, value in counts.items() if value)
    if read:
        yield Check(name="logs", ok=True, note=read)


def _capture(live: Live) -> Iterator[Check]:
    if live.ring is None:
        if "capture" not in live.notes:
            yield Check(name="capture", ok=True, note='switched off ([capture] source = "none")')
        return
    if live.choice:
        yield Check(name="source", ok=True, note=f"{live.choice.source}: {live.choice.why}")
    for one in live.ring.counters().interfaces:
        lost = f", {one.kernel_drops} packets lost" if one.kernel_drops else ""
        yield Check(name=f"capture {one.name}", ok=one.state == "up", note=f"{one.state}{lost}")


def _firewall(live: Live) -> Iterator[Check]:
    if live.enforcement is None:
        return
    notes = live.enforcement.notes()
    yield from (Check(name=name, ok=False, note=note) for name, note in notes.items())
    if "firewall" in notes:
        return
    repairs = live.enforcement.repairs
    by = live.enforcement.changed_by or "someone"
    mended = f", put back {repairs} times, last after {by} changed them" if repairs else ""
    yield Check(name="firewall", ok=True, note=f"rules equal the lists{mended}")


def _uplink(live: Live, now: float) -> Iterator[Check]:
    if live.uplink is None:
        return
    status = live.uplink.status()
    if status.reachable:
        yield Check(name="uplink", ok=True, note=f"{status.committed} events at the centre")
        return
    last = duration_text(now - status.last_success) + " ago" if status.last_success else "never"
    waiting = f"{status.waiting} events wait here"
    yield Check(
        name="uplink",
        ok=False,
        note=f"{status.error or 'not reached yet'} (last: {last}); {waiting}",
    )


def _notes(live: Live) -> Iterator[tuple[str, str]]:
    yield from live.notes.items()
    if live.pipeline.trouble:
        yield "incidents", live.pipeline.trouble
    if live.pipeline.roster_fault:
        yield "roster", live.pipeline.roster_fault
    if live.pipeline.unlearned:
        yield "baselines", live.pipeline.unlearned
    if live.logs:
        for path, note in live.logs.problems().items():
            yield f"logs {path}", note
