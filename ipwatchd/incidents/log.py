"""The log's SQL: the append-only events, and the incidents as they stand, in one transaction."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.incidents.chain import START, Head, after, link
from ipwatchd.incidents.fold import apply
from ipwatchd.incidents.legal.clocks import due_next
from ipwatchd.records.incident import OPEN_STATES, Incident, IncidentEvent, link_hash
from ipwatchd.sqlite import CorruptStoreError, transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import aiosqlite

    from ipwatchd.incidents.bodies import Body

__all__ = [
    "INSERT_EVENT", "INSERT_INCIDENT", "MIGRATIONS", "Batch", "columns_of", "event_of",
    "incident_of", "owned_by", "row_of", "writing",
]  # fmt: skip

MIGRATIONS: Final = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        time REAL NOT NULL,
        incident TEXT NOT NULL,
        actor TEXT NOT NULL,
        kind TEXT NOT NULL,
        body BLOB NOT NULL,
        previous TEXT NOT NULL,
        hash TEXT NOT NULL
    );
    CREATE INDEX events_incident ON events (incident, seq);
    CREATE TRIGGER events_stay BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'incident events are never changed'); END;
    CREATE TABLE incidents (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        key TEXT NOT NULL,
        state TEXT NOT NULL,
        open INTEGER NOT NULL,
        priority TEXT NOT NULL,
        doc BLOB NOT NULL
    );
    CREATE INDEX incidents_key ON incidents (key, number);
    CREATE INDEX incidents_open ON incidents (open, number);
    CREATE INDEX incidents_state ON incidents (state, number);
    CREATE TABLE reports (
        id TEXT PRIMARY KEY, incident TEXT NOT NULL, seq INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE events ADD COLUMN signature TEXT NOT NULL DEFAULT '';
    CREATE TRIGGER events_are_kept BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'incident events are never removed'); END;
    """,
    """
    CREATE TABLE threads (
        message_id TEXT PRIMARY KEY, incident TEXT NOT NULL, sender TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX threads_incident ON threads (incident);
    """,
    """
    ALTER TABLE incidents ADD COLUMN due REAL;
    CREATE INDEX incidents_due ON incidents (due) WHERE due IS NOT NULL;
    """,
)

_FULL: Final = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}


INSERT_EVENT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
"""Takes a `row_of`."""
INSERT_INCIDENT: Final = (
    "INSERT INTO incidents (number, id, key, state, open, priority, doc, due) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
"""Takes number, id, key and `columns_of`."""


async def owned_by(
    db: aiosqlite.Connection, path: Path, site: str, *, read_only: bool = False
) -> None:
    """Make the log this site's; CorruptStoreError where it already is another's."""
    async with db.execute("SELECT value FROM meta WHERE name = 'site'") as rows:
        row = await rows.fetchone()
    if row is not None and row["value"] == site:
        return
    if row is not None and (await _head(db)).seq:
        raise CorruptStoreError(
            f"{path} holds the incidents of site {row['value']!r}, the configuration says "
            f"{site!r}: set [site] name back, or move the file aside to begin a new log"
        )
    if not read_only:
        async with transaction(db):
            await db.execute("INSERT OR REPLACE INTO meta VALUES ('site', ?)", (site,))


async def _head(db: aiosqlite.Connection) -> Head:
    query = "SELECT seq, hash, signature FROM events ORDER BY seq DESC LIMIT 1"
    async with db.execute(query) as rows:
        row = await rows.fetchone()
    return Head(row["seq"], link_hash(row["hash"], row["signature"])) if row else START


@asynccontextmanager
async def writing(
    db: aiosqlite.Connection, path: Path, site: str, sign: Callable[[str], str] | None = None
) -> AsyncIterator[Batch]:
    """Append events in one durable transaction: all of them or none.

    Raises OSError (ENOSPC on a full disk) where the file can't be written.
    """
    try:
        async with transaction(db):
            yield Batch(db, site, await _head(db), sign)
    except sqlite3.OperationalError as error:
        code = _FULL.get(error.sqlite_errorcode & 0xFF, errno.EIO)
        raise OSError(
            code, f"incident not recorded: {error}: free space or mend the disk", str(path)
        ) from error


class Batch:
    """A transaction on the log.

    The head and the incidents are read inside it and never remembered: whatever became of the
    write before, the next one follows from what the disk holds.
    """

    def __init__(
        self, db: aiosqlite.Connection, site: str, head: Head,
        sign: Callable[[str], str] | None = None,
    ) -> None:  # fmt: skip
        self._db = db
        self._sign = sign
        self._site = site
        self.head = head
        self.changed: dict[str, Incident] = {}
        """The incidents that its events touched, as they stand."""

    async def open(self, body: Body, *, actor: str, now: float) -> Incident:
        """Append the event that opens an incident, under the next free id."""
        async with self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM incidents") as rows:
            row = await rows.fetchone()
        number = int(row[0]) if row else 1
        identity = f"{self._site.upper()}-{number:06d}"
        incident = await self._event(None, identity, "opened", body, actor, now)
        await self._db.execute(
            INSERT_INCIDENT, (number, identity, incident.key, *columns_of(incident))
        )
        return incident

    async def append(
        self, incident: Incident, kind: str, body: Body, *, actor: str, now: float
    ) -> Incident:
        """Append an event to an incident and return how it stands then."""
        changed = await self._event(incident, incident.id, kind, body, actor, now)
        await self._db.execute(
            "UPDATE incidents SET state = ?, open = ?, priority = ?, doc = ?, due = ? WHERE id = ?",
            (*columns_of(changed), changed.id),
        )
        return changed

    async def load(self, identity: str) -> Incident | None:
        """Return an incident as it stands."""
        async with self._db.execute("SELECT doc FROM incidents WHERE id = ?", (identity,)) as rows:
            row = await rows.fetchone()
        return incident_of(row) if row else None

    async def reported(self, report: str) -> Incident | None:
        """Return the incident that a report is already part of."""
        query = "SELECT incident FROM reports WHERE id = ?"
        async with self._db.execute(query, (report,)) as rows:
            row = await rows.fetchone()
        return await self.load(row["incident"]) if row else None

    async def absorb(self, source: str, target: str) -> None:
        """Let the reports of a merged incident belong to the one it went into."""
        await self._db.execute(
            "UPDATE reports SET incident = ? WHERE incident = ?", (target, source)
        )

    async def remember(self, report: str, incident: str) -> None:
        """Note that a report came in, so that the same one again opens nothing."""
        await self._db.execute(
            "INSERT INTO reports VALUES (?, ?, ?)", (report, incident, self.head.seq)
        )

    async def remember_thread(self, message_id: str, incident: str, sender: str) -> None:
        """Note which incident a mail belongs to; the first one counts."""
        await self._db.execute(
            "INSERT OR IGNORE INTO threads VALUES (?, ?, ?)", (message_id, incident, sender)
        )

    async def _event(
        self, before: Incident | None, identity: str, kind: str, body: Body, actor: str, now: float
    ) -> Incident:
        event = link(
            self._site, self.head, time=now, incident=identity, actor=actor, kind=kind,
            body=body, sign=self._sign,
        )  # fmt: skip
        incident = apply(before, event)
        await self._db.execute(INSERT_EVENT, row_of(event))
        self.head = after(event)
        self.changed[incident.id] = incident
        return incident


def row_of(event: IncidentEvent) -> tuple[int, float, str, str, str, bytes, str, str, str]:
    """Return what the table of events holds of one; its body as it was hashed."""
    return (
        event.seq, event.time, event.incident, event.actor, event.kind,
        msgspec.json.encode(event.body, order="deterministic"), event.previous, event.hash,
        event.signature,
    )  # fmt: skip


def columns_of(incident: Incident) -> tuple[str, int, str, bytes, float | None]:
    """Return what the table of incidents holds of one: state, open, priority, doc, due."""
    return (
        incident.state, int(incident.state in OPEN_STATES), incident.priority,
        msgspec.json.encode(incident), due_next(incident),
    )  # fmt: skip


_INCIDENT: Final = msgspec.json.Decoder(Incident)
_BODY: Final = msgspec.json.Decoder(dict)


def incident_of(row: sqlite3.Row) -> Incident:
    """Return the incident of a row of `incidents`."""
    return _INCIDENT.decode(row["doc"])


def event_of(site: str, row: sqlite3.Row) -> IncidentEvent:
    """Return the event of a row of `events`."""
    return IncidentEvent(
        site=site, seq=row["seq"], time=row["time"], incident=row["incident"], actor=row["actor"],
        kind=row["kind"], body=_BODY.decode(row["body"]), previous=row["previous"],
        hash=row["hash"], signature=row["signature"],
    )  # fmt: skip
