"""Calls that give out many rows: an export is begun, read a batch at a time, and ended.

Rows are under pseudonyms unless `clear` is asked for, which needs the admin's role and a reason.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.control.call import NotFoundError, UnavailableError
from ipwatchd.control.messages import Export, ExportBatch
from ipwatchd.history.secret import pseudonyms
from ipwatchd.history.streams import STREAMS
from ipwatchd.records.filter import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.history.pseudonym import Pseudonyms
    from ipwatchd.history.streams import Batch

__all__ = ["Exports", "begin", "end", "read"]

# An open export holds a connection and a snapshot of the database: one that nobody reads any more
# must not keep the log from being written back.
MOST: Final = 4
IDLE_SECONDS: Final = 60.0


class _Open:
    """One export that is being read. Whoever is called from here on is its owner alone."""

    def __init__(self, owner: str, batches: AsyncIterator[Batch], names: Pseudonyms | None) -> None:
        self.owner = owner
        self.batches = batches
        self.names = names
        self.busy = asyncio.Lock()
        self._clock = asyncio.get_running_loop().time
        self._touched = self._clock()

    def touch(self) -> None:
        """Somebody reads it."""
        self._touched = self._clock()

    def idle(self) -> bool:
        """Tell whether nobody has read it for long."""
        return not self.busy.locked() and self._clock() - self._touched >= IDLE_SECONDS

    async def close(self) -> None:
        """Stop the query."""
        async with self.busy:
            await self.batches.aclose()  # type: ignore[attr-defined]  # it is a generator


class Exports:
    """The exports that are open, few."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    async def begin(self, export: _Open) -> str:
        """Take an export up; UnavailableError where too many are being read."""
        for name, other in list(self._open.items()):
            if other.idle():
                await self.end(name, other.owner)
        if len(self._open) >= MOST:
            raise UnavailableError(f"{MOST} exports are being read already: wait for one to end")
        name = secrets.token_hex(8)
        self._open[name] = export
        return name

    def of(self, name: str, owner: str) -> _Open:
        """Return an open export of this owner, NotFoundError where there is none."""
        export = self._open.get(name)
        if export is None or export.owner != owner:
            raise NotFoundError("this export has ended: begin it again")
        return export

    async def end(self, name: str, owner: str) -> None:
        """Stop an export."""
        export = self.of(name, owner)
        del self._open[name]
        await export.close()

    async def close(self) -> None:
        """Stop them all."""
        for name, export in list(self._open.items()):
            await self.end(name, export.owner)


async def begin(house: House, call: Call) -> Export:
    """Answer POST exports: body what, filter, clear, reason."""
    what, clear = str(call.body.get("what", "")), bool(call.body.get("clear"))
    if what not in STREAMS:
        raise ValueError(f"{what!r} can't be exported: {', '.join(STREAMS)} can")
    if clear:
        call.need_role("admin")
        if not str(call.body.get("reason") or "").strip():
            raise ValueError("an export with true addresses needs a reason: --reason TEXT")
    query = parse(str(call.body.get("filter", "")), call.now)
    names = None if clear else pseudonyms(house.stores.state_dir, make=True)
    batches = house.stores.history.stream(what, query)
    name = await house.exports.begin(_Open(call.peer.name, batches, names))
    call.names["export"] = f"{what} {call.body.get('filter', '')}".strip()
    return Export(id=name, pseudonyms=not clear)


async def read(house: House, call: Call) -> ExportBatch:
    """Answer GET exports/{id}: the next rows; `last` with the final, empty batch."""
    export = house.exports.of(call.names["id"], call.peer.name)
    async with export.busy:
        export.touch()
        batch: Any = await anext(export.batches, None)
    if batch is None:
        await house.exports.end(call.names["id"], call.peer.name)
        return ExportBatch(rows=(), last=True)
    rows = batch.rows
    if export.names:
        rows = await asyncio.to_thread(export.names.rows, rows)
    return ExportBatch(rows=tuple(rows), done=batch.done, total=batch.total)


async def end(house: House, call: Call) -> dict[str, Any]:
    """Answer DELETE exports/{id}."""
    await house.exports.end(call.names["id"], call.peer.name)
    return {}
