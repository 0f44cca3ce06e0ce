"""What a start takes up from the last run, however that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipwatchd.history.compaction import recover
from ipwatchd.history.sessions import SESSION
from ipwatchd.history.writing import write_mark, write_segments
from ipwatchd.sqlite import transaction

if TYPE_CHECKING:
    import aiosqlite
    from numpy.typing import NDArray

    from ipwatchd.history.archive import Archive, Segment

__all__ = ["open_sessions", "register"]


async def register(db: aiosqlite.Connection, archive: Archive, taken: int) -> dict[str, int]:
    """Make the table of segments equal the folder; return what was found amiss, by name.

    `segments_unfinished` a crash left, `segments_bad` can't be read (set aside as *.bad),
    `segments_gone` were deleted by hand. Of the flows `taken`, `flows_lost` were in no segment and
    `flows_untallied` in no table when the last run died.
    """
    bad = await recover(db, archive)
    found = {"segments_unfinished": archive.clean()}
    async with db.execute("SELECT name FROM segment") as rows:
        known = {str(row[0]) async for row in rows}
    on_disk = archive.names()
    fresh: list[Segment] = []
    for name in sorted(on_disk - known):
        try:
            fresh.append(archive.inspect(name))
        except (OSError, ValueError):  # pyarrow's ArrowInvalid is a ValueError
            archive.set_aside(name)
            bad += 1
    async with db.execute("SELECT key, value FROM meta") as rows:
        marks = {str(key): int(value) async for key, value in rows}
    async with transaction(db):
        await db.executemany(
            "DELETE FROM segment WHERE name = ?", [(name,) for name in known - on_disk]
        )
        await write_segments(db, fresh)
        await write_mark(db, "tallied", taken)
        await write_mark(db, "sealed", taken)
    found["segments_bad"] = bad
    found["segments_gone"] = len(known - on_disk)
    sealed = marks.get("sealed", taken) + sum(segment.rows for segment in fresh)
    found["flows_lost"] = max(0, taken - sealed)
    found["flows_untallied"] = max(0, taken - marks.get("tallied", taken))
    return {what: count for what, count in found.items() if count}


async def open_sessions(db: aiosqlite.Connection) -> tuple[NDArray[np.void], int]:
    """Return the sessions that were open, and the next free id."""
    query = (
        'SELECT s.id, a.address, s.start, s."end", s.flows, s.packets, s.bytes, s.mask FROM '
        "session s JOIN address a ON a.id = s.address WHERE s.open = 1"
    )
    async with db.execute(query) as rows:
        found = [
            (
                number, int.from_bytes(key[:8]), int.from_bytes(key[8:]), round(start * 1000),
                round(end * 1000), flows, packets, octets, mask,
            )
            async for number, key, start, end, flows, packets, octets, mask in rows
        ]  # fmt: skip
    async with db.execute("SELECT coalesce(max(id), 0) + 1 FROM session") as rows:
        row = await rows.fetchone()
    return np.array(found, SESSION), int(row[0]) if row else 1
