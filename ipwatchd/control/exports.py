"""Calls that give out many rows: an export is begun, read a batch at a time, and ended.

Rows are under pseudonyms unless `clear` is asked for, which needs the admin's role and a reason.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ipwatchd.control.messages import Export, ExportBatch
from ipwatchd.control.open_exports import OpenExport
from ipwatchd.control.timeline import BESIDE, beside
from ipwatchd.history.secret import pseudonyms
from ipwatchd.history.streams import BATCH, STREAMS, Batch
from ipwatchd.records.filter import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House

__all__ = ["begin", "end", "read"]


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
    if what == "activity":
        batches = _timeline(batches, await beside(house, call.peer, query, BESIDE))
    name = await house.exports.begin(OpenExport(call.peer.name, batches, names))
    call.names["export"] = f"{what} {call.body.get('filter', '')}".strip()
    return Export(id=name, pseudonyms=not clear)


async def _timeline(
    batches: AsyncIterator[Batch], rows: list[dict[str, Any]]
) -> AsyncIterator[Batch]:
    """Yield what history holds of a timeline, then what other rooms do."""
    done = total = 1
    try:
        async for batch in batches:
            done, total = batch.done, batch.total
            yield batch
        for at in range(0, len(rows), BATCH):
            yield Batch(rows[at : at + BATCH], done, total)
    finally:
        await batches.aclose()  # type: ignore[attr-defined]  # it is a generator


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
