"""Flows out of the archive and out of memory, through DuckDB, which is imported when it is asked.

A damaged or missing segment is left out, named in `skipped`, and the answer is of the rest. A keyed
day (keyring.py) is asked by the pseudonyms of its key, and its flows come back with true addresses.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ipwatchd.history.address_index import pick
from ipwatchd.history.archive import Names, table
from ipwatchd.history.columns import Columns
from ipwatchd.history.sql import (
    halves,
    number,
    protocol,
    since_flow,
    text,
    until_flow,
    word,
)
from ipwatchd.records.address import address_text, address_texts
from ipwatchd.records.community import community_ids_of
from ipwatchd.records.filter import FilterError
from ipwatchd.records.flow import STATES, protocol_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb
    import pyarrow as pa

    from ipwatchd.history.pseudonym import Pseudonyms
    from ipwatchd.history.sql import Matcher, Where
    from ipwatchd.records.filter import Value

__all__ = [
    "CLEAR", "FLOWS", "Answer", "Conditions", "FlowQuery", "FlowReader", "Running", "Segment",
    "Shadow", "damaged", "read_flows", "sources",
]  # fmt: skip

_THREADS: Final = 2
_MEMORY: Final = "512MB"
# Small reads of many files: they wait for the disk more than they work.
_PICKERS: Final = 4
# Segments that were written before these columns came have none of them.
_NAT: Final = (
    "coalesce(nat_hi,0) AS nat_hi, coalesce(nat_lo,0) AS nat_lo, coalesce(nat_port,0) AS nat_port"
)
_NO_NAT: Final = "0::UBIGINT AS nat_hi, 0::UBIGINT AS nat_lo, 0::USMALLINT AS nat_port"
_SHOWN: Final = (
    'epoch_us("start") AS "start", epoch_us("end") AS "end"', "proto", "orig_hi", "orig_lo",
    "orig_port", "resp_hi", "resp_lo", "resp_port", "orig_packets", "orig_bytes", "resp_packets",
    "resp_bytes", "state", "service", "vlan", "iface", "direction", "orig_zone", "resp_zone",
    "orig_country", "resp_country", "icmp_type", "icmp_code", _NAT,
)  # fmt: skip

_NAMES: Final = (*(column.rpartition(" ")[2].strip('"') for column in (
    part for column in _SHOWN for part in column.split(", ")
)), "day")  # fmt: skip
# Most questions are about the last minutes: few segments are read first, then more at a time.
_FIRST_STEP: Final = 16
_MOST_AT_ONCE: Final = 1024


def _of_flows(values: Sequence[Value]) -> Where:
    """Match connection states; an incident's, which the language knows too, is refused."""
    for value in values:
        if value not in STATES:
            raise FilterError(
                f"state: {value} is an incident's, flows have {', '.join(STATES)}", 0, str(value)
            )
    return word("state")(values)


_BOTH: Final = halves("orig", "resp")
FLOWS: Final[Mapping[str, Matcher]] = {
    "addr": _BOTH, "agent": _BOTH, "list": _BOTH, "name": _BOTH, "src": halves("orig"),
    "dst": halves("resp"), "port": number("resp_port"), "sport": number("orig_port"),
    "vlan": number("vlan"), "proto": protocol("proto"), "service": word("service"),
    "state": _of_flows, "direction": word("direction"), "zone": text("orig_zone", "resp_zone"),
    "country": word("orig_country", "resp_country"), "asn": number("orig_asn", "resp_asn"),
    "nat": halves("nat"), "since": since_flow('"end"'), "until": until_flow('"start"'),
}  # fmt: skip


class Segment(NamedTuple):
    """A sealed file and the latest end of its flows (epoch seconds)."""

    path: Path
    last: float


CLEAR: Final = ""
"""Among the days of `Conditions`: every day that is not keyed."""


class Shadow(NamedTuple):
    """How a keyed day is asked: its own conditions, and what its addresses are under.

    `names` None is a day whose key was dropped: its addresses stay pseudonyms.
    """

    where: Sequence[Where]
    names: Pseudonyms | None = None
    hosts: Sequence[tuple[int, int]] = ()
    """Every row has one of these addresses at one of its ends, as segments hold them; none: any."""


Conditions = dict[str, Shadow]
"""Day → what its rows must meet (no row meets two of them); `CLEAR` stands for days in clear."""


class Answer:
    """Flows in DESIGN 6's JSON shape, newest first, and the segments that had to be skipped."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.skipped: list[Path] = []


class Running:
    """A connection whose query another thread can stop."""

    def __init__(self) -> None:
        import duckdb

        self.db = duckdb.connect(config={"threads": _THREADS, "memory_limit": _MEMORY})
        # UTC: what a filter compares with is no local time.
        self.db.execute("SET TimeZone = 'UTC'")

    def close(self) -> None:
        """Stop what runs and let go."""
        self.db.interrupt()
        self.db.close()


class FlowReader(Running):
    """Reads segments one by one, each in order of start, a batch at a time."""

    def __init__(self, where: Conditions) -> None:
        super().__init__()
        self._where = where
        self._source: Path | pa.Table | None = None

    def read(self, source: Path | pa.Table, rows: int) -> list[dict[str, Any]] | None:
        """Return the next rows of a segment (or a table), fewer at its end, None if it is damaged."""  # noqa: E501 - one line says it
        import duckdb

        try:
            if source is not self._source:
                self._source = source
                _select(self.db, [source], self._where, 'ORDER BY "start"', ())
            return _flows(self.db.fetchmany(rows), self._where)
        except duckdb.InterruptException:
            raise
        except duckdb.Error:
            if not isinstance(source, Path) or not damaged([source]):
                raise
            return None


class FlowQuery(Running):
    """The newest flows of segments and of the table in memory (archive.table)."""

    def newest(
        self, segments: Sequence[Segment], live: pa.Table | None, where: Conditions, limit: int
    ) -> Answer:
        """Return the newest `limit` flows; `segments` are in order of their last, newest first.

        Stops once no segment that is left can hold a newer flow than those found.
        """
        answer = Answer()
        at, step = 0, _FIRST_STEP
        while at < len(segments) or live is not None:
            some = [segment.path for segment in segments[at : at + step]]
            found = self._some([*some, live] if live is not None else some, where, limit, answer)
            live, at, step = None, at + step, min(step * 2, _MOST_AT_ONCE)
            both = [*answer.rows, *found]
            answer.rows = sorted(both, key=lambda flow: -float(flow["start"]))[:limit]
            full = len(answer.rows) >= limit
            if full and (
                at >= len(segments) or not limit
                or answer.rows[-1]["start"] > segments[at].last
            ):  # fmt: skip
                break
        return answer

    def _some(
        self, among: Sequence[Path | pa.Table], where: Conditions, limit: int, answer: Answer
    ) -> list[dict[str, Any]]:
        import duckdb

        left = list(among)
        while left:
            try:
                _select(self.db, left, where, 'ORDER BY "start" DESC LIMIT ?', (limit,))
                return _flows(self.db.fetchall(), where)
            except duckdb.InterruptException:
                raise
            except duckdb.Error:
                bad = damaged([source for source in left if isinstance(source, Path)])
                if not bad:
                    raise
                answer.skipped += bad
                left = [source for source in left if source not in bad]
        return []


def read_flows(
    segments: Sequence[Segment], live: pa.Table | None, where: Sequence[Where], limit: int
) -> Answer:
    """Return the newest flows of an archive in clear, in one go."""
    query = FlowQuery()
    try:
        return query.newest(segments, live, {CLEAR: Shadow(where)}, limit)
    finally:
        query.close()


def sources(
    db: duckdb.DuckDBPyConnection, among: Sequence[Path | pa.Table], where: Conditions, shown: str
) -> tuple[str, list[object]]:
    """Return SQL for the rows of files and tables that meet their day's conditions.

    `shown` are their columns; `day` is put after them, CLEAR where addresses are as they are.
    """
    parts: list[str] = []
    parameters: list[object] = []
    for live in (one for one in among if not isinstance(one, Path)):
        db.register("live", live)
        for one in where[CLEAR].where:
            parts.append(f"SELECT {shown}, '' AS day FROM live WHERE {one.sql}")  # noqa: S608 - ours
            parameters += one.parameters
    files = [(_day(path, where), str(path)) for path in among if isinstance(path, Path)]
    for day, paths in groupby(sorted(files), key=lambda pair: pair[0]):
        names = [path for _, path in paths]
        if where[day].hosts:
            rows, names = _picked(names, where[day].hosts)
            for one in where[day].where if rows is not None else ():
                db.register(f"picked_{day}", rows)
                parts.append(f'SELECT {shown}, ? AS day FROM "picked_{day}" WHERE {one.sql}')  # noqa: S608 - ours
                parameters += [day, *one.parameters]
        for one in where[day].where if names else ():
            # hive_partitioning off: site and date are not shown, and cost a string a row.
            files_sql = "read_parquet(?, hive_partitioning = false, union_by_name = true)"
            parts.append(f"SELECT {shown}, ? AS day FROM {files_sql} WHERE {one.sql}")  # noqa: S608 - ours
            parameters += [day, names, *one.parameters]
    nothing = f"SELECT {shown}, '' AS day FROM nothing WHERE false"  # noqa: S608 - ours
    if not parts:
        db.register("nothing", table(Columns.of([]), Names((), (), {})))
    return " UNION ALL ".join(parts) or nothing, parameters


def _picked(
    paths: Sequence[str], hosts: Sequence[tuple[int, int]]
) -> tuple[pa.Table | None, list[str]]:
    """Return the rows of segments that have one of the addresses, and the segments to read whole.

    Those are the segments without an index, and the damaged, which DuckDB will name.
    """
    import pyarrow as pa

    def one(path: str) -> pa.Table | str | None:
        try:
            return pick(Path(path), hosts)
        except (OSError, ValueError):
            return path

    with ThreadPoolExecutor(_PICKERS) as pool:
        answers = list(pool.map(one, paths))
    some = [answer for answer in answers if isinstance(answer, pa.Table)]
    whole = [answer for answer in answers if isinstance(answer, str)]
    found = pa.concat_tables(some, promote_options="permissive") if some else None
    return found, whole


def _day(path: Path, where: Conditions) -> str:
    day = path.parent.name.removeprefix("date=")
    return day if day in where else CLEAR


def _select(
    db: duckdb.DuckDBPyConnection, among: Sequence[Path | pa.Table], where: Conditions, end: str,
    more: Sequence[object],
) -> None:  # fmt: skip
    import duckdb

    shown = ", ".join(_SHOWN)
    sql, parameters = sources(db, among, where, shown)
    try:
        db.execute(f"{sql} {end}", [*parameters, *more])
    except duckdb.BinderException:  # none of them has the columns of _NAT
        sql, parameters = sources(db, among, where, shown.replace(_NAT, _NO_NAT))
        db.execute(f"{sql} {end}", [*parameters, *more])


def _flows(rows: Sequence[tuple[Any, ...]], where: Conditions) -> list[dict[str, Any]]:
    found = [dict(zip(_NAMES, row, strict=True)) for row in rows]
    for side in ("orig", "resp"):
        _read_addresses(found, side, where)
    flows = [_flow(row, where) for row in found]
    for flow, name in zip(flows, community_ids_of(flows), strict=True):
        flow["community_id"] = name
    return flows


def _read_addresses(rows: Sequence[dict[str, Any]], side: str, where: Conditions) -> None:
    """Put the text of an end's address in place of its halves, made true day by day."""
    hi = np.array([row.pop(f"{side}_hi") for row in rows], np.uint64)
    lo = np.array([row.pop(f"{side}_lo") for row in rows], np.uint64)
    days = np.array([row["day"] for row in rows], str)
    for day in set(days.tolist()) - {CLEAR}:
        if names := where[day].names:
            mine = np.flatnonzero(days == day)
            hi[mine], lo[mine] = names.addresses(hi[mine], lo[mine], reverse=True)
    for row, address in zip(rows, address_texts(hi, lo), strict=True):
        row[side] = address


def damaged(files: Sequence[Path]) -> list[Path]:
    """Return the files that can't be read."""
    import pyarrow.parquet as pq

    bad = []
    for file in files:
        try:
            pq.read_table(file, columns=["start"])
        except (OSError, ValueError, KeyError):  # ArrowInvalid is a ValueError
            bad.append(file)
    return bad


def _flow(row: dict[str, Any], where: Conditions) -> dict[str, Any]:
    """Return a flow as people and programs read it; empty names are left out."""
    day = row.pop("day")
    icmp = row.pop("icmp_type"), row.pop("icmp_code")
    nat = row.pop("nat_hi"), row.pop("nat_lo"), row.pop("nat_port")
    flow = {**row, "start": row["start"] / 1e6, "end": row["end"] / 1e6}
    number = protocol_number(row["proto"])
    if number in {1, 58}:
        flow["icmp_type"], flow["icmp_code"] = icmp
    if any(nat):
        flow["nat"], flow["nat_port"] = address_text(*nat[:2]), nat[2]
    if day and where[day].names is None:
        flow["anonymous"] = True
    return flow
