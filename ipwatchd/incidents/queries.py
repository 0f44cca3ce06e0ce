"""What can be asked of the incident log; reads see only what is committed."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.incidents.log import event_of, incident_of
from ipwatchd.incidents.signing import load_public
from ipwatchd.incidents.verify import verify_file
from ipwatchd.incidents.whole import Whole, whole_of
from ipwatchd.records.incident import OPEN_STATES, STATES, Incident, IncidentEvent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import aiosqlite

    from ipwatchd.incidents.chain import Verdict

__all__ = ["Events", "IncidentQueries", "Page"]

PAGE: Final = 10_001
"""Rows of one answer at most, one more than a page of the API: it tells whether there is more."""

Events = list[IncidentEvent]
Page = list[Incident]

REVIEWED: Final = 100_000
"""Incidents that one review looks at, at most."""
_CHUNK: Final = 500


class IncidentQueries:
    """The reading half of a site's incidents."""

    def __init__(self, reader: aiosqlite.Connection, site: str, path: Path) -> None:
        self._reader = reader
        self._path = path
        self._site = site
        self._last_seq = 0
        self._checking = asyncio.Lock()
        """One check of everything at a time: who asks often can't take the machine."""

    @property
    def last_seq(self) -> int:
        """Return the number of the newest event on the disk."""
        return self._last_seq

    async def refresh(self) -> None:
        """Look up the newest event on the disk."""
        for row in await self._rows("SELECT coalesce(max(seq), 0) AS seq FROM events"):
            self._last_seq = row["seq"]

    async def incident(self, id: str) -> Incident | None:  # noqa: A002 - the word of the API
        """Return an incident as it stands."""
        rows = await self._rows("SELECT doc FROM incidents WHERE id = ?", (id.strip().upper(),))
        return incident_of(rows[0]) if rows else None

    async def of_report(self, report: str) -> Incident | None:
        """Return the incident that a report is part of."""
        rows = await self._rows("SELECT incident FROM reports WHERE id = ?", (report,))
        return await self.incident(rows[0]["incident"]) if rows else None

    async def thread(self, message_ids: Sequence[str]) -> tuple[str, frozenset[str]]:
        """Return the incident of a mail thread and who wrote in it; ("", nobody) where it is new.

        The newest Message-ID that is known decides.
        """
        for message_id in reversed(message_ids):
            query = "SELECT incident FROM threads WHERE message_id = ?"
            for row in await self._rows(query, (message_id,)):
                names = await self._rows(
                    "SELECT DISTINCT sender FROM threads WHERE incident = ? LIMIT 1000",
                    (row["incident"],),
                )
                return row["incident"], frozenset(one["sender"] for one in names)
        return "", frozenset()

    async def list(
        self, states: Sequence[str] = OPEN_STATES, limit: int = 100, offset: int = 0
    ) -> Page:
        """Return incidents in some states, the newest first; ValueError for an unknown state."""
        where, values = _where(states)
        query = f"SELECT doc FROM incidents {where} ORDER BY number DESC LIMIT ? OFFSET ?"  # noqa: S608 - the text of _where is ours
        rows = await self._rows(query, (*values, max(0, min(limit, PAGE)), max(0, offset)))
        return [incident_of(row) for row in rows]

    async def with_duties(self, limit: int = 1000) -> Page:
        """Return the incidents with duties that are left, the first that is due first."""
        query = "SELECT doc FROM incidents WHERE due IS NOT NULL ORDER BY due LIMIT ?"
        return [incident_of(row) for row in await self._rows(query, (min(limit, PAGE),))]

    async def with_letters(self, limit: int = 10_000) -> Page:
        """Return the newest incidents of which letters went out, open or not."""
        query = (
            "SELECT doc FROM incidents WHERE instr(doc, CAST('\"letters\":[' AS BLOB)) "
            "ORDER BY number DESC LIMIT ?"
        )
        return [incident_of(row) for row in await self._rows(query, (min(limit, PAGE),))]

    async def open_counts(self) -> dict[str, int]:
        """Return priority → open incidents."""
        query = "SELECT priority, count(*) AS n FROM incidents WHERE open = 1 GROUP BY priority"
        return {row["priority"]: row["n"] for row in await self._rows(query)}

    async def show(self, id: str) -> tuple[Incident, Events] | None:  # noqa: A002 - the word of the API
        """Return an incident and its newest events in order, PAGE at most; None where it is not."""
        incident = await self.incident(id)
        if incident is None:
            return None
        query = "SELECT * FROM events WHERE incident = ? ORDER BY seq DESC LIMIT ?"
        rows = await self._rows(query, (incident.id, PAGE))
        return incident, [event_of(self._site, row) for row in reversed(rows)]

    async def touched(self, since: float) -> Page:
        """Return the incidents that are open or changed since then, REVIEWED newest at most."""
        query = (
            "SELECT doc FROM incidents WHERE open = 1 OR "
            "json_extract(CAST(doc AS TEXT), '$.updated') >= ? ORDER BY number DESC LIMIT ?"
        )
        return [incident_of(row) for row in await self._rows(query, (since, REVIEWED))]

    async def moves(self, ids: Sequence[str]) -> dict[str, Events]:
        """Return incident → the events that moved it on (opening, states, acknowledgement)."""
        found: dict[str, Events] = {}
        for start in range(0, len(ids), _CHUNK):
            chunk = tuple(ids[start : start + _CHUNK])
            query = (
                f"SELECT * FROM events WHERE incident IN ({', '.join('?' * len(chunk))}) "  # noqa: S608 - question marks alone
                "AND kind IN ('opened', 'state', 'acked') ORDER BY seq"
            )
            for row in await self._rows(query, chunk):
                found.setdefault(row["incident"], []).append(event_of(self._site, row))
        return found

    async def after(self, seq: int, limit: int = PAGE) -> Events:
        """Return the events after a number, in order."""
        query = "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = await self._rows(query, (seq, limit))
        return [event_of(self._site, row) for row in rows]

    @property
    def public_key(self) -> str:
        """Return the key that this site signs with (hex), "" where it never did."""
        public = load_public(self._path.parent)
        return public.key if public else ""

    async def verify(self) -> Verdict:
        """Follow the whole chain; name the first link that was changed, lost or put in."""
        public = load_public(self._path.parent)
        return await asyncio.to_thread(verify_file, self._path, self._site, public)

    async def verify_whole(self) -> Whole:
        """Hold the incidents as they stand, and every kept file, against the log."""
        async with self._checking:
            return await asyncio.to_thread(whole_of, self._path, self._site)

    async def _rows(self, query: str, values: tuple[Any, ...] = ()) -> tuple[sqlite3.Row, ...]:
        try:
            async with self._reader.execute(query, values) as rows:
                return tuple(await rows.fetchall())
        except sqlite3.DatabaseError as error:
            raise OSError(f"can't read the incidents: {error}") from error


def _where(states: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    for state in states:
        if state not in STATES:
            raise ValueError(f"{state!r} is no state: write one of {', '.join(STATES)}")
    if set(states) == set(STATES):
        return "", ()
    if set(states) == set(OPEN_STATES):
        return "WHERE open = 1", ()
    return f"WHERE state IN ({', '.join('?' * len(states))})", tuple(states)
