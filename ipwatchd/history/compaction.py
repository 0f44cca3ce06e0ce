"""Segments of a minute become segments of an hour, those of an hour one of a day.

Fewer, larger segments sorted by address: a question about one address opens some files a month
instead of tens of thousands. A crash at any point leaves each flow exactly once: the table
`replaced` says which segments a merged one stands for before it bears its name.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.history.writing import write_segments
from ipwatchd.sqlite import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import aiosqlite

    from ipwatchd.history.archive import Archive, Segment

__all__ = ["Group", "compact", "due", "recover"]

HOUR: Final = 3600.0
DAY: Final = 86_400.0
# What an index has bits for (64 row groups), and what bounds a merge's memory: its child holds the
# sort keys; a busier day stays in parts.
MOST_ROWS: Final = 1_000_000
# Stragglers: a long flow that ended now began hours ago, and its segment joins that hour.
_SETTLED: Final = 900.0


class Group(NamedTuple):
    """Segments of one folder that become one."""

    names: tuple[str, ...]
    rows: int


def due(segments: Iterable[Segment], now: float) -> list[Group]:
    """Return what can be merged at `now`: by day where the day is over, else by hour."""
    days: dict[str, list[Segment]] = {}
    for segment in segments:
        days.setdefault(segment.name.partition("/")[0], []).append(segment)
    found: list[Group] = []
    for some in days.values():
        start = min(segment.first for segment in some) // DAY * DAY
        over = start + DAY + _SETTLED <= now
        found += _groups(some, DAY if over else HOUR, now)
    return found


def _groups(segments: Sequence[Segment], span: float, now: float) -> list[Group]:
    """Return groups of at least two segments whose flows begin in the same span, filled in order."""  # noqa: E501 - one line says it
    found: list[Group] = []
    open_group: list[Segment] = []
    rows = 0
    for segment in [*sorted(segments, key=lambda one: (one.first, one.name)), None]:
        fits = segment is not None and open_group and (
            segment.first // span == open_group[0].first // span
            and rows + segment.rows <= MOST_ROWS
        )  # fmt: skip
        if open_group and not fits:
            if len(open_group) > 1:
                found.append(Group(tuple(one.name for one in open_group), rows))
            open_group, rows = [], 0
        if segment is not None and segment.first // span * span + span + _SETTLED <= now:
            open_group.append(segment)
            rows += segment.rows
    return found


async def compact(
    db: aiosqlite.Connection, archive: Archive, group: Group, lock: asyncio.Lock,
    busy: Callable[[], bool] = lambda: False,
) -> Segment | None:  # fmt: skip
    """Merge a group beside the flushes; `lock`, theirs, is held to change names alone.

    None where one of the segments is damaged or was changed meanwhile, or somebody is `busy`
    reading them at the end: all stay as they are. Raises OSError or sqlite3.Error where the disk
    refuses; nothing is lost then.
    """
    async with lock:  # an erasure rewrites segments under it
        archive.begin_merge()
        before = _stamp(archive, group)
    part = await asyncio.to_thread(archive.merge, group.names, secrets.token_hex(4))
    if part is None:
        return None
    async with lock:
        # Erased from, removed for space or by age meanwhile: what went must not come back.
        if busy() or not before or _stamp(archive, group) != before or not part.exists():
            archive.discard(part)
            return None
        return await _put(db, archive, group, part)


def _stamp(archive: Archive, group: Group) -> list[tuple[int, int, int]]:
    try:
        return archive.stamp(group.names)
    except OSError:
        return []


async def _put(db: aiosqlite.Connection, archive: Archive, group: Group, part: Path) -> Segment:
    """Put a merged segment in the place of its parts."""
    by = archive.final(part)
    async with transaction(db):
        await db.executemany(
            "INSERT OR REPLACE INTO replaced VALUES (?, ?)", [(name, by) for name in group.names]
        )
    await asyncio.to_thread(archive.reveal, part)
    segment = await asyncio.to_thread(archive.inspect, by)
    await _finish(db, archive, {by: list(group.names)}, [segment])
    return segment


async def recover(db: aiosqlite.Connection, archive: Archive) -> int:
    """Finish or forget the merges that a crash cut short; return how many damaged were set aside."""  # noqa: E501 - one line says it
    async with db.execute("SELECT name, by FROM replaced") as rows:
        found: dict[str, list[str]] = {}
        async for name, by in rows:
            found.setdefault(str(by), []).append(str(name))
    on_disk = archive.names()
    made: dict[str, list[str]] = {}
    new: list[Segment] = []
    for by in found.keys() & on_disk:
        try:
            new.append(archive.inspect(by))
        except (OSError, ValueError):  # damaged since: its parts stay, as far as they are there
            archive.set_aside(by)
        else:
            made[by] = found[by]
    await _finish(db, archive, made, new)
    async with transaction(db):
        await db.execute("DELETE FROM replaced")
    return len(found.keys() & on_disk) - len(made)


async def _finish(
    db: aiosqlite.Connection, archive: Archive, made: dict[str, list[str]], new: list[Segment]
) -> None:
    old = [(name,) for names in made.values() for name in names]
    async with transaction(db):
        await db.executemany("DELETE FROM segment WHERE name = ?", old)
        await write_segments(db, new)
    for (name,) in old:
        archive.remove(name)
    async with transaction(db):
        await db.executemany("DELETE FROM replaced WHERE name = ?", old)
