"""Flows out of the archive and out of memory, through DuckDB, which is imported when it is asked.

A damaged or missing segment is left out, named in `skipped`, and the answer is of the rest.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Final

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
from ipwatchd.records.community import community_id
from ipwatchd.records.flow import protocol_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import duckdb
    import pyarrow as pa

    from ipwatchd.history.sql import Matcher, Where

__all__ = ["FLOWS", "Answer", "read_flows"]

_THREADS: Final = 2
_MEMORY: Final = "512MB"
_SHOWN: Final = (
    'epoch_us("start") AS "start", epoch_us("end") AS "end"', "proto", "orig_hi", "orig_lo",
    "orig_port", "resp_hi", "resp_lo", "resp_port", "orig_packets", "orig_bytes", "resp_packets",
    "resp_bytes", "state", "service", "vlan", "iface", "direction", "orig_zone", "resp_zone",
    "orig_country", "resp_country", "icmp_type", "icmp_code",
)  # fmt: skip

_BOTH: Final = halves("orig", "resp")
FLOWS: Final[Mapping[str, Matcher]] = {
    "addr": _BOTH, "agent": _BOTH, "list": _BOTH, "name": _BOTH, "src": halves("orig"),
    "dst": halves("resp"), "port": number("resp_port"), "sport": number("orig_port"),
    "vlan": number("vlan"), "proto": protocol("proto"), "service": word("service"),
    "state": word("state"), "direction": word("direction"), "zone": text("orig_zone", "resp_zone"),
    "country": word("orig_country", "resp_country"), "asn": number("orig_asn", "resp_asn"),
    "since": since_flow('"end"'), "until": until_flow('"start"'),
}  # fmt: skip


class Answer:
    """Flows in DESIGN 6's JSON shape, newest first, and the segments that had to be skipped."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.skipped: list[Path] = []


def read_flows(files: Sequence[Path], live: pa.Table | None, where: Where, limit: int) -> Answer:
    """Return the newest `limit` flows of segments and of the table in memory (archive.table)."""
    import duckdb

    answer = Answer()
    files = list(files)
    with duckdb.connect(config={"threads": _THREADS, "memory_limit": _MEMORY}) as db:
        if live is not None:
            db.register("live", live)
        while files or live is not None:
            try:
                answer.rows = _ask(db, files, where, limit, live=live is not None)
            except duckdb.Error:
                bad = _damaged(files)
                if not bad:
                    raise
                answer.skipped += bad
                files = [file for file in files if file not in bad]
            else:
                break
    return answer


def _ask(
    db: duckdb.DuckDBPyConnection, files: Sequence[Path], where: Where, limit: int, *, live: bool
) -> list[dict[str, Any]]:
    shown = ", ".join(_SHOWN)
    sources, parameters = [], []
    if files:
        # hive_partitioning off: site and date are not shown, and cost a string a row.
        files_sql = "read_parquet(?, hive_partitioning = false)"
        sources.append(f"SELECT {shown} FROM {files_sql} WHERE {where.sql}")  # noqa: S608 - ours
        parameters += [[str(file) for file in files], *where.parameters]
    if live:
        sources.append(f"SELECT {shown} FROM live WHERE {where.sql}")  # noqa: S608 - ours
        parameters += where.parameters
    query = " UNION ALL ".join((*sources,)) + ' ORDER BY "start" DESC LIMIT ?'
    cursor = db.execute(query, [*parameters, limit])
    names = [column[0] for column in cursor.description or ()]
    return [_flow(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


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
    flow["community_id"] = community_id(
        ipaddress.ip_address(orig), row["orig_port"], ipaddress.ip_address(resp), row["resp_port"],
        number, icmp,
    )  # fmt: skip
    return flow
