"""A key of the archive that goes: destroyed, and searched for in every file of the state folder."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from ipwatchd.history.traces import Search, search_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.history.keyring import KeyedDay, Keyring
    from ipwatchd.history.readers import Readers

__all__ = ["DroppedKey", "drop_key"]


class DroppedKey(NamedTuple):
    """A day that is anonymous now: its segments and flows, and the search for its key."""

    day: KeyedDay
    segments: int
    flows: int
    left: Search


async def drop_key(
    keyring: Keyring, readers: Readers, state_dir: Path, lock: asyncio.Lock, *, day: str,
    now: float, by: str,
) -> DroppedKey:  # fmt: skip
    """Destroy the key of a day and search for it; `lock` is that of the flushes.

    Raises LookupError where there is none, OSError where the disk refuses.
    """
    async with lock:  # a segment that is being written is of one key
        done, key = await asyncio.to_thread(keyring.drop, day, now, by)
    # Beside the flushes: it reads all there is.
    left = await asyncio.to_thread(search_bytes, state_dir, key)
    (row,) = await readers.rows(
        "SELECT count(*), coalesce(sum(rows), 0) FROM segment WHERE name LIKE ?",
        (f"date={day}/%",),
    )
    return DroppedKey(done, int(row[0]), int(row[1]), left)
