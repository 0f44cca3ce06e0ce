"""Rows of the API as files: CSV, JSON lines, Parquet; flows also as conn.log and OCSF."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["FORMATS", "RowWriter", "cell", "ocsf", "writer"]

Row = dict[str, Any]
_EVENT: Final = ("ts", "kind", "orig", "orig_port", "resp", "resp_port")
_ACTIVITY: Final = ("ts", "kind", "address", "text")
_FORMULA: Final = frozenset("=+-@\t\r")
_MIXED: Final = {"events": _EVENT, "activity": _ACTIVITY}
"""Streams whose rows differ in their keys: in a table the rest of each is JSON under `fields`."""


class RowWriter(Protocol):
    """Writes batches of rows to a stream, and what must stand at its end."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write some rows."""

    def close(self) -> None:
        """Write what ends the file; the stream stays open."""


def writer(form: str, what: str, out: IO[bytes]) -> RowWriter:
    """Return the writer of a format; ValueError where it can't hold such rows."""
    if form in {"zeek", "ocsf"} and what != "flows":
        raise ValueError(f"{form} holds flows, no {what}: use jsonl, csv or parquet")
    return FORMATS[form](out, _MIXED.get(what, ()))


def _flat(row: Row, fixed: Sequence[str]) -> Row:
    """Return a row with the fixed keys, the others together as JSON."""
    if not fixed:
        return {key: _scalar(value) for key, value in row.items()}
    rest = {key: value for key, value in row.items() if key not in fixed}
    return {
        **{key: row.get(key, 0 if key.endswith("port") else "") for key in fixed},
        "fields": msgspec.json.encode(rest).decode(),
    }


def _scalar(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else value


class _JsonLines:
    def __init__(self, out: IO[bytes], fixed: Sequence[str]) -> None:
        del fixed
        self._out = out
        self._encoder = msgspec.json.Encoder()

    def write(self, rows: Sequence[Row]) -> None:
        self._out.write(self._encoder.encode_lines(rows))

    def close(self) -> None:
        """A list of lines has no end."""


class _Csv:
    def __init__(self, out: IO[bytes], fixed: Sequence[str]) -> None:
        self._out = out
        self._fixed = fixed
        self._names: list[str] = []

    def write(self, rows: Sequence[Row]) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        for row in rows:
            flat = _flat(row, self._fixed)
            if not self._names:
                self._names = list(flat)
                table.writerow(self._names)
            table.writerow([cell(flat.get(name, "")) for name in self._names])
        self._out.write(text.getvalue().encode("utf-8", "replace"))

    def close(self) -> None:
        """A table of lines has no end."""


def cell(value: Any) -> Any:
    """Disarm what a spreadsheet would run as a formula: names come from the wire."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


class _Parquet:
    """Columns and their types are those of the first batch; later rows are made to fit."""

    def __init__(self, out: IO[bytes], fixed: Sequence[str]) -> None:
        self._out = out
        self._fixed = fixed
        self._kinds: dict[str, type] = {}
        self._writer: Any = None

    def write(self, rows: Sequence[Row]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = [_flat(row, self._fixed) for row in rows]
        if self._writer is None:
            self._kinds = _kinds(flat)
            arrow = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
            schema = pa.schema([(name, arrow[kind]) for name, kind in self._kinds.items()])
            self._writer = pq.ParquetWriter(self._out, schema, compression="zstd")
        columns = {
            name: [None if row.get(name) is None else kind(row[name]) for row in flat]
            for name, kind in self._kinds.items()
        }
        self._writer.write_table(pa.table(columns, schema=self._writer.schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _kinds(rows: Sequence[Row]) -> dict[str, type]:
    """Return the type of each key: the widest that the rows have."""
    found: dict[str, type] = {}
    for row in rows:
        for key, value in row.items():
            kind = type(value) if isinstance(value, bool | int | float) else str
            if found.setdefault(key, kind) is not kind:
                found[key] = float if {found[key], kind} == {int, float} else str
    return found


class _Zeek:
    def __init__(self, out: IO[bytes], fixed: Sequence[str]) -> None:
        del fixed
        self._out = out
        self._opened = ""

    def write(self, rows: Sequence[Row]) -> None:
        from ipwatchd.cli.flow_formats import zeek_line

        self._begin(float(rows[0]["start"]))
        self._out.write("".join(map(zeek_line, rows)).encode("ascii"))

    def _begin(self, start: float) -> None:
        from ipwatchd.cli.flow_formats import zeek_head

        if not self._opened:
            self._opened = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d-%H-%M-%S")
            self._out.write(zeek_head(self._opened).encode("ascii"))

    def close(self) -> None:
        self._begin(0.0)
        self._out.write(f"#close\t{self._opened}\n".encode("ascii"))


_DIRECTION: Final = {"incoming": 1, "outgoing": 2, "internal": 3}


def ocsf(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow as an OCSF 1.4 Network Activity event (class 4001), activity Traffic.

    1.4 is the first version whose network_connection_info has community_uid.
    """
    from ipwatchd.records.flow import protocol_number

    start, end = round(flow["start"] * 1000), round(flow["end"] * 1000)
    octets, packets = (
        (flow[f"orig_{what}"], flow[f"resp_{what}"]) for what in ("bytes", "packets")
    )
    return {
        "activity_id": 6, "category_uid": 4, "class_uid": 4001, "type_uid": 400106,
        "severity_id": 1, "time": end, "start_time": start, "end_time": end,
        "duration": max(end - start, 0), "app_name": flow["service"] or "unknown",
        "metadata": {
            "version": "1.4.0", "product": {"name": "ipwatchd", "vendor_name": "ipwatchd"},
        },
        "src_endpoint": _endpoint(flow, "orig"), "dst_endpoint": _endpoint(flow, "resp"),
        "connection_info": {
            "protocol_num": protocol_number(flow["proto"]), "protocol_name": flow["proto"],
            "protocol_ver_id": 6 if ":" in flow["orig"] else 4,
            "direction_id": _DIRECTION.get(flow.get("direction", ""), 0),
            "community_uid": flow["community_id"],
        },
        "traffic": {
            "bytes_out": octets[0], "bytes_in": octets[1], "bytes": sum(octets),
            "packets_out": packets[0], "packets_in": packets[1], "packets": sum(packets),
        },
        "unmapped": {"conn_state": flow["state"], "vlan": flow.get("vlan", 0)},
    }  # fmt: skip


def _endpoint(flow: Mapping[str, Any], side: str) -> dict[str, Any]:
    end: dict[str, Any] = {"ip": flow[side], "port": flow[f"{side}_port"]}
    if zone := flow.get(f"{side}_zone"):
        end["zone"] = zone
    if country := flow.get(f"{side}_country"):
        end["location"] = {"country": country}
    return end


class _Ocsf(_JsonLines):
    def write(self, rows: Sequence[Row]) -> None:
        super().write([ocsf(row) for row in rows])


FORMATS: Final[dict[str, Callable[[IO[bytes], Sequence[str]], RowWriter]]] = {
    "jsonl": _JsonLines,
    "csv": _Csv,
    "parquet": _Parquet,
    "zeek": _Zeek,
    "ocsf": _Ocsf,
}
