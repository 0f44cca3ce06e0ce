"""What can be asked of history; every answer is plain objects (views.py documents their keys).

SQLite answers on a connection of its own that reads beside the writer; flows come from the archive
and from what is not sealed yet, through DuckDB.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.history.archive import Names, table
from ipwatchd.history.columns import Columns
from ipwatchd.history.lake import FlowQuery, Running, Segment
from ipwatchd.history.readers import to_its_end
from ipwatchd.history.rollup import pack, unpack
from ipwatchd.history.shadows import ADDRESSED, conditions
from ipwatchd.history.sql import compile_filter, like
from ipwatchd.history.sums import ORDERS, FlowSums, event_sums, show_event_sum
from ipwatchd.history.tallies import Tallies
from ipwatchd.history.views import ACTIVITY, EVENTS, RECORDS, View
from ipwatchd.records.address import join, split
from ipwatchd.records.filter import Filter, FilterError, Term
from ipwatchd.records.network import network_ends

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from ipwatchd.history.archive import Archive
    from ipwatchd.history.buffer import Buffer, ZoneNames
    from ipwatchd.history.keyring import Keyring
    from ipwatchd.history.lake import Conditions
    from ipwatchd.history.places import Places
    from ipwatchd.history.readers import Readers
    from ipwatchd.records.filter import Shape, Value

__all__ = ["Queries"]

# An agent, list or name that stands for more addresses than this makes no usable condition.
MAX_RESOLVED: Final = 5_000
_MOST: Final = 100
"""Rows of each kind in `address`."""


class Queries(Tallies):
    """The reading half of History."""

    _readers: Readers
    _archive: Archive
    _keyring: Keyring
    _buffer: Buffer
    _zones: ZoneNames
    _places: Places
    interfaces: Sequence[str]
    segments_skipped: Sequence[Path] = ()
    """Damaged segments that the last question about flows had to leave out."""
    _authorised: Callable[[str, str, Sequence[str]], str] = staticmethod(lambda *_: "")
    """Whether an agent may be at an address: yes, no, or "" where nobody knows."""
    days_sealed_off: Sequence[str] = ()
    """Days whose key was dropped, which the last question about an address could not reach."""

    async def throughput(self, since: float, until: float = 9e18) -> list[dict[str, Any]]:
        """Return traffic by the minute, oldest first: ts bytes packets flows; quiet ones are left out.

        A flow counts in the minute it ended in.
        """  # noqa: E501 - one line says it
        rows = await self._rows(
            "SELECT minute AS ts, bytes, packets, flows FROM minute WHERE minute > ? "
            "AND minute < ? ORDER BY minute",
            (since - 60, min(until, 9e15)),
        )
        return [dict(row) for row in rows]

    async def records(
        self, kind: str, query: Filter, limit: int, offset: int = 0
    ) -> list[dict[str, Any]]:
        """Return records of one of the seven kinds, newest first.

        Raises FilterError for a key that the kind has not, ValueError for no such kind.
        """
        if kind == "activity":
            return await self._activity(query, limit, offset)
        if kind not in RECORDS:
            raise ValueError(f"{kind!r} is no kind of record: {', '.join((*RECORDS, 'activity'))}")
        return await self._view(RECORDS[kind], query, limit, offset, f"{kind} records")

    async def events(self, query: Filter, limit: int, offset: int = 0) -> list[dict[str, Any]]:
        """Return events, newest first, in DESIGN 6's JSON shape; those not flushed yet are missing."""  # noqa: E501 - one line says it
        shape, query = query.shape(), query.rows()
        if shape is None:
            return await self._view(EVENTS, query, limit, offset, "events")
        resolved = await self._resolve(query, EVENTS.resolve)
        where = compile_filter(query, EVENTS.matchers, "events", resolved)
        sql, parameters = event_sums(shape, where)
        rows = await self._rows(f"{sql} LIMIT ? OFFSET ?", (*parameters, max(limit, 0), offset))
        return [show_event_sum(row) for row in rows]

    async def _view(
        self, view: View, query: Filter, limit: int, offset: int, what: str
    ) -> list[dict[str, Any]]:
        where = compile_filter(query, view.matchers, what, await self._resolve(query, view.resolve))
        rows = await self._rows(
            f"{view.select} WHERE {where.sql} ORDER BY {view.order} LIMIT ? OFFSET ?",
            (*where.parameters, max(limit, 0), max(offset, 0)),
        )
        return [self._shown(view, row) for row in rows]

    def _shown(self, view: View, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row as people read it, with what the roster says of an agent."""
        shown = view.show(row)
        if "authorised" in shown:
            devices = (shown["mac"], shown["device"])
            shown["authorised"] = self._authorised(shown["agent"], shown["address"], devices)
        return shown

    async def _activity(self, query: Filter, limit: int, offset: int) -> list[dict[str, Any]]:
        """Merge the timelines of traffic, events and lists where the filter applies to them."""
        found: list[dict[str, Any]] = []
        refused: list[FilterError] = []
        for view in ACTIVITY:
            try:
                found += await self._view(view, query, limit + offset, 0, "activity")
            except FilterError as error:
                refused.append(error)
        if len(refused) == len(ACTIVITY):
            raise refused[0]
        found.sort(key=lambda row: -float(row["ts"]))
        return found[offset : offset + limit]

    async def flows(self, query: Filter, limit: int, order: str = "bytes") -> list[dict[str, Any]]:
        """Return flows, newest first, in DESIGN 6's JSON shape, sealed and not yet sealed.

        A filter that asks for sums (sums.py) gets these, the greatest by `order` first.
        """
        shape, query = query.shape(), query.rows()
        if order not in ORDERS:
            raise ValueError(f"{order!r} is none of {', '.join(ORDERS)}")
        for _ in range(2):
            rows, skipped = await self._ask_flows(query, shape, max(limit, 0), order)
            if all(path.exists() for path in skipped):
                break  # else segments were merged meanwhile: once more
        self.segments_skipped = tuple(skipped)
        return rows

    async def placed(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return rows that have an `address` with its zone, country and latest agent."""
        found: list[dict[str, Any]] = []
        for row in rows:
            key = pack(*split(str(row["address"])))
            known = await self._one(
                "SELECT a.zone, a.country, coalesce((SELECT g.agent FROM agent g WHERE g.address = "
                "a.address ORDER BY g.last_seen DESC LIMIT 1), '') AS agent FROM address a "
                "WHERE a.address = ?",
                (key,),
            )
            found.append({**row, **(dict(known) if known else {})})
        return found

    async def _ask_flows(
        self, query: Filter, shape: Shape | None, limit: int, order: str
    ) -> tuple[list[dict[str, Any]], Sequence[Path]]:
        segments = await self._segments(query)
        where = await self._flow_conditions(query, segments)
        live = self._unsealed()
        asked = FlowQuery() if shape is None else FlowSums(shape, order)
        question: Callable[..., Any] = asked.newest if isinstance(asked, FlowQuery) else asked.ask
        answer = await _in_thread(asked, question, segments, live, where, limit)
        return answer.rows, answer.skipped

    async def _flow_conditions(self, query: Filter, segments: Sequence[Segment]) -> Conditions:
        resolved = await self._resolve(query, frozenset({"agent", "list", "name"}))
        days = {segment.path.parent.name.removeprefix("date=") for segment in segments}
        keyed = {day: names for day, names in self._keyring.days().items() if day in days}
        asks = any(term.key in ADDRESSED for term in query.terms)
        self.days_sealed_off = tuple(day for day in keyed if asks and keyed[day] is None)
        return conditions(query, resolved, keyed)

    async def _segments(self, query: Filter) -> list[Segment]:
        """Return the segments that a filter's times reach, the newest first."""
        rows = await self._rows(
            "SELECT name, last FROM segment WHERE last >= ? AND first < ? ORDER BY last DESC",
            (query.since(), min(query.until(), 9e18)),
        )
        return [Segment(self._archive.folder / str(row[0]), float(row[1])) for row in rows]

    def _unsealed(self) -> pa.Table | None:
        if not self._buffer.unsealed:
            return None
        names = Names(tuple(self._zones.names), tuple(self.interfaces), self._places.known())
        return table(Columns.of(self._buffer.unsealed), names)

    async def _resolve(self, query: Filter, keys: frozenset[str]) -> dict[Term, Sequence[Value]]:
        """Return the addresses that agents, lists and names of a filter stand for."""
        return {term: await self._networks(term) for term in query.terms if term.key in keys}

    async def _networks(self, term: Term) -> Sequence[Value]:
        found: list[Value] = []
        for value in term.values:
            if term.key == "list":
                found += await self._listed(str(value))
            else:
                column = "agent" if term.key == "agent" else "name"
                where = like(column, str(value))
                rows = await self._rows(
                    f"SELECT DISTINCT address FROM {column} WHERE {where.sql} LIMIT ?",  # noqa: S608 - two fixed names
                    (*where.parameters, MAX_RESOLVED + 1),
                )
                found += [_host(row[0]) for row in rows]
        if len(found) > MAX_RESOLVED:
            raise FilterError(
                f"{term.key}: stands for more than {MAX_RESOLVED} addresses; narrow it down",
                0, str(term.values[0]),
            )  # fmt: skip
        return found

    async def addresses_of(self, key: str, word: str, since: float, most: int) -> list[str]:
        """Return the addresses that DNS gave for a name, or that an agent worked from, since then.

        `key` is name or agent; at most so many, the latest seen. A name that a client only asked a
        server for (TLS, HTTP) binds nothing: whoever connects chooses it.
        """
        where = "name = ? AND source = 'dns'" if key == "name" else "agent = ?"
        table = "name" if key == "name" else "agent"
        rows = await self._rows(
            f"SELECT DISTINCT address FROM {table} WHERE {where} AND last_seen >= ?"  # noqa: S608 - fixed words
            " ORDER BY last_seen DESC LIMIT ?",
            (word, since, most),
        )
        return [str(_host(row[0])) for row in rows]

    async def answers_of(self, name: str, since: float, most: int) -> list[tuple[str, float, int]]:
        """Return what DNS answered for a name since then: address, when, TTL; the newest first.

        Of at most so many answers.
        """
        rows = await self._rows(
            "SELECT ts, body FROM event WHERE name = ? AND name <> '' AND ts >= ? AND kind = 'dns' "
            "ORDER BY ts DESC LIMIT ?",
            (name, since, most),
        )
        found = []
        for ts, body in rows:
            said = msgspec.json.decode(body)
            for answer in said.get("answers", ()) if said.get("response") else ():
                with contextlib.suppress(ValueError):  # another name on the way (CNAME)
                    found.append((str(ipaddress.ip_address(answer)), float(ts), said.get("ttl", 0)))
        return found

    async def _listed(self, name: str) -> list[Value]:
        """Return the networks that are on a list by its last change; selectors name none."""
        rows = await self._rows(
            "SELECT network, action, max(id) FROM list_change WHERE list = ? GROUP BY network "
            "LIMIT ?",
            (name, MAX_RESOLVED + 1),
        )
        on = [ends for row in rows if row[1] == "add" and (ends := network_ends(row[0]))]
        return [
            network
            for first, last in on
            for network in ipaddress.summarize_address_range(join(*first), join(*last))
        ]

    async def address(self, address: str) -> dict[str, Any] | None:
        """Return everything on one address, None where nothing is recorded.

        The totals (address zone country asn first_seen last_seen flows packets bytes) and lists
        of at most 100, newest first: `names` `places` `agents` `devices` `sessions` `services`
        `peers` (the zones it talked with) `incoming` `lists` `events`, and `hours` of activity.
        """
        key = pack(*split(address))
        row = await self._one(
            "SELECT zone, country, asn, first_seen, last_seen, flows, packets, bytes FROM address "
            "WHERE address = ?",
            (key,),
        )
        one = Filter((Term("addr", (ipaddress.ip_network(unpack(key)),)),))
        kinds = {
            "places": "geo", "agents": "agent", "sessions": "session", "incoming": "incoming",
            "lists": "list", "api": "api",
        }  # fmt: skip
        found = {name: await self.records(kind, one, _MOST) for name, kind in kinds.items()}
        found["names"] = await self._named(key)
        found["devices"] = await self._devices(key)
        found["events"] = await self.events(one, _MOST)
        if row is None and not any(found.values()):
            return None
        totals = dict(row) if row else {}
        return {**totals, "address": str(unpack(key)), **found, **await self._traffic(key, totals)}

    async def _named(self, key: bytes) -> list[dict[str, Any]]:
        rows = await self._rows(
            "SELECT name, source, count, first_seen, last_seen FROM name WHERE address = ? "
            "ORDER BY last_seen DESC LIMIT ?",
            (key, _MOST),
        )
        return [dict(row) for row in rows]

    async def _devices(self, key: bytes) -> list[dict[str, Any]]:
        rows = await self._rows(
            "SELECT mac, hostname, count, first_seen, last_seen FROM device WHERE address = ? "
            "ORDER BY last_seen DESC LIMIT ?",
            (key, _MOST),
        )
        return [dict(row) for row in rows]

    async def held(self) -> dict[str, Any]:
        """Return how much is held and since when; part of `status`."""
        counts = await self._one(
            "SELECT (SELECT count(*) FROM address) AS addresses, "
            "(SELECT count(*) FROM session) AS sessions, "
            "(SELECT coalesce(max(id) - min(id) + 1, 0) FROM event) AS events, "
            "(SELECT count(*) FROM segment) AS segments, "
            "(SELECT coalesce(sum(rows), 0) FROM segment) AS flows, "
            "(SELECT coalesce(sum(bytes), 0) FROM segment) AS archive_bytes, "
            "(SELECT coalesce(min(minute), 0) FROM minute) AS oldest, "
            "(SELECT coalesce(max(minute) + 60, 0) FROM minute) AS newest"
        )
        pages = await self._one("PRAGMA page_count")
        size = await self._one("PRAGMA page_size")
        return {**dict(counts), "database_bytes": int(pages[0]) * int(size[0])}


async def _in_thread(asked: Running, question: Callable[..., Any], *words: Any) -> Any:
    """Ask in a thread; stop the question where nobody waits for its answer any more."""
    try:
        return await to_its_end(asyncio.to_thread(question, *words), asked.db.interrupt)
    finally:
        asked.close()


def _host(key: bytes) -> Value:
    return ipaddress.ip_network(unpack(key))
