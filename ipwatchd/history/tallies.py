"""Answers out of the roll-ups: the busiest addresses, one address's sums, what a network did.

Whole days are read from the table of days, what is left of a span from the table of hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.history.rollup import DAY, HOUR
from ipwatchd.history.sql import Where
from ipwatchd.history.touched import service_touched, touched
from ipwatchd.history.views import address_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.history.readers import Readers
    from ipwatchd.records.policy import ServicePolicy

__all__ = ["Tallies"]

_BY: Final = {"bytes": "bytes", "flows": "flows", "packets": "packets"}
_MOST: Final = 100
_HOURS_SHOWN: Final = 31 * 24
_SUMS: Final = "address, traffic, flows, packets_in, packets_out, bytes_in, bytes_out"
# One look-up for each hour that the address may have been active in; before the hours that are
# kept, one for each day.
_ONE: Final = """
WITH RECURSIVE hours (hour) AS (SELECT ?1 UNION ALL SELECT hour + 3600 FROM hours
    WHERE hour + 3600 <= ?2),
days (day) AS (SELECT ?4 UNION ALL SELECT day + 86400 FROM days WHERE day + 86400 < ?1),
s AS (
    SELECT r.hour AS ts, 3600 AS span, r.traffic, r.flows, r.bytes_in, r.bytes_out
        FROM hours CROSS JOIN rollup r ON r.hour = hours.hour AND r.address = ?3
    UNION ALL SELECT r.day, 86400, r.traffic, r.flows, r.bytes_in, r.bytes_out
        FROM days CROSS JOIN rollup_day r ON r.day = days.day AND r.day < ?1 AND r.address = ?3
)
SELECT {what}, sum(s.flows) AS flows, sum(s.bytes_in) AS bytes_in, sum(s.bytes_out) AS bytes_out
FROM s JOIN traffic t ON t.id = s.traffic GROUP BY 1, 2 ORDER BY {order} LIMIT ?5
"""


class Tallies:
    """The part of the queries that reads roll-ups."""

    _readers: Readers

    async def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        return await self._readers.rows(sql, parameters)

    async def _one(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        rows = await self._rows(sql, parameters)
        return rows[0] if rows else None

    async def _sums(self, since: float, until: float) -> Where:
        """Return the SELECT of a span's roll-ups; hours that the ends lie in count whole."""
        rows = await self._rows("SELECT key, value FROM meta WHERE key IN ('folded', 'hours_from')")
        marks = {str(row[0]): int(row[1]) for row in rows}
        gone = marks.get("hours_from", 0)
        # Days: those that lie in the span whole, and those whose hours are gone.
        first = int(min(since // DAY * DAY if since < gone else -(-since // DAY) * DAY, 9e15))
        last = int(min(until // DAY * DAY, marks.get("folded", 0)))
        if last <= first:
            first = last = 0
        hours = f"SELECT {_SUMS}, hour AS ts FROM rollup WHERE hour > ? AND hour < ?"  # noqa: S608 - our own
        days = f"SELECT {_SUMS}, day AS ts FROM rollup_day WHERE day >= ? AND day < ?"  # noqa: S608 - our own
        if not last:
            return Where(hours, (since - HOUR, until))
        return Where(
            f"{hours} UNION ALL {days} UNION ALL {hours}",
            (since - HOUR, first, first, last, last - 1, until),
        )

    async def top(
        self, since: float, until: float, limit: int, by: str = "bytes"
    ) -> list[dict[str, Any]]:
        """Return the busiest addresses: address zone country agent flows packets bytes last_seen.

        Counted by the hour: the hours that `since` and `until` lie in count whole. ValueError for
        another `by` than bytes, flows, packets.
        """
        if by not in _BY:
            raise ValueError(f"by={by!r} is none of {', '.join(_BY)}")
        sums = await self._sums(since, until)
        rows = await self._rows(
            "SELECT a.address, a.zone, a.country, "  # noqa: S608 - _BY holds fixed names
            "coalesce((SELECT g.agent FROM agent g WHERE g.address = a.address "
            "ORDER BY g.last_seen DESC LIMIT 1), '') AS agent, "
            "t.flows, t.packets, t.bytes, a.last_seen FROM (SELECT address AS id, "
            "sum(flows) AS flows, sum(packets_in + packets_out) AS packets, "
            f"sum(bytes_in + bytes_out) AS bytes FROM ({sums.sql}) GROUP BY address "
            f"ORDER BY {_BY[by]} DESC, address LIMIT ?) t JOIN address a USING (id) "
            f"ORDER BY t.{_BY[by]} DESC, a.address",
            (*sums.parameters, limit),
        )
        return [{**dict(row), "address": address_of(row["address"])} for row in rows]

    async def _traffic(self, key: bytes, totals: Mapping[str, Any]) -> dict[str, Any]:
        """Sum the roll-ups of one address: by service, by peer zone, by hour."""
        if not totals:
            return {"services": [], "peers": [], "hours": []}
        row = await self._one("SELECT id FROM address WHERE address = ?", (key,))
        gone = await self._one("SELECT value FROM meta WHERE key = 'hours_from'")
        last = int(totals["last_seen"])
        begun = max(int(totals["first_seen"]), last - 400 * DAY)
        hours_from = max(begun, int(gone[0]) if gone else 0) // HOUR * HOUR
        asked = {
            "services": ("t.service AS service, t.direction AS direction", "5 DESC, 1"),
            "peers": ("t.zone AS zone, t.direction AS direction", "5 DESC, 1"),
            "hours": ("s.ts AS ts, s.span AS span", "1 DESC"),
        }
        found: dict[str, Any] = {}
        for name, (what, order) in asked.items():
            rows = await self._rows(
                _ONE.format(what=what, order=order),
                (hours_from, last, int(row[0]), begun // DAY * DAY,
                 _HOURS_SHOWN if name == "hours" else _MOST),
            )  # fmt: skip
            found[name] = [dict(row) for row in rows]
        return found

    async def touched(self, ranges: NDArray[np.void], since: float) -> dict[str, Any]:
        """Return what entries for addresses (merged ranges) would have touched: see touched.py."""
        return await touched(self._rows, await self._sums(since, 9e15), ranges, since)

    async def service_touched(
        self, ranges: NDArray[np.void], since: float, service: ServicePolicy, *, outside: bool
    ) -> dict[str, Any]:
        """Return what entries of a service would have touched, or its being for the allowed."""
        return await service_touched(
            self._rows, ranges, since, protocol=service.protocol, ports=service.ports,
            to=service.to, outside=outside,
        )  # fmt: skip
