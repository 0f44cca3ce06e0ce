"""Sums instead of rows: `by:service every:1h count:orig` as SQL, for flows and for events.

A row has `ts` (its bucket's start, where buckets are asked for), what it is the sum `by`, `flows`
`packets` `bytes` (or `events`), `first_seen` `last_seen`, and `distinct_X` for each X counted. A
flow or event counts in the bucket it began in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ipwatchd.history.lake import CLEAR, Running, Segment, damaged, sources
from ipwatchd.history.rollup import unpack
from ipwatchd.records.address import address_text
from ipwatchd.records.filter import FilterError
from ipwatchd.records.flow import protocol_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from ipwatchd.history.lake import Conditions
    from ipwatchd.history.pseudonym import Pseudonyms
    from ipwatchd.history.sql import Where
    from ipwatchd.records.filter import Shape

__all__ = ["ORDERS", "FlowSums", "event_sums", "show_event_sum"]

ORDERS: Final = ("bytes", "packets", "flows")
_FAR: Final = "CASE direction WHEN 'incoming' THEN orig_{0} ELSE resp_{0} END"
_FLOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "addr": ("end_hi", "end_lo"), "orig": ("orig_hi", "orig_lo"), "resp": ("resp_hi", "resp_lo"),
    "port": ("resp_port",), "sport": ("orig_port",), "proto": ("proto",),
    "service": ("service",), "state": ("state",), "direction": ("direction",), "vlan": ("vlan",),
    "iface": ("iface",), "zone": (_FAR.format("zone"),), "country": (_FAR.format("country"),),
    "asn": (_FAR.format("asn"),),
}  # fmt: skip
"""Field → the archive's columns that hold it; two are an address."""
_EVENTS: Final[Mapping[str, str]] = {
    "orig": "e.orig", "resp": "e.resp", "port": "e.resp_port", "proto": "e.proto",
    "kind": "e.kind", "name": "e.name", "user": "e.user",
}  # fmt: skip
_COLUMNS: Final = (
    '"start", "end", proto, service, state, direction, vlan, iface, orig_zone, resp_zone, '
    "orig_country, resp_country, orig_asn, resp_asn, orig_port, resp_port, orig_packets, "
    "orig_bytes, resp_packets, resp_bytes, orig_hi, orig_lo, resp_hi, resp_lo"
)


def _known(shape: Shape, fields: Mapping[str, object], what: str) -> None:
    for key, names in (("by", shape.by), ("count", shape.distinct)):
        for name in names:
            if name not in fields:
                raise FilterError(
                    f"{key}: {what} have no {name}; use {', '.join(fields)}", 0, name
                )  # fmt: skip


class _Sums(NamedTuple):
    """A sum's rows, and the segments that had to be skipped."""

    rows: list[dict[str, Any]]
    skipped: list[Path]


class FlowSums(Running):
    """Sums over segments and the table in memory; FilterError for what flows do not have."""

    def __init__(self, shape: Shape, order: str) -> None:
        _known(shape, _FLOWS, "flows")
        super().__init__()
        self._shape = shape
        self._order = order
        used = {*shape.by, *shape.distinct}
        self._ends = "addr" in used
        self._addresses = bool(used & {"addr", "orig", "resp"})

    def ask(
        self, segments: Sequence[Segment], live: pa.Table | None, where: Conditions, limit: int
    ) -> _Sums:
        """Return the sums, the greatest first within each bucket."""
        import duckdb

        left: list[Path | pa.Table] = [segment.path for segment in segments]
        left += [live] if live is not None else []
        skipped: list[Path] = []
        while left:
            try:
                return _Sums(self._sum(left, where, limit), skipped)
            except duckdb.InterruptException:
                raise
            except duckdb.Error:
                bad = damaged([one for one in left if not hasattr(one, "schema")])
                if not bad:
                    raise
                skipped += bad
                left = [one for one in left if not any(one is other for other in bad)]
        return _Sums([], skipped)

    def _sum(
        self, left: Sequence[Path | pa.Table], where: Conditions, limit: int
    ) -> list[dict[str, Any]]:
        source, parameters = sources(self.db, left, where, _COLUMNS)
        if self._addresses and self._read(source, parameters, where):
            source = (
                "SELECT k.* REPLACE (coalesce(o.hi, orig_hi) AS orig_hi, coalesce(o.lo, orig_lo) "  # noqa: S608 - ours
                "AS orig_lo, coalesce(r.hi, resp_hi) AS resp_hi, coalesce(r.lo, resp_lo) AS "
                f"resp_lo) FROM ({source}) k LEFT JOIN truth o ON o.day = k.day AND o.alias_hi = "
                "orig_hi AND o.alias_lo = orig_lo LEFT JOIN truth r ON r.day = k.day AND "
                "r.alias_hi = resp_hi AND r.alias_lo = resp_lo"
            )
        if self._ends:
            source = (
                "SELECT *, pair.hi AS end_hi, pair.lo AS end_lo FROM (SELECT *, unnest(["  # noqa: S608 - ours
                "{'hi': orig_hi, 'lo': orig_lo}, {'hi': resp_hi, 'lo': resp_lo}]) AS pair "
                f"FROM ({source}))"
            )
        self.db.execute(f"{self._select(source)} LIMIT ?", [*parameters, limit])
        return [self._show(row) for row in self.db.fetchall()]

    def _select(self, source: str) -> str:
        shape = self._shape
        groups = [column for name in shape.by for column in _FLOWS[name]]
        if shape.every:
            groups.insert(0, f'epoch_us("start") // {shape.every * 1_000_000} * {shape.every}')
        counted = [f"count(DISTINCT ({', '.join(_FLOWS[name])}))" for name in shape.distinct]
        told = [
            *groups, "count(*)", "sum(orig_packets + resp_packets)", "sum(orig_bytes + resp_bytes)",
            'epoch_us(min("start"))', 'epoch_us(max("end"))', *counted,
        ]  # fmt: skip
        place = len(groups) + 1 + {"flows": 0, "packets": 1, "bytes": 2}[self._order]
        order = [*(["1 DESC"] if shape.every else []), f"{place} DESC"]
        order += [str(number + 1) for number in range(len(groups))]
        grouped = f"GROUP BY {', '.join(str(n + 1) for n in range(len(groups)))}" if groups else ""
        having = "" if groups else "HAVING count(*) > 0"
        return (
            f"SELECT {', '.join(told)} FROM ({source}) {grouped} {having} "  # noqa: S608 - ours
            f"ORDER BY {', '.join(order)}"
        )

    def _show(self, row: Sequence[Any]) -> dict[str, Any]:
        cells = iter(row)
        found: dict[str, Any] = {}
        if self._shape.every:
            found["ts"] = next(cells)
        for name in self._shape.by:
            pair = len(_FLOWS[name]) > 1
            found[name] = address_text(next(cells), next(cells)) if pair else next(cells)
        found |= {name: int(next(cells)) for name in ("flows", "packets", "bytes")}
        found |= {name: next(cells) / 1e6 for name in ("first_seen", "last_seen")}
        return found | {f"distinct_{name}": next(cells) for name in self._shape.distinct}

    def _read(self, source: str, parameters: Sequence[object], where: Conditions) -> bool:
        """Make the table `truth` of the keyed days' addresses; tell whether there are any."""
        names = {day: one.names for day, one in where.items() if day != CLEAR and one.names}
        if not names:
            return False
        self.db.execute(
            "SELECT DISTINCT day, hi, lo FROM (SELECT day, orig_hi AS hi, orig_lo AS lo FROM "  # noqa: S608 - ours
            f"({source}) UNION ALL SELECT day, resp_hi, resp_lo FROM ({source})) WHERE day <> ''",
            [*parameters, *parameters],
        )
        found = self.db.fetchnumpy()
        self.db.register("truth", _truth(found, names))
        return True


def _truth(found: Mapping[str, Any], names: Mapping[str, Pseudonyms]) -> pa.Table:
    """Return (day, pseudonym, address) of every pseudonym of days whose key there is."""
    import pyarrow as pa

    days = np.asarray(found["day"]).astype(str)
    alias = {half: np.asarray(found[half]).astype(np.uint64) for half in ("hi", "lo")}
    true = {half: column.copy() for half, column in alias.items()}
    for day, key in names.items():
        mine = np.flatnonzero(days == day)
        true["hi"][mine], true["lo"][mine] = key.addresses(
            alias["hi"][mine], alias["lo"][mine], reverse=True
        )
    return pa.table({
        "day": pa.array(days.tolist(), pa.string()), "alias_hi": alias["hi"],
        "alias_lo": alias["lo"], **true,
    })  # fmt: skip


def event_sums(shape: Shape, where: Where) -> tuple[str, tuple[object, ...]]:
    """Return the SQL that sums events, without LIMIT; FilterError for what events do not have."""
    _known(shape, _EVENTS, "events")
    groups = [f"{_EVENTS[name]} AS [{name}]" for name in shape.by]
    if shape.every:
        groups.insert(0, f"CAST(e.ts AS INTEGER) / {shape.every} * {shape.every} AS ts")
    told = [
        *groups, "count(*) AS events", "min(e.ts) AS first_seen", "max(e.ts) AS last_seen",
        *(f"count(DISTINCT {_EVENTS[name]}) AS distinct_{name}" for name in shape.distinct),
    ]  # fmt: skip
    grouped = f"GROUP BY {', '.join(str(n + 1) for n in range(len(groups)))}" if groups else ""
    having = "" if groups else "HAVING count(*) > 0"
    order = [*(["1 DESC"] if shape.every else []), "events DESC"]
    order += [str(number + 1) for number in range(len(groups))]
    sql = (
        f"SELECT {', '.join(told)} FROM event e WHERE {where.sql} {grouped} {having} "  # noqa: S608 - ours
        f"ORDER BY {', '.join(order)}"
    )
    return sql, where.parameters


def show_event_sum(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as people read it: addresses as text, protocols by name."""
    read: dict[str, Callable[[Any], Any]] = {
        "orig": _address, "resp": _address,
        "proto": lambda number: protocol_name(number) if number else "",
    }  # fmt: skip
    return {name: read.get(name, _same)(row[name]) for name in row.keys()}  # noqa: SIM118 - a sqlite3.Row iterates over its values


def _same(value: Any) -> Any:
    return value


def _address(key: bytes) -> str:
    return str(unpack(key)) if any(key) else ""
