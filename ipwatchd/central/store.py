"""All SQL of the centre: tokens, sites, event logs, incidents, list entries.

SQLite here; another database needs another `Store` with these methods and nothing else. The writer
takes one transaction a batch, readers see only what is committed. Times are epoch seconds.
"""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from ipwatchd.central.intake import Accept, Conflict, Decision, decide
from ipwatchd.central.rows import (
    Entry,
    SiteState,
    TokenRow,
    entry_of,
    event_of,
    site_state_of,
)
from ipwatchd.central.schema import MIGRATIONS
from ipwatchd.central.takeover import Lease
from ipwatchd.incidents.chain import START, Broken, Head, Verdict, check
from ipwatchd.incidents.fold import FoldError, apply
from ipwatchd.incidents.signing import fingerprint, is_signed
from ipwatchd.records.incident import OPEN_STATES, Incident
from ipwatchd.sqlite import connect, transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    import aiosqlite

    from ipwatchd.records.entry import ListEntry
    from ipwatchd.records.exchange import Heartbeat
    from ipwatchd.records.incident import IncidentEvent

__all__ = ["FILE", "Store"]

FILE: Final = "central.db"
CHUNK: Final = 10_000
REVIEWED: Final = 100_000
"""Incidents that one review looks at, at most."""


class Store:
    """The centre's state folder."""

    def __init__(
        self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection
    ) -> None:
        self._path = path
        self._writer = writer
        self._reader = reader
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, state_dir: Path) -> Self:
        """Open the store, made where it is not there; CorruptStoreError or OSError."""
        state_dir = Path(state_dir)
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = state_dir / FILE
        writer = await connect(path, MIGRATIONS, durable=True)
        try:
            reader = await connect(path, MIGRATIONS, read_only=True)
        except BaseException:
            await writer.close()
            raise
        return cls(path, writer, reader)

    async def close(self) -> None:
        """Let the file go."""
        async with self._lock:
            await self._reader.close()
            await self._writer.close()

    async def receive(self, site: str, events: Sequence[IncidentEvent], now: float) -> Decision:
        """Take a batch without a flaw (`intake`): decided, stored and folded in one transaction."""
        async with self._write() as db:
            head = await self._head(db, site)
            first, last = (events[0].seq, events[-1].seq) if events else (0, -1)
            query = "SELECT seq, hash FROM events WHERE site = ? AND seq BETWEEN ? AND ?"
            rows = await _rows(db, query, (site, first, last))
            held = {row["seq"]: row["hash"] for row in rows}
            decision = decide(head, held, events)
            await self._contact(db, site, now)
            if isinstance(decision, Accept) and decision.fresh:
                await self._append(db, site, decision)
            elif isinstance(decision, Conflict):
                await self._conflict(db, site, decision, now)
            return decision

    async def heartbeat(self, site: str, beat: Heartbeat, now: float) -> int:
        """Note that a site is alive; return the newest event of it that is held."""
        async with self._write() as db:
            await self._contact(db, site, now)
            # The first key that is shown counts; another one is kept beside it for people to see.
            await db.execute(
                "UPDATE sites SET announced = ?1, drift = ?2, lease = ?5, hand_over = ?6, "
                "other_key = CASE WHEN public_key IN ('', ?3) THEN other_key ELSE ?3 END, "
                "public_key = CASE public_key WHEN '' THEN ?3 ELSE public_key END WHERE site = ?4",
                (beat.seq, beat.time - now, beat.key, site, beat.lease, int(beat.hand_over)),
            )
            return (await self._head(db, site)).seq

    async def leases(self) -> list[Lease]:
        """Return what is known of each site's paging."""
        query = "SELECT site, last_contact, lease, hand_over, seq FROM sites ORDER BY site"
        return [
            Lease(
                row["site"], row["last_contact"], row["lease"], bool(row["hand_over"]), row["seq"]
            )
            for row in await _rows(self._reader, query)
        ]

    async def incident(self, site: str, name: str) -> Incident | None:
        """Return an incident of a site as it stands here."""
        return await self._incident(self._reader, site, name)

    async def key_of(self, site: str) -> str:
        """Return the public key that a site showed first, "" where it showed none."""
        rows = await _rows(self._reader, "SELECT public_key FROM sites WHERE site = ?", (site,))
        return str(rows[0]["public_key"]) if rows else ""

    async def site_of(self, token_digest: str) -> str | None:
        """Return the site that a valid token speaks for."""
        query = "SELECT site FROM tokens WHERE digest = ? AND revoked = 0"
        rows = await _rows(self._reader, query, (token_digest,))
        return str(rows[0]["site"]) if rows else None

    async def add_token(self, site: str, token_digest: str, now: float) -> None:
        """Let a token speak for a site, beside those that do already."""
        async with self._write() as db:
            await db.execute("INSERT INTO tokens VALUES (?, ?, ?, 0)", (token_digest, site, now))

    async def revoke(self, site: str, now: float) -> int:
        """Revoke every token of a site; return how many were valid."""
        async with self._write() as db:
            query = "UPDATE tokens SET revoked = ? WHERE site = ? AND revoked = 0"
            return (await db.execute(query, (now, site))).rowcount

    async def tokens(self) -> list[TokenRow]:
        """Return all tokens by site."""
        query = "SELECT * FROM tokens ORDER BY site, created"
        return [
            TokenRow(
                id=row["digest"][:8], site=row["site"], created=row["created"],
                revoked=row["revoked"],
            )
            for row in await _rows(self._reader, query)
        ]  # fmt: skip

    async def sites(self, now: float) -> list[SiteState]:
        """Return every site that has a token or was ever heard."""
        query = """
            SELECT n.site, s.seq, s.last_contact, s.announced, s.drift, s.unreadable,
                coalesce(s.public_key, '') AS public_key, coalesce(s.other_key, '') AS other_key,
                c.seq AS conflict_seq,
                (SELECT count(*) FROM incidents i WHERE i.site = n.site AND i.open = 1) AS open
            FROM (SELECT site FROM tokens UNION SELECT site FROM sites) n
            LEFT JOIN sites s ON s.site = n.site LEFT JOIN conflicts c ON c.site = n.site
            ORDER BY n.site"""
        return [site_state_of(row, now) for row in await _rows(self._reader, query)]

    async def incidents(
        self, *, site: str = "", states: Sequence[str] = OPEN_STATES, limit: int = 1000
    ) -> list[Incident]:
        """Return incidents of one or all sites in some states, the newest first."""
        marks = ", ".join("?" * len(states))
        query = (
            f"SELECT doc FROM incidents WHERE state IN ({marks}) AND (? = '' OR site = ?) "  # noqa: S608 - marks are question marks
            "ORDER BY opened DESC, id DESC LIMIT ?"
        )
        rows = await _rows(self._reader, query, (*states, site, site, limit))
        return [msgspec.json.decode(row["doc"], type=Incident) for row in rows]

    async def events(self, site: str, after: int = 0, limit: int = CHUNK) -> list[IncidentEvent]:
        """Return a site's events after a number, in order."""
        query = "SELECT * FROM events WHERE site = ? AND seq > ? ORDER BY seq LIMIT ?"
        return [event_of(row) for row in await _rows(self._reader, query, (site, after, limit))]

    async def touched(self, since: float) -> list[Incident]:
        """Return the incidents of all sites that are open or changed since then."""
        query = (
            "SELECT doc FROM incidents WHERE open = 1 OR "
            "json_extract(CAST(doc AS TEXT), '$.updated') >= ? ORDER BY opened DESC LIMIT ?"
        )
        rows = await _rows(self._reader, query, (since, REVIEWED))
        return [msgspec.json.decode(row["doc"], type=Incident) for row in rows]

    async def moves(self, site: str, ids: Sequence[str]) -> dict[str, list[IncidentEvent]]:
        """Return incident → the events that moved it on, of one site."""
        found: dict[str, list[IncidentEvent]] = {}
        # Chosen there: a site's log may have millions that nobody looks at.
        query = (
            "SELECT * FROM events WHERE site = ? AND kind IN ('opened', 'state', 'acked') "
            "AND incident IN (SELECT value FROM json_each(?)) ORDER BY seq"
        )
        for row in await _rows(self._reader, query, (site, msgspec.json.encode(ids).decode())):
            found.setdefault(row["incident"], []).append(event_of(row))
        return found

    async def verify(self) -> dict[str, Verdict]:
        """Follow every site's chain to the end that it says it has."""
        query = "SELECT site, seq, hash FROM sites ORDER BY site"
        return {
            row["site"]: await self._verify(row["site"], Head(row["seq"], row["hash"]))
            for row in await _rows(self._reader, query)
        }

    async def add_entry(self, site: str, entry: ListEntry) -> ListEntry:
        """Add a list entry for a site ("" for all), in place of one for the same network."""
        async with self._write() as db:
            await db.execute(
                "DELETE FROM entries WHERE site = ? AND list = ? AND network = ?",
                (site, entry.list, entry.network),
            )
            cursor = await db.execute(
                "INSERT INTO entries (site, list, network, reason, author, created, expires, "
                "ticket) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    site, entry.list, entry.network, entry.reason, entry.author, entry.created,
                    entry.expires, entry.ticket,
                ),
            )  # fmt: skip
            return msgspec.structs.replace(entry, id=cursor.lastrowid or 0)

    async def remove_entry(self, site: str, list_: str, network: str) -> bool:
        """Remove a list entry; tell whether it was there."""
        async with self._write() as db:
            query = "DELETE FROM entries WHERE site = ? AND list = ? AND network = ?"
            return (await db.execute(query, (site, list_, network))).rowcount > 0

    async def entries(self, now: float, *, site: str | None = None) -> list[Entry]:
        """Return the entries in force: all, or those for a site (its own and everyone's)."""
        query = (
            "SELECT * FROM entries WHERE (expires = 0 OR expires > ?) "
            "AND (? IS NULL OR site IN ('', ?)) ORDER BY id"
        )
        return [entry_of(row) for row in await _rows(self._reader, query, (now, site, site))]

    async def all_entries(self) -> list[Entry]:
        """Return every entry that is kept, ended ones too."""
        return [entry_of(row) for row in await _rows(self._reader, "SELECT * FROM entries")]

    async def erase_entries(self, chosen: Callable[[str], bool]) -> list[Entry]:
        """Remove the entries of chosen networks for good, ended ones too; return them.

        What is deleted is overwritten, and the write-ahead log cut to nothing. Raises OSError where
        another reader holds the log.
        """
        await self._writer.execute("PRAGMA secure_delete = ON")
        async with self._write() as db:
            rows = [entry_of(row) for row in await _rows(db, "SELECT * FROM entries")]
            gone = [one for one in rows if chosen(one.entry.network)]
            await db.executemany(
                "DELETE FROM entries WHERE id = ?", [(one.entry.id,) for one in gone]
            )
        await self._cut_log()
        return gone

    async def write_anew(self) -> None:
        """Write the whole file anew: what an older deletion left in its free space goes."""
        async with self._lock:
            await self._writer.execute("VACUUM")
        await self._cut_log()

    async def _cut_log(self) -> None:
        async with self._lock:
            (cut,) = await _rows(self._writer, "PRAGMA wal_checkpoint(TRUNCATE)")
        if cut[0]:
            raise OSError(f"another reader holds the log of {self._path} open: erase again")

    async def expire(self, now: float) -> None:
        """Forget the entries whose time is over."""
        async with self._write() as db:
            await db.execute("DELETE FROM entries WHERE expires > 0 AND expires <= ?", (now,))

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[aiosqlite.Connection]:
        try:
            async with self._lock, transaction(self._writer) as db:
                yield db
        except sqlite3.OperationalError as error:
            full = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
            raise OSError(
                errno.ENOSPC if full else errno.EIO, f"not recorded: {error}", str(self._path)
            ) from error

    async def _head(self, db: aiosqlite.Connection, site: str) -> Head:
        rows = await _rows(db, "SELECT seq, hash FROM sites WHERE site = ?", (site,))
        return Head(rows[0]["seq"], rows[0]["hash"]) if rows else START

    async def _contact(self, db: aiosqlite.Connection, site: str, now: float) -> None:
        await db.execute(
            "INSERT INTO sites (site, seq, hash, first_contact, last_contact) "
            "VALUES (?, 0, ?, ?, ?) ON CONFLICT (site) DO UPDATE SET "
            "last_contact = excluded.last_contact",
            (site, START.hash, now, now),
        )

    async def _append(self, db: aiosqlite.Connection, site: str, accept: Accept) -> None:
        await db.executemany(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    one.site, one.seq, one.time, one.incident, one.actor, one.kind,
                    msgspec.json.encode(one.body, order="deterministic"), one.previous, one.hash,
                    one.signature,
                )
                for one in accept.fresh
            ],
        )  # fmt: skip
        unreadable = await self._fold(db, site, accept.fresh)
        await db.execute(
            "UPDATE sites SET seq = ?, hash = ?, unreadable = unreadable + ? WHERE site = ?",
            (*accept.head, unreadable, site),
        )

    async def _fold(
        self, db: aiosqlite.Connection, site: str, events: Sequence[IncidentEvent]
    ) -> int:
        """Bring the incidents up to date; return how many events made no sense (and are kept)."""
        touched: dict[str, Incident | None] = {}
        unreadable = 0
        for event in events:
            name = event.incident
            if name not in touched:
                touched[name] = await self._incident(db, site, name)
            try:
                touched[name] = apply(touched[name], event)
            except FoldError:
                unreadable += 1
        await db.executemany(
            "INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    site, one.id, one.state, int(one.state in OPEN_STATES), one.priority,
                    one.opened, msgspec.json.encode(one),
                )
                for one in touched.values() if one
            ],
        )  # fmt: skip
        return unreadable

    async def _incident(self, db: aiosqlite.Connection, site: str, name: str) -> Incident | None:
        query = "SELECT doc FROM incidents WHERE site = ? AND id = ?"
        rows = await _rows(db, query, (site, name))
        return msgspec.json.decode(rows[0]["doc"], type=Incident) if rows else None

    async def _conflict(
        self, db: aiosqlite.Connection, site: str, conflict: Conflict, now: float
    ) -> None:
        """Record the newest conflict of a site: one row each, however often it is repeated."""
        await db.execute(
            "INSERT INTO conflicts VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (site) DO UPDATE SET "
            "seq = excluded.seq, held = excluded.held, offered = excluded.offered, "
            "newest = excluded.newest",
            (site, *conflict, now, now),
        )

    async def _verify(self, site: str, end: Head) -> Verdict:
        head, broken, count = START, None, 0
        while broken is None:
            rows = await self.events(site, head.seq)
            if not rows:
                break
            count += len(rows)
            head, broken = await asyncio.to_thread(_follow, site, rows, head)
        if broken is None and head != end:
            broken = Broken(head.seq + 1, f"event {head.seq + 1} to {end.seq} are missing")
        key = await self.key_of(site)
        if broken is None and key and count:
            (last,) = await self.events(site, head.seq - 1, 1)
            if not is_signed(key, last.hash, last.signature):
                why = f"event {last.seq} is not signed with the site's key {fingerprint(key)}"
                broken = Broken(last.seq, why)
        return Verdict(count, *broken) if broken else Verdict(count)


def _follow(site: str, events: Iterable[IncidentEvent], head: Head) -> tuple[Head, Broken | None]:
    return check(site, events, head)


async def _rows(
    db: aiosqlite.Connection, query: str, values: tuple[Any, ...] = ()
) -> list[sqlite3.Row]:
    async with db.execute(query, values) as rows:
        return list(await rows.fetchall())
