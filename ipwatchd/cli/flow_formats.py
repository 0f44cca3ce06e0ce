"""Flows as text and tables: JSON lines, CSV, Zeek's conn.log, Parquet. Whole columns at a time."""

from __future__ import annotations

import hashlib
import socket
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from ipwatchd.cli.row_formats import cell
from ipwatchd.records.address import address_texts, is_v4
from ipwatchd.records.community import community_ids
from ipwatchd.records.flow import SERVICES, STATES, protocol_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["COLUMNS", "FORMATS", "FlowLine", "FlowWriter", "columns", "zeek_head", "zeek_line"]

_ICMP: Final = (1, 58)
_ROWS: Final = 2048
"""Flows rendered at once: as many as stay in the processor's cache."""
_PROTOCOLS: Final = tuple(protocol_name(number) for number in range(256))


class FlowLine(msgspec.Struct, gc=False):
    """One flow as a JSON object; times are epoch seconds, bytes are IP-layer bytes.

    `iface` is empty where the capture names no interface. ICMP flows have type and code of the
    originator's first packet; `partial` is there, and true, on the record of a long flow that goes
    on; `nat` and `nat_port` are what the far side saw where the box translated.
    """

    start: float
    end: float
    proto: str
    orig: str
    orig_port: int
    resp: str
    resp_port: int
    orig_packets: int
    orig_bytes: int
    resp_packets: int
    resp_bytes: int
    state: str
    service: str
    community_id: str
    vlan: int
    iface: str
    icmp_type: int | UnsetType = UNSET
    icmp_code: int | UnsetType = UNSET
    partial: bool | UnsetType = UNSET
    nat: str | UnsetType = UNSET
    nat_port: int | UnsetType = UNSET


COLUMNS: Final = FlowLine.__struct_fields__


def columns(flows: NDArray[np.void], interfaces: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Return flows (dtype FLOW) as lists by column name, in the order of COLUMNS."""
    icmp = np.isin(flows["proto"], _ICMP).tolist()
    names = dict(enumerate(interfaces))
    translated = ((flows["nat_hi"] | flows["nat_lo"]) != 0).tolist()
    nat = zip(
        _addresses(flows["nat_hi"], flows["nat_lo"]), flows["nat_port"].tolist(), translated,
        strict=True,
    )  # fmt: skip
    nats = [(address, port) if mine else (UNSET, UNSET) for address, port, mine in nat]
    found: dict[str, list[Any]] = {
        "start": (flows["start"] / 1e9).tolist(),
        "end": (flows["end"] / 1e9).tolist(),
        "proto": [_PROTOCOLS[number] for number in flows["proto"].tolist()],
        "orig": _addresses(flows["orig_hi"], flows["orig_lo"]),
        "resp": _addresses(flows["resp_hi"], flows["resp_lo"]),
        "state": [STATES[state] for state in flows["state"].tolist()],
        "service": [SERVICES[service] for service in flows["service"].tolist()],
        "community_id": community_ids(flows),
        "iface": [names.get(iface, "") for iface in flows["iface"].tolist()],
        "partial": [True if partial else UNSET for partial in flows["partial"].tolist()],
        "nat": [address for address, _ in nats],
        "nat_port": [port for _, port in nats],
    }
    for name in ("icmp_type", "icmp_code"):
        pairs = zip(flows[name].tolist(), icmp, strict=True)
        found[name] = [value if mine else UNSET for value, mine in pairs]
    return {name: found[name] if name in found else flows[name].tolist() for name in COLUMNS}


def _addresses(hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> list[str]:
    """Return addresses as text; IPv4, the mass of them, without an object for each."""
    if not is_v4(hi, lo).all():
        return address_texts(hi, lo)
    octets = lo.astype(">u4").tobytes()
    return [socket.inet_ntoa(octets[at : at + 4]) for at in range(0, len(octets), 4)]


class FlowWriter(Protocol):
    """Writes batches of flows to a stream, and what must stand at its end."""

    def write(self, flows: NDArray[np.void]) -> None:
        """Write some flows."""

    def close(self) -> None:
        """Write what ends the file; the stream stays open."""


class _JsonLines:
    def __init__(self, out: IO[bytes], interfaces: Sequence[str] = ()) -> None:
        self._interfaces = interfaces
        self._out = out
        self._encoder = msgspec.json.Encoder()

    def write(self, flows: NDArray[np.void]) -> None:
        for first in range(0, len(flows), _ROWS):
            rows = zip(
                *columns(flows[first : first + _ROWS], self._interfaces).values(), strict=True
            )
            self._out.write(self._encoder.encode_lines([FlowLine(*row) for row in rows]))

    def close(self) -> None:
        """A list of lines has no end."""


class _Csv:
    def __init__(self, out: IO[bytes], interfaces: Sequence[str] = ()) -> None:
        self._interfaces = interfaces
        self._out = out
        out.write((",".join(COLUMNS) + "\n").encode("ascii"))

    def write(self, flows: NDArray[np.void]) -> None:
        rows = zip(*columns(flows, self._interfaces).values(), strict=True)
        # Of the values only an interface's name may hold a comma, a quote or a formula.
        lines = (",".join(_field(one) for one in row) for row in rows)
        self._out.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        """A table of lines has no end."""


def _field(value: Any) -> str:
    text = "" if value is UNSET else str(cell(value))
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


_ZEEK: Final = (
    ("ts", "time"), ("uid", "string"), ("id.orig_h", "addr"), ("id.orig_p", "port"),
    ("id.resp_h", "addr"), ("id.resp_p", "port"), ("proto", "enum"), ("service", "string"),
    ("duration", "interval"), ("orig_bytes", "count"), ("resp_bytes", "count"),
    ("conn_state", "string"), ("orig_pkts", "count"), ("orig_ip_bytes", "count"),
    ("resp_pkts", "count"), ("resp_ip_bytes", "count"), ("vlan", "int"),
    ("community_id", "string"),
)  # fmt: skip


class _Zeek:
    """conn.log in Zeek's tab-separated form; payload bytes are not counted and stay unset."""

    def __init__(self, out: IO[bytes], interfaces: Sequence[str] = ()) -> None:
        self._interfaces = interfaces
        self._out = out
        self._opened = ""

    def _open(self, start: float) -> None:
        self._opened = datetime.fromtimestamp(start, UTC).strftime("%Y-%m-%d-%H-%M-%S")
        self._out.write(zeek_head(self._opened).encode("ascii"))

    def write(self, flows: NDArray[np.void]) -> None:
        if not self._opened:
            self._open(float(flows["start"][0]) / 1e9)
        names = columns(flows)
        lines = [zeek_line(dict(zip(names, row, strict=True)))
                 for row in zip(*names.values(), strict=True)]  # fmt: skip
        self._out.write("".join(lines).encode("ascii"))

    def close(self) -> None:
        if not self._opened:
            self._open(0.0)
        self._out.write(f"#close\t{self._opened}\n".encode("ascii"))


def zeek_head(opened: str) -> str:
    """Return the lines that begin a conn.log."""
    return (
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"
        f"#path\tconn\n#open\t{opened}\n"
        "#fields\t" + "\t".join(name for name, _ in _ZEEK) + "\n"
        "#types\t" + "\t".join(kind for _, kind in _ZEEK) + "\n"
    )


def zeek_line(flow: dict[str, Any]) -> str:
    """Return the line of a flow: an object with the keys of FlowLine."""
    proto = flow["proto"]
    icmp = proto in {"icmp", "icmp6"}
    seed = f"{flow['community_id']} {flow['start']:.6f} {flow.get('partial', UNSET)}"
    uid = "C" + hashlib.blake2s(seed.encode("ascii"), digest_size=8).hexdigest()
    known = proto if proto in {"tcp", "udp"} else "icmp" if icmp else "unknown_transport"
    values = (
        f"{flow['start']:.6f}", uid,
        flow["orig"], flow["icmp_type"] if icmp else flow["orig_port"],
        flow["resp"], flow["icmp_code"] if icmp else flow["resp_port"],
        known, flow["service"] or "-", f"{max(flow['end'] - flow['start'], 0.0):.6f}", "-", "-",
        flow["state"], flow["orig_packets"], flow["orig_bytes"], flow["resp_packets"],
        flow["resp_bytes"], flow["vlan"] or "-", flow["community_id"],
    )  # fmt: skip
    return "\t".join(map(str, values)) + "\n"


class _Parquet:
    def __init__(self, out: IO[bytes], interfaces: Sequence[str] = ()) -> None:
        self._interfaces = interfaces
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {
            str: pa.string(), int: pa.uint64(), float: pa.float64(),
            bool: pa.bool_(),
        }  # fmt: skip
        hints = msgspec.structs.fields(FlowLine)
        fields = [(field.name, kinds[_plain(field.type)]) for field in hints]
        self._arrow = pa
        self._schema = pa.schema(fields)
        self._writer = pq.ParquetWriter(out, self._schema, compression="zstd")

    def write(self, flows: NDArray[np.void]) -> None:
        table = {
            name: [None if value is UNSET else value for value in values]
            for name, values in columns(flows, self._interfaces).items()
        }
        self._writer.write_batch(self._arrow.record_batch(table, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _plain(kind: Any) -> type:
    """Return the type of a field without its UNSET."""
    for one in getattr(kind, "__args__", (kind,)):
        if one is not UnsetType:
            found: type = one
            return found
    raise TypeError(f"{kind} is no column's type")


FORMATS: Final[dict[str, Callable[[IO[bytes], Sequence[str]], FlowWriter]]] = {
    "jsonl": _JsonLines,
    "csv": _Csv,
    "parquet": _Parquet,
    "zeek": _Zeek,
}
