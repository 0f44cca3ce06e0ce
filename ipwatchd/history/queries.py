"""What can be asked of history; every answer is plain objects (views.py documents their keys).

SQLite answers on a connection of its own that reads beside the writer; flows come from the archive
and from what is not sealed yet, through DuckDB.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.history.archive import Names, table
from ipwatchd.history.columns import Columns
from ipwatchd.history.lake import FLOWS, Answer, FlowQuery, Segment
from ipwatchd.history.rollup import HOUR, pack, unpack
from ipwatchd.history.sql import compile_filter, like
from ipwatchd.history.views import ACTIVITY, EVENTS, RECORDS, View, address_of
from ipwatchd.records.address import join, network_range, split
from ipwatchd.records.filter import Filter, FilterError, Term
from ipwatchd.records.network import network_ends

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import aiosqlite
    import pyarrow as pa

    from ipwatchd.history.archive import Archive
    from ipwatchd.history.buffer import Buffer, ZoneNames
    from ipwatchd.history.places import Places
    from ipwatchd.history.sql import Where
    from ipwatchd.records.filter import Value

__all__ = ["Queries"]

# An agent, list or name that stands for more addresses than this makes no usable condition.
MAX_RESOLVED: Final = 5_000
_BY: Final = {"bytes": "bytes", "flows": "flows", "packets": "packets"}
_EITHER: Final = frozenset({"addr", "agent", "list", "name"})
_FEW: Final = 8
"""Addresses up to which a question about either end is asked as two."""
_MOST: Final = 100
"""Rows of each kind in `address`."""


class Queries:
    """The reading half of History. `_reader` is the connection that reads."""

    _reader: aiosqlite.Connection
    _archive: Archive
    _buffer: Buffer
    _zones: ZoneNames
    _places: Places
    interfaces: Sequence[str]
    segments_skipped: Sequence[Path] = ()
    """Damaged segments that the last question about flows had to leave out."""

    async def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        async with self._reader.execute(sql, tuple(parameters)) as cursor:
            return list(await cursor.fetchall())

    async def _one(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        rows = await self._rows(sql, parameters)
        return rows[0] if rows else None

    async def top(
        self, since: float, until: float, limit: int, by: str = "bytes"
    ) -> list[dict[str, Any]]:
        """Return the busiest addresses: address zone country agent flows packets bytes last_seen.

        Counted by the hour: the hours that `since` and `until` lie in count whole. ValueError for
        another `by` than bytes, flows, packets.
        """
        if by not in _BY:
            raise ValueError(f"by={by!r} is none of {', '.join(_BY)}")
        rows = await self._rows(
            "SELECT t.*, "  # noqa: S608 - _BY holds fixed names
            "coalesce(a.zone, '') AS zone, coalesce(a.country, '') AS country, "
            "coalesce(a.last_seen, 0) AS last_seen, coalesce((SELECT g.agent FROM agent g WHERE "
            "g.address = t.address ORDER BY g.last_seen DESC LIMIT 1), '') AS agent FROM ("
            "SELECT address, sum(flows) AS flows, sum(packets_in + packets_out) AS packets, "
            "sum(bytes_in + bytes_out) AS bytes FROM rollup WHERE hour > ? AND hour < ? "
            f"GROUP BY address ORDER BY {_BY[by]} DESC, address LIMIT ?) t "
            f"LEFT JOIN address a ON a.address = t.address ORDER BY {_BY[by]} DESC, t.address",
            (since - HOUR, until, limit),
        )
        return [{**dict(row), "address": address_of(row["address"])} for row in rows]

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
        return await self._view(EVENTS, query, limit, offset, "events")

    async def _view(
        self, view: View, query: Filter, limit: int, offset: int, what: str
    ) -> list[dict[str, Any]]:
        where = compile_filter(query, view.matchers, what, await self._resolve(query, view.resolve))
        rows = await self._rows(
            f"{view.select} WHERE {where.sql} ORDER BY {view.order} LIMIT ? OFFSET ?",
            (*where.parameters, max(limit, 0), max(offset, 0)),
        )
        return [view.show(row) for row in rows]

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

    async def flows(self, query: Filter, limit: int) -> list[dict[str, Any]]:
        """Return flows, newest first, in DESIGN 6's JSON shape, sealed and not yet sealed."""
        where = await self._flow_conditions(query)
        answer = await self._newest(query, where, max(limit, 0))
        if any(not path.exists() for path in answer.skipped):
            answer = await self._newest(query, where, max(limit, 0))  # merged meanwhile
        self.segments_skipped = tuple(answer.skipped)
        return answer.rows

    async def _flow_conditions(self, query: Filter) -> list[Where]:
        """Return conditions that no flow meets two of; together they are the filter.

        An address at either end is two: an OR of two columns would hide both from the segments'
        statistics and bloom filters, and every row group would be read.
        """
        resolved = await self._resolve(query, frozenset({"agent", "list", "name"}))
        ends = [term for term in query.terms if term.key in _EITHER and not term.negated]
        if not ends or len(resolved.get(ends[0], ends[0].values)) > _FEW:
            return [compile_filter(query, FLOWS, "flows", resolved)]
        values = tuple(resolved.get(ends[0], ends[0].values))
        rest = tuple(term for term in query.terms if term is not ends[0])
        orig, resp = Term("src", values), Term("dst", values)
        return [
            compile_filter(Filter((*terms, *rest)), FLOWS, "flows", resolved)
            for terms in ((orig,), (resp, Term("src", values, negated=True)))
        ]

    async def _newest(self, query: Filter, where: Sequence[Where], limit: int) -> Answer:
        segments = await self._segments(query)
        asked = FlowQuery()
        work = asyncio.ensure_future(
            asyncio.to_thread(asked.newest, segments, self._unsealed(), where, limit)
        )
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            asked.db.interrupt()  # nobody waits for the answer any more
            await asyncio.wait([work])
            raise
        finally:
            asked.close()

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
        row = await self._one("SELECT * FROM address WHERE address = ?", (key,))
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

    async def _traffic(self, key: bytes, totals: Mapping[str, Any]) -> dict[str, Any]:
        """Sum the roll-ups of one address: by service, by peer zone, by hour."""
        if not totals:
            return {"services": [], "peers": [], "hours": []}
        first = int(totals["first_seen"]) // HOUR * HOUR
        last = int(totals["last_seen"])
        # The table is keyed by hour: one look-up for each hour the address may have been active.
        hours = (
            "WITH RECURSIVE span (hour) AS (SELECT ?1 UNION ALL SELECT hour + 3600 FROM span "
            "WHERE hour + 3600 <= ?2) SELECT {what}, sum(r.flows) AS flows, sum(r.bytes_in) AS "
            "bytes_in, sum(r.bytes_out) AS bytes_out FROM span CROSS JOIN rollup r ON "
            "r.hour = span.hour AND r.address = ?3 GROUP BY 1, 2 ORDER BY {order} LIMIT ?4"
        )
        asked = {
            "services": ("r.service AS service, r.direction AS direction", "5 DESC, 1"),
            "peers": ("r.zone AS zone, r.direction AS direction", "5 DESC, 1"),
            "hours": ("r.hour AS ts, '' AS kind", "1 DESC"),
        }
        found: dict[str, Any] = {}
        for name, (what, order) in asked.items():
            rows = await self._rows(
                hours.format(what=what, order=order),
                (max(first, last - 400 * 86_400), last, key, 31 * 24 if name == "hours" else _MOST),
            )
            found[name] = [dict(row) for row in rows]
        for row in found["hours"]:
            del row["kind"]
        return found

    async def touched(self, network: str, since: float) -> dict[str, Any]:
        """Return what an entry for a network would have touched: addresses flows bytes, and `busiest`.

        Counted by the hour, from the hour of `since` on.
        """  # noqa: E501 - one line says it
        first, last = network_range(ipaddress.ip_network(network))
        parameters = (since - HOUR, pack(*first), pack(*last))
        total = await self._one(
            "SELECT count(DISTINCT address) AS addresses, coalesce(sum(flows), 0) AS flows, "
            "coalesce(sum(bytes_in + bytes_out), 0) AS bytes FROM rollup WHERE hour > ? "
            "AND address BETWEEN ? AND ?",
            parameters,
        )
        rows = await self._rows(
            "SELECT address, sum(flows) AS flows, sum(bytes_in + bytes_out) AS bytes, "
            "max(hour) AS last_seen FROM rollup WHERE hour > ? AND address BETWEEN ? AND ? "
            "GROUP BY address ORDER BY bytes DESC LIMIT 20",
            parameters,
        )
        busiest = [{**dict(row), "address": address_of(row["address"])} for row in rows]
        return {**dict(total), "busiest": busiest}

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


def _host(key: bytes) -> Value:
    return ipaddress.ip_network(unpack(key))
