"""Flows out of the archive and out of memory, through DuckDB, which is imported when it is asked.

A damaged or missing segment is left out, named in `skipped`, and the answer is of the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ipwatchd.history.sql import (
    halves,
    number,
    protocol,
    since_flow,
    text,
    until_flow,
    word,
)
from ipwatchd.records.address import address_text
from ipwatchd.records.community import community_ids_of
from ipwatchd.records.flow import protocol_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb
    import pyarrow as pa

    from ipwatchd.history.sql import Matcher, Where

__all__ = ["FLOWS", "Answer", "FlowQuery", "FlowReader", "Segment", "read_flows"]

_THREADS: Final = 2
_MEMORY: Final = "512MB"
_SHOWN: Final = (
    'epoch_us("start") AS "start", epoch_us("end") AS "end"', "proto", "orig_hi", "orig_lo",
    "orig_port", "resp_hi", "resp_lo", "resp_port", "orig_packets", "orig_bytes", "resp_packets",
    "resp_bytes", "state", "service", "vlan", "iface", "direction", "orig_zone", "resp_zone",
    "orig_country", "resp_country", "icmp_type", "icmp_code",
)  # fmt: skip

_NAMES: Final = tuple(column.rpartition(" ")[2].strip('"') for column in (
    part for column in _SHOWN for part in column.split(", ")
))  # fmt: skip
# Most questions are about the last minutes: few segments are read first, then more at a time.
_FIRST_STEP: Final = 16
_MOST_AT_ONCE: Final = 1024

_BOTH: Final = halves("orig", "resp")
FLOWS: Final[Mapping[str, Matcher]] = {
    "addr": _BOTH, "agent": _BOTH, "list": _BOTH, "name": _BOTH, "src": halves("orig"),
    "dst": halves("resp"), "port": number("resp_port"), "sport": number("orig_port"),
    "vlan": number("vlan"), "proto": protocol("proto"), "service": word("service"),
    "state": word("state"), "direction": word("direction"), "zone": text("orig_zone", "resp_zone"),
    "country": word("orig_country", "resp_country"), "asn": number("orig_asn", "resp_asn"),
    "since": since_flow('"end"'), "until": until_flow('"start"'),
}  # fmt: skip


class Segment(NamedTuple):
    """A sealed file and the latest end of its flows (epoch seconds)."""

    path: Path
    last: float


class Answer:
    """Flows in DESIGN 6's JSON shape, newest first, and the segments that had to be skipped."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.skipped: list[Path] = []


class _Running:
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


class FlowReader(_Running):
    """Reads segments one by one, each in order of start, a batch at a time."""

    def __init__(self, where: Sequence[Where]) -> None:
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
            return _flows(self.db.fetchmany(rows))
        except duckdb.Error:
            if isinstance(source, Path) and not _damaged([source]):
                raise
            return None


class FlowQuery(_Running):
    """The newest flows of segments and of the table in memory (archive.table)."""

    def newest(
        self, segments: Sequence[Segment], live: pa.Table | None, where: Sequence[Where], limit: int
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
        self, sources: Sequence[Path | pa.Table], where: Sequence[Where], limit: int, answer: Answer
    ) -> list[dict[str, Any]]:
        import duckdb

        left = list(sources)
        while left:
            try:
                _select(self.db, left, where, 'ORDER BY "start" DESC LIMIT ?', (limit,))
                return _flows(self.db.fetchall())
            except duckdb.InterruptException:
                raise
            except duckdb.Error:
                bad = _damaged([source for source in left if isinstance(source, Path)])
                if not bad:
                    raise
                answer.skipped += bad
                left = [source for source in left if source not in bad]
        return []


def read_flows(
    segments: Sequence[Segment], live: pa.Table | None, where: Sequence[Where], limit: int
) -> Answer:
    """Return the newest flows, in one go."""
    query = FlowQuery()
    try:
        return query.newest(segments, live, where, limit)
    finally:
        query.close()


def _select(
    db: duckdb.DuckDBPyConnection, sources: Sequence[Path | pa.Table], where: Sequence[Where],
    end: str, more: Sequence[object],
) -> None:  # fmt: skip
    shown = ", ".join(_SHOWN)
    parts: list[str] = []
    parameters: list[object] = []
    files = [str(source) for source in sources if isinstance(source, Path)]
    tables = [source for source in sources if not isinstance(source, Path)]
    for table in tables:
        db.register("live", table)
    for one in where:
        if files:
            # hive_partitioning off: site and date are not shown, and cost a string a row.
            files_sql = "read_parquet(?, hive_partitioning = false)"
            parts.append(f"SELECT {shown} FROM {files_sql} WHERE {one.sql}")  # noqa: S608 - ours
            parameters += [files, *one.parameters]
        if tables:
            parts.append(f"SELECT {shown} FROM live WHERE {one.sql}")  # noqa: S608 - ours
            parameters += one.parameters
    db.execute(f"{' UNION ALL '.join(parts)} {end}", [*parameters, *more])


def _flows(rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
    flows = [_flow(dict(zip(_NAMES, row, strict=True))) for row in rows]
    for flow, name in zip(flows, community_ids_of(flows), strict=True):
        flow["community_id"] = name
    return flows


def _damaged(files: Sequence[Path]) -> list[Path]:
    import pyarrow.parquet as pq

    bad = []
    for file in files:
        try:
            pq.read_table(file, columns=["start"])
        except (OSError, ValueError, KeyError):  # ArrowInvalid is a ValueError
            bad.append(file)
    return bad


def _flow(row: dict[str, Any]) -> dict[str, Any]:
    """Return a flow as people and programs read it; empty names are left out."""
    orig = address_text(row.pop("orig_hi"), row.pop("orig_lo"))
    resp = address_text(row.pop("resp_hi"), row.pop("resp_lo"))
    icmp = row.pop("icmp_type"), row.pop("icmp_code")
    flow = {**row, "orig": orig, "resp": resp}
    flow["start"], flow["end"] = row["start"] / 1e6, row["end"] / 1e6
    number = protocol_number(row["proto"])
    if number in {1, 58}:
        flow["icmp_type"], flow["icmp_code"] = icmp
    return flow
