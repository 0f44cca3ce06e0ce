"""The history of every address: takes flows and events, writes them in transactions and segments.

Adding is memory alone and never fails; what a full disk or a broken file does to a flush shows in
`status`, keeps the rows in memory up to a bound, and is tried again at the next flush.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from ipwatchd import sqlite
from ipwatchd.history import drops, erasure, sessions, writing
from ipwatchd.history.archive import Archive, Names
from ipwatchd.history.buffer import Buffer, ZoneNames
from ipwatchd.history.columns import Columns
from ipwatchd.history.dimensions import Dimensions
from ipwatchd.history.disk import NO_ARCHIVE, NO_EVENTS, NO_ROLLUPS, Disk
from ipwatchd.history.facts import Facts, clip, extract
from ipwatchd.history.keyring import FOLDER, Keyring
from ipwatchd.history.ledger import Ledger
from ipwatchd.history.merges import Merges
from ipwatchd.history.opening import open_sessions, register
from ipwatchd.history.pending import Pending
from ipwatchd.history.places import Places
from ipwatchd.history.readers import Readers
from ipwatchd.history.retention import folded, retain
from ipwatchd.history.rollup import Summary, pack, unpack
from ipwatchd.history.schema import MIGRATIONS
from ipwatchd.history.streams import Streams
from ipwatchd.history.views import EVENTS
from ipwatchd.records.network import canonical, network_ends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    import aiosqlite
    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.config import HistorySettings
    from ipwatchd.history.archive import Segment
    from ipwatchd.history.drops import DroppedKey
    from ipwatchd.history.erasure import Erased
    from ipwatchd.history.keyring import KeyedDay
    from ipwatchd.history.subject import Subject
    from ipwatchd.history.writing import Sighting
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.place import Place

__all__ = ["History"]

# Pages of roll-ups between flushes; with 64 MB it filled over an hour and saved no CPU.
_CACHE_KB: Final = 16_384
MOST: Final = 10_000
# Rows that wait: from the first number on tables are written every few seconds, and at the second
# flows become sums in memory, to be written then.
BUSY_ROWS: Final = 5_000
SUM_ROWS: Final = 250_000
BUSY_SECONDS: Final = 10.0
# 64 MB of log before it is copied into the file: hot pages are copied once instead of every second.
_LOG_PAGES: Final = 16_384


class _Work(NamedTuple):
    """What one flush writes."""

    summary: Summary
    facts: Facts
    sightings: list[Sighting]


class History(Streams):
    """One site's history. Made by `open`; every query of `Queries` is a method of it."""

    def __init__(
        self, state_dir: Path, site: str, settings: HistorySettings,
        locate: Callable[[str], Place | None], zones: Sequence[str],
    ) -> None:  # fmt: skip
        self.state_dir = state_dir
        self.site = site
        self.settings = settings
        self.read_only = True
        self.interfaces: Sequence[str] = ()
        self._keyring = Keyring(state_dir / FOLDER, settings.key_days)
        self._archive = Archive(state_dir / "archive" / f"site={site}")
        self._zones = ZoneNames(zones)
        self._places = Places(locate)
        self._locate = locate
        self._buffer = Buffer()
        self._pending = Pending(sessions.no_sessions(), 1)
        self._dimensions = Dimensions()
        self._retaining = False
        self._doubtful = False
        """The clock leapt, or nobody could look whether it did."""
        self._ledger: Ledger | None = None
        self._now = 0.0
        self._sealed = 0.0
        self._written = 0.0
        self._disk = Disk(state_dir)
        self._trouble = self._unretained = ""
        self._fault = ""
        self._checking: asyncio.Task[None] | None = None
        self.removed: dict[str, int] = {}
        self._writing = asyncio.Lock()
        self._db: aiosqlite.Connection
        self._readers = Readers(state_dir / "history.db")
        self._merges = Merges(
            self._archive, self._readers, self._writing, lambda: bool(self.reading)
        )

    @classmethod
    async def open(
        cls, state_dir: Path, site: str, settings: HistorySettings, *,
        locate: Callable[[str], Place | None], zones: Sequence[str], read_only: bool = False,
        authorised: Callable[[str, str, Sequence[str]], str] | None = None,
    ) -> Self:  # fmt: skip
        """Open or make the store under `state_dir`; what a crash left half-written is removed.

        `authorised` tells of an agent, an address and the names of its device: yes, no or "".
        Raises CorruptStoreError for a damaged history.db, OSError where it can't be opened.
        """
        self = cls(state_dir, site, settings, locate, zones)
        self.read_only = read_only
        if authorised:
            self._authorised = authorised
        path = state_dir / "history.db"
        if not read_only:
            # Once, at start.
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o750)  # noqa: ASYNC240
            self._db = await sqlite.connect(path, MIGRATIONS, durable=False, checks_later=True)
            await self._db.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
            await self._db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            self._ledger = Ledger(state_dir / "history.taken")
        try:
            if path.stat().st_size > sqlite.CHECKED_WHOLE and not read_only:
                self._checking = asyncio.create_task(self._check(path))
            if read_only:  # checks the file, and that its schema is ours
                await (await sqlite.connect(path, MIGRATIONS, read_only=True)).close()
            else:
                await self._recover()
        except BaseException:
            await self._close_connections()
            raise
        return self

    async def _check(self, path: Path) -> None:
        """Check the whole file beside the work: what is wrong shows in `degraded` until a start."""
        try:
            self._fault = await sqlite.faults(path)
        except OSError as error:
            self._fault = f"history can't check {path}: {error}"

    async def _recover(self) -> None:
        """Take up what the last run left: sealed segments, open sessions; count what is missing."""
        found = await register(self._db, self._archive, self._taken())
        for what, count in found.items():
            self._buffer.let_go(what, count)
        self._pending = Pending(*await open_sessions(self._db))

    async def _close_connections(self) -> None:
        if self._checking:
            self._checking.cancel()
            await asyncio.wait([self._checking])
        await self._readers.close()
        if connection := getattr(self, "_db", None):
            await connection.close()
        if self._ledger:
            self._ledger.close()

    def rename(self, *, zones: Sequence[str] = (), interfaces: Sequence[str] = ()) -> None:
        """Tell what the indices in flows to come mean, after a reload."""
        if zones:
            self._zones.rename(zones)
            self._places.forget()
        if interfaces:
            self.interfaces = tuple(interfaces)

    def add_flows(self, flows: NDArray[np.void], now: float) -> None:
        """Take flows (records.flow, enriched) into memory; `now` is the capture clock.

        The array is kept until it is written: the caller must not change it any more.
        """
        self._now = now
        self._sealed = self._sealed or now
        if len(flows):
            self._buffer.add_flows(self._zones.own(flows), archive=self._disk.level < NO_ARCHIVE)
            if self._ledger:
                self._ledger.take(len(flows))

    def add_events(self, events: Sequence[AnyEvent], now: float) -> None:
        """Take events into memory."""
        self._now = now
        self._buffer.add_events(events)

    def add_list_change(
        self, *, ts: float, list: str, network: str, action: str,  # noqa: A002 - the record's key
        author: str, reason: str = "",
    ) -> None:  # fmt: skip
        """Take a change of a list into memory: `action` is add, remove or expire.

        Raises ValueError where `network` is none. A selector (country:RU) holds no address here.
        """
        name, _ = canonical(network)
        ends = network_ends(name)
        first, last = (pack(*ends[0]), pack(*ends[1])) if ends else (b"", b"")
        self._buffer.add_change((ts, list, name, first, last, action, clip(author), clip(reason)))

    async def flush(self, now: float) -> None:
        """Write what waits in one transaction and, when due, a segment. Raises nothing of a disk.

        A failure shows in `status`, the rows stay in memory and are written by a later flush.
        """
        async with self._writing:
            if self.read_only:
                return
            try:
                room = await self._disk.look(self._db, self._archive, self.settings.free_bytes)
                self._count(room)
                if self._is_write_due(now):
                    await self._write(now)
                elif self._buffer.flow_rows >= SUM_ROWS:
                    await self._digest(now)
                if self._is_segment_due(now):
                    await self._seal(now)
            except (OSError, sqlite3.Error) as error:
                self._trouble = f"history can't write to {self.state_dir}: {error}"
            else:
                self._trouble = ""

    async def _write(self, now: float) -> None:
        buffer, pending = self._buffer, self._pending
        if self._disk.level >= NO_ROLLUPS:
            buffer.let_go("flows", buffer.flow_rows)
            buffer.drop_flows(len(buffer.flows))
        events, changes = list(buffer.events), list(buffer.changes)
        if not (buffer.flow_rows or pending.waits or events or changes or len(pending.sessions)):
            return
        await self._digest(now)
        work = await asyncio.to_thread(self._work_out, events)
        try:
            async with sqlite.transaction(self._db) as db:
                await self._write_all(db, work, changes)
        except BaseException:
            self._dimensions.drop()
            raise
        self._dimensions.keep()
        buffer.drop_events(len(events), kept=self._disk.level < NO_EVENTS)
        buffer.drop_changes(len(changes))
        buffer.let_go("sessions_cut", pending.cut)
        buffer.let_go("groups", work.summary.shed)
        self._places.keep(work.sightings)
        pending.written()
        self._written = now

    async def _digest(self, now: float) -> None:
        """Make sums and sessions of the flows that wait: fewer rows, in memory still."""
        batches = list(self._buffer.flows)
        await asyncio.to_thread(self._pending.add, batches, now, self.settings.session_gap)
        self._buffer.drop_flows(len(batches))

    def _work_out(self, events: Sequence[AnyEvent]) -> _Work:
        """Return what a flush will write; changes nothing, so that a failed flush can be redone."""
        summary = self._pending.summary()
        facts = extract(events, keep=self._disk.level < NO_EVENTS)
        facts.denied = {key: row for key, row in facts.denied.items() if self._is_outside(key[0])}
        return _Work(summary, facts, self._places.sight(summary))

    def _is_outside(self, key: object) -> bool:
        """Tell whether an address is in no zone of ours: only then did it come in."""
        if not isinstance(key, bytes):
            return False
        place = self._locate(str(unpack(key)))
        return place is None or place.zone in {"", "internet"}

    async def _write_all(
        self, db: aiosqlite.Connection, work: _Work, changes: Sequence[tuple[object, ...]]
    ) -> None:
        pending, dimensions = self._pending, self._dimensions
        if self._retaining:
            dimensions.forget()  # retention deletes addresses between two flushes
        until = await folded(db)
        await writing.write_flows(db, work.summary, dimensions, self._zones.names, until)
        await writing.write_sessions(
            db, dimensions, opened=pending.changed(), closed=pending.closed(),
            following=pending.stored_following,
        )  # fmt: skip
        await writing.write_places(db, work.sightings)
        await writing.write_events(db, work.facts, dimensions)
        await writing.write_changes(db, changes)
        await writing.write_mark(db, "tallied", self._taken() - self._buffer.flow_rows)

    def _taken(self) -> int:
        return self._ledger.taken if self._ledger else 0

    def _is_write_due(self, now: float) -> bool:
        """Tell whether the tables are written now: under load only every few seconds.

        Rows of the same hour, address and service are then added up in memory, which is cheaper.
        """
        waiting = self._buffer.flow_rows + self._pending.flows
        return waiting < BUSY_ROWS or not self._written <= now < self._written + BUSY_SECONDS

    def _is_segment_due(self, now: float) -> bool:
        if not self._buffer.unsealed_rows:
            self._sealed = now
            return False
        full = self._buffer.unsealed_rows >= self.settings.segment_rows
        # A clock that jumped back is a reason to seal as well: what waits is of another time.
        return full or not 0 <= now - self._sealed < self.settings.segment_seconds

    async def _seal(self, now: float) -> None:
        """Write what is not yet in the archive as segments, all of it or nothing."""
        buffer = self._buffer
        batches, self._sealed = len(buffer.unsealed), now
        rows = buffer.unsealed_rows
        if self._disk.level >= NO_ARCHIVE:
            buffer.let_go("flows_not_archived", buffer.unsealed_rows)
            buffer.drop_unsealed(batches)
            return
        names = Names(tuple(self._zones.names), tuple(self.interfaces), self._places.known())
        made: list[Segment] = []
        try:
            await asyncio.to_thread(self._write_segments, list(buffer.unsealed), names, made)
            coming = buffer.unsealed_rows - rows  # while the segment was written
            async with sqlite.transaction(self._db) as db:
                await writing.write_segments(db, made)
                await writing.write_mark(db, "sealed", self._taken() - coming)
        except BaseException:
            for segment in made:
                self._archive.remove(segment.name)
            raise
        buffer.drop_unsealed(batches)

    def _write_segments(
        self, batches: Sequence[NDArray[np.void]], names: Names, made: list[Segment]
    ) -> None:
        flows, mark = Columns.of(batches), secrets.token_hex(4)
        for segment in self._archive.write(flows, names, mark, self._keyring, self._now):
            made.append(segment)  # noqa: PERF402 - what was made before a failure is removed

    async def retain(self, now: float, *, beside: bool = False) -> None:
        """Delete what is older than the settings allow, and the oldest segments over the budget.

        Then segments are merged: `beside` doesn't wait for that.
        """
        if self.read_only:
            return
        self._retaining = self._doubtful = True
        try:
            removed = await retain(self._db, self._archive, self.settings, now, self._writing)
        except (OSError, sqlite3.Error) as error:
            self._unretained = f"history can't delete old records in {self.state_dir}: {error}"
            return
        finally:
            self._retaining = False
            self._dimensions.forget()
        self._doubtful, self._unretained = "doubted" in removed, ""
        self._count(removed)
        merging = self._merges.begin(self._db, now)
        if not beside:
            await merging

    def _count(self, removed: Mapping[str, int]) -> None:
        for what, count in removed.items():
            self.removed[what] = self.removed.get(what, 0) + count

    async def drop_key(self, day: str, now: float, by: str) -> DroppedKey:
        """Destroy the key of a day of the archive and search every file for it.

        Raises LookupError where there is none, OSError where the disk refuses.
        """
        if self.read_only:
            raise OSError(f"{self.state_dir} is opened for reading: drop it through the daemon")
        return await drops.drop_key(
            self._keyring, self._readers, self.state_dir, self._writing, day=day, now=now, by=by
        )

    def archive_keys(self) -> list[KeyedDay]:
        """Return the keyed days of the archive."""
        return self._keyring.listed()

    async def drop_due_keys(self, now: float) -> list[DroppedKey]:
        """Drop the keys whose time is over; none while retention doubts the clock."""
        due = [] if self.read_only or self._doubtful else self._keyring.due(now)
        return [await self.drop_key(day, now, "key_days") for day in due]

    async def close(self, now: float) -> None:
        """Write everything that waits, seal it, and close. Raises nothing of a disk."""
        self._written = 0.0
        try:
            await self._merges.end()
            await self.flush(now)
            await self._seal_last(now)
        finally:
            await self._close_connections()

    async def _seal_last(self, now: float) -> None:
        async with self._writing:
            if not self.read_only and self._buffer.unsealed_rows and not self._trouble:
                try:
                    await self._seal(now)
                except (OSError, sqlite3.Error) as error:
                    self._trouble = f"history can't write to {self.state_dir}: {error}"

    async def erase(self, who: Subject, now: float) -> Erased:
        """Take one subject out of every file of history and search them all for what is left.

        Raises OSError or sqlite3.Error where the disk refuses: erase again, nothing is half done.
        """
        if self.read_only:
            raise OSError(f"{self.state_dir} is opened for reading: erase through the daemon")
        async with self._writing:
            # A merge that runs holds what is to go: it is begun again later.
            await asyncio.to_thread(self._archive.give_up_merge)
            await self._write(now)
            if self._buffer.unsealed_rows:
                await self._seal(now)
            return await erasure.erase(
                self._db, self._readers, self._archive, self.state_dir, who,
                keyed=self._keyring.days(), forget=self._forget,
            )  # fmt: skip

    @asynccontextmanager
    async def still(self, now: float) -> AsyncIterator[None]:
        """Write and seal all that waits, and keep the segments as they are while the block runs."""
        async with self._writing:
            if not self.read_only:
                await self._write(now)
                if self._buffer.unsealed_rows:
                    await self._seal(now)
            yield

    def _forget(self, who: Subject) -> None:
        """Drop what memory holds of an address or a network."""
        self._pending.forget(who.key, who.last)
        self._dimensions.forget()
        self._places.drop(who.key, who.last)

    async def mentioned(self, who: Subject) -> list[dict[str, Any]]:
        """Return the events that name a subject anywhere, 10,000 at most."""
        ids = await erasure.mentions(self._readers, who)
        rows = [
            await self._one("SELECT body FROM event WHERE id = ?", (one,)) for one in ids[:MOST]
        ]
        return [EVENTS.show(row) for row in rows if row]

    def shed(self) -> dict[str, int]:
        """Return what had to be let go, by name, since the store was opened."""
        deferred = {"places_deferred": self._places.deferred} if self._places.deferred else {}
        return {**self._buffer.shed, **deferred}

    def degraded(self) -> str:
        """Return what is wrong with the disk now, a sentence; "" where nothing is."""
        troubles = self._fault, self._trouble, self._disk.degraded(), self._unretained
        return next(filter(None, troubles), self._merges.trouble)

    async def status(self) -> dict[str, Any]:
        """Return how history is doing.

        `flows` `events` `addresses` `segments` rows held, `waiting` and `unsealed` flows in memory,
        `database_bytes` `archive_bytes` on disk, `oldest` `newest` epoch seconds (0: nothing),
        `shed` and `removed` by name, `degraded` a sentence or "".
        """
        return {
            **await self.held(),
            "waiting": self._buffer.flow_rows + self._pending.flows,
            "unsealed": self._buffer.unsealed_rows,
            "shed": self.shed(),
            "removed": dict(self.removed),
            "degraded": self.degraded(),
        }
