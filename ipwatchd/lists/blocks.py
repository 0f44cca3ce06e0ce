"""Blocks as rows of lists.db: a whole one, and then only what differs, until that weighs as much.

A feed of a million that changes by one in a hundred writes one in a hundred.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from ipwatchd.lists.block import Block, DamagedError, patch

if TYPE_CHECKING:
    import aiosqlite

    from ipwatchd.lists.block import Step

__all__ = ["Feed", "drop", "load", "write"]

_PARTS: Final = 200
"""Differences of one feed before all is written anew: each is read at the next start."""


class Feed(NamedTuple):
    """What a feed says: its list and its rows."""

    list: str
    block: Block


class _Difference(msgspec.Struct, frozen=True, array_like=True):
    put: bytes
    gone: bytes


async def load(db: aiosqlite.Connection) -> dict[str, Feed]:
    """Return the feeds by source (feed:NAME); DamagedError where one is not sound."""
    feeds: dict[str, Feed] = {}
    async with db.execute("SELECT source, list, whole, body FROM blocks ORDER BY seq") as cursor:
        async for source, kind, whole, body in cursor:
            if not whole and source not in feeds:
                raise DamagedError(f"a difference of {source} without what it differs from")
            old = None if whole else feeds[source].block
            feeds[source] = Feed(kind, await asyncio.to_thread(_read, old, body))
    return feeds


def _read(old: Block | None, body: bytes) -> Block:
    if old is None:
        return Block.decode(body)
    try:
        part = msgspec.msgpack.decode(body, type=_Difference)
        return patch(old, Block.decode(part.put), np.frombuffer(part.gone, np.int64))
    except DamagedError:
        raise
    except (msgspec.MsgspecError, ValueError, IndexError) as error:
        raise DamagedError(f"a difference of entries is damaged: {error}") from error


async def write(
    db: aiosqlite.Connection, source: str, list: str, change: Step, *, now: float  # noqa: A002 (the vocabulary's)
) -> None:  # fmt: skip
    """Write a change of a feed: the difference, or all of it where that is hardly more."""
    cursor = await db.execute(
        "SELECT coalesce(sum(length(body)) FILTER (WHERE whole), 0), "
        "coalesce(sum(length(body)) FILTER (WHERE NOT whole), 0), count(*), max(list) "
        "FROM blocks WHERE source = ?",
        (source,),
    )
    row = await cursor.fetchone()
    whole, parts, many, kind = tuple(row) if row else (0, 0, 0, "")
    body = await asyncio.to_thread(_difference, change)
    anew = not whole or parts + len(body) > whole or many > _PARTS or kind != list
    if anew:
        body = await asyncio.to_thread(change.block.encode)
        await drop(db, source)
    await db.execute(
        "INSERT INTO blocks (source, list, time, whole, rows, body) VALUES (?, ?, ?, ?, ?, ?)",
        (source, list, now, anew, len(change.block), body),
    )


def _difference(change: Step) -> bytes:
    gone = np.flatnonzero(change.gone).astype(np.int64)
    part = _Difference(change.block.take(change.put).encode(), gone.tobytes())
    return msgspec.msgpack.encode(part)


async def drop(db: aiosqlite.Connection, source: str) -> None:
    """Delete what is kept of a feed."""
    await db.execute("DELETE FROM blocks WHERE source = ?", (source,))
