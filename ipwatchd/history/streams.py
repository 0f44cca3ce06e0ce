"""Long answers a batch at a time: whole kinds of record, events, flows, in bounded memory.

Records and events come newest first (activity: its parts one after the other), flows a segment
after the other, oldest first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from ipwatchd import sqlite
from ipwatchd.history.lake import FlowReader
from ipwatchd.history.queries import Queries
from ipwatchd.history.schema import MIGRATIONS
from ipwatchd.history.sql import compile_filter
from ipwatchd.history.views import ACTIVITY, EVENTS, RECORDS, View
from ipwatchd.records.filter import FilterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from ipwatchd.history.lake import Conditions, Segment
    from ipwatchd.records.filter import Filter

__all__ = ["BATCH", "STREAMS", "Batch", "Streams"]

BATCH: Final = 5_000
MOST_SUMS: Final = 1_000_000
# Who asks makes a pseudonym of each name, 10 µs: the daemon does other work in between.
_NAMES_AT_ONCE: Final = 1_000
STREAMS: Final = (*RECORDS, "activity", "events", "flows")

_NAMES: Final = (
    "agent.agent", "event.user", "event.name", "api.key", "api.name", "name.name", "device.mac",
    "device.hostname", "list_change.author",
)  # fmt: skip


class Batch(NamedTuple):
    """Some rows; of `total` parts (segments, or views) `done` are read."""

    rows: list[dict[str, Any]]
    done: int
    total: int


class Streams(Queries):
    """The part of History that streams."""

    state_dir: Path
    reading: int = 0
    """Streams of flows that are open: their segments stay."""

    async def stream(self, what: str, query: Filter) -> AsyncIterator[Batch]:
        """Yield all rows of one of STREAMS that match; close the iterator to stop the query.

        Raises FilterError for a key that means nothing there, ValueError for no such stream.
        """
        if what not in STREAMS:
            raise ValueError(f"{what!r} is none of {', '.join(STREAMS)}")
        if query.shape() is not None and what in {"flows", "events"}:
            ask = self.flows if what == "flows" else self.events
            yield Batch(await ask(query, MOST_SUMS), 1, 1)
            return
        batches = self._flow_batches(query) if what == "flows" else self._row_batches(what, query)
        try:
            async for batch in batches:
                yield batch
        finally:
            await batches.aclose()  # type: ignore[attr-defined]  # both are generators

    async def names_known(self) -> AsyncIterator[str]:
        """Yield every name that is held: of agents, users, callers, hosts and devices."""
        for column in _NAMES:
            table, _, name = column.partition(".")
            rows = await self._rows(f"SELECT DISTINCT {name} FROM {table}")  # noqa: S608 - our own names
            for place, row in enumerate(rows):
                if place % _NAMES_AT_ONCE == 0:
                    await asyncio.sleep(0)
                yield str(row[0])

    async def _row_batches(self, what: str, query: Filter) -> AsyncIterator[Batch]:
        views = ACTIVITY if what == "activity" else (EVENTS if what == "events" else RECORDS[what],)
        # A connection of its own: an open cursor holds its view of the file, for nobody else.
        # The file was checked when it was opened; the log beside it is of a daemon that runs.
        db = await sqlite.connect(
            self.state_dir / "history.db", MIGRATIONS, read_only=True, checks_later=True
        )
        refused: list[FilterError] = []
        try:
            for place, view in enumerate(views):
                try:
                    sql, parameters = await self._statement(view, query, what)
                except FilterError as error:
                    refused.append(error)
                    continue
                async with db.execute(sql, parameters) as rows:
                    while some := cast("list[Any]", await rows.fetchmany(BATCH)):
                        yield Batch([self._shown(view, row) for row in some], place, len(views))
            if len(refused) == len(views):
                raise refused[0]
        finally:
            await db.interrupt()  # whoever closes the stream waits for no more rows
            await db.close()

    async def _statement(
        self, view: View, query: Filter, what: str
    ) -> tuple[str, tuple[object, ...]]:
        where = compile_filter(query, view.matchers, what, await self._resolve(query, view.resolve))
        return f"{view.select} WHERE {where.sql} ORDER BY {view.order}", where.parameters

    async def _flow_batches(self, query: Filter) -> AsyncIterator[Batch]:
        self.reading += 1
        try:
            segments = await self._segments(query)
            where = await self._flow_conditions(query, segments)
            async for batch in self._read_segments(segments, where):
                yield batch
        finally:
            self.reading -= 1

    async def _read_segments(
        self, segments: Sequence[Segment], where: Conditions
    ) -> AsyncIterator[Batch]:
        files = [segment.path for segment in reversed(segments)]
        live = self._unsealed()
        reader = await asyncio.to_thread(FlowReader, where)
        total = len(files) + (live is not None)
        skipped: list[Path] = []
        try:
            for place, source in enumerate([*files, live] if live is not None else files):
                rows: list[dict[str, Any]] | None = []
                while rows is not None:
                    rows = await asyncio.to_thread(reader.read, source, BATCH)
                    yield Batch(rows or [], place + (rows is None), total)
                    if rows is not None and len(rows) < BATCH:
                        break
                if rows is None:
                    skipped.append(source)
        finally:
            reader.close()
            self.segments_skipped = tuple(skipped)
