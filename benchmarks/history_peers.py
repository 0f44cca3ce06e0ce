"""The same flows in other tools' stores: nfcapd files, Zeek-style gzip logs, plain SQLite.

nfdump 1.7.1 (Debian) has no zstd: its uncompressed file through zstd level 3 stands for it.
"""

from __future__ import annotations

import gzip
import socket
import sqlite3
import struct
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from ipwatchd.cli.flow_formats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["gzip_logs", "nfcapd", "nfcapd_month", "nfdump_month", "plain", "zgrep"]

# RFC 3954, 8: field types and lengths of one template; OUT_ fields make it a bidirectional record.
_FIELDS: Final = (
    (8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (1, 4), (2, 4), (23, 4), (24, 4), (22, 4),
    (21, 4),
)  # fmt: skip
_RECORD: Final = np.dtype([
    ("src", ">u4"), ("dst", ">u4"), ("sport", ">u2"), ("dport", ">u2"), ("proto", "u1"),
    ("flags", "u1"), ("in_bytes", ">u4"), ("in_packets", ">u4"), ("out_bytes", ">u4"),
    ("out_packets", ">u4"), ("first", ">u4"), ("last", ">u4"),
])  # fmt: skip
_A_PACKET: Final = 36
_PACKETS_A_SECOND: Final = 4_000


def _records(flows: NDArray[np.void], boot: int) -> NDArray[np.void]:
    out = np.empty(len(flows), _RECORD)
    for mine, theirs in (
        ("src", "orig_lo"), ("dst", "resp_lo"), ("sport", "orig_port"), ("dport", "resp_port"),
        ("proto", "proto"), ("flags", "orig_flags"), ("in_bytes", "orig_bytes"),
        ("in_packets", "orig_packets"), ("out_bytes", "resp_bytes"),
        ("out_packets", "resp_packets"),
    ):  # fmt: skip
        out[mine] = flows[theirs].astype(np.uint64) & np.uint64(0xFFFF_FFFF)
    out["first"], out["last"] = flows["start"] // 10**6 - boot, flows["end"] // 10**6 - boot
    return out


def _packets(flows: NDArray[np.void], second: int, boot: int, sequence: int) -> Iterable[bytes]:
    template = struct.pack(">HHHH", 0, 8 + 4 * len(_FIELDS), 256, len(_FIELDS))
    template += b"".join(struct.pack(">HH", *field) for field in _FIELDS)
    records = _records(flows, boot)
    for at in range(0, len(records), _A_PACKET):
        some = records[at : at + _A_PACKET].tobytes()
        some += bytes(-len(some) % 4)
        head = struct.pack(">HHIIII", 9, 1 + _A_PACKET, second * 1000 - boot, second, sequence, 1)
        sequence += 1
        yield head + template + struct.pack(">HH", 256, 4 + len(some)) + some


def nfcapd(folder: Path, batches: list[NDArray[np.void]], start: int) -> dict[str, Any]:
    """Send the flows to nfcapd as NetFlow v9 and return bytes a flow as it and nfdump wrote them."""  # noqa: E501 - one line says it
    folder.mkdir()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["nfcapd", "-b", "127.0.0.1", "-p", str(port), "-w", str(folder), "-t", "3600",
               "-B", "8000000"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        sent = 0
        for second, batch in enumerate(batches):
            for packet in _packets(batch, start + second, (start - 60) * 1000, sent):
                out.sendto(packet, ("127.0.0.1", port))
                sent += 1
                if sent % 40 == 0:
                    time.sleep(40 / _PACKETS_A_SECOND)
    time.sleep(1.0)
    process.terminate()
    process.wait()
    file = next(folder.glob("nfcapd.2*"))
    rows = sum(map(len, batches))
    said = subprocess.run(
        ["nfdump", "-r", str(file), "-I"], capture_output=True, text=True, check=True
    ).stdout
    stored = int(next(line for line in said.splitlines() if line.startswith("Flows:")).split()[1])
    sizes = {"stored": stored / rows, "uncompressed": file.stat().st_size / stored}
    for name, flag in (("lz4", "-y"), ("bz2", "-j")):
        made = folder / name
        subprocess.run(
            ["nfdump", "-r", str(file), "-w", str(made), flag], check=True, capture_output=True
        )
        sizes[name] = made.stat().st_size / stored
    data = file.read_bytes()
    packed = pa.Codec("zstd", compression_level=3).compress(data)
    sizes["zstd"] = len(packed) / stored
    return {"file": str(folder / "lz4"), "bytes_per_flow": sizes}


def nfcapd_month(folder: Path, batches: Iterable[NDArray[np.void]], start: int) -> None:
    """Have nfcapd write a month as LZ4 files; a batch is an hour's flows."""
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["nfcapd", "-b", "127.0.0.1", "-p", str(port), "-w", str(folder), "-t", "3600",
               "-y", "-B", "8000000"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        sent = 0
        for hour, batch in enumerate(batches):
            second = start + (hour + 1) * 3600
            for packet in _packets(batch, second, (start - 60) * 1000, sent):
                out.sendto(packet, ("127.0.0.1", port))
                sent += 1
                if sent % 80 == 0:
                    time.sleep(80 / (2 * _PACKETS_A_SECOND))
    time.sleep(2.0)
    process.terminate()
    process.wait()


def nfdump_month(folder: Path, address: str) -> dict[str, float]:
    """Return the seconds that nfdump takes for one address in all files, and the lines it gave."""
    before = time.perf_counter()
    shown = subprocess.run(
        ["nfdump", "-R", str(folder), "-o", "csv", f"ip {address}"], check=True,
        capture_output=True,
    ).stdout  # fmt: skip
    return {"seconds": time.perf_counter() - before, "rows": shown.count(b"\n")}


def gzip_logs(path: Path, batches: list[NDArray[np.void]]) -> dict[str, Any]:
    """Write the flows as one gzip conn.log."""
    before = time.process_time()
    with gzip.open(path, "wb", compresslevel=6) as out:
        sink = FORMATS["zeek"](out)  # type: ignore[arg-type]
        for batch in batches:
            sink.write(batch)
        sink.close()
    rows = sum(map(len, batches))
    return {
        "flows_per_cpu_second": rows / (time.process_time() - before),
        "bytes_per_flow": path.stat().st_size / rows,
    }


def zgrep(path: Path, address: str) -> float:
    """Return the seconds that zcat and grep take for one address."""
    before = time.perf_counter()
    command = f"zcat {path} | grep -Fwc {address}"
    subprocess.run(command, shell=True, check=False, capture_output=True)  # noqa: S602 - our own
    return time.perf_counter() - before


def plain(path: Path, batches: list[NDArray[np.void]]) -> dict[str, Any]:
    """Put the same flows into one SQLite table with two indexes."""
    db = sqlite3.connect(path)
    names = [name for name in batches[0].dtype.names or () if not name.startswith("nat")]
    db.execute(f"CREATE TABLE flow ({', '.join(names)})")
    db.execute("CREATE INDEX orig ON flow (orig_lo, start)")
    db.execute("CREATE INDEX resp ON flow (resp_lo, start)")
    before = time.process_time()
    marks = ", ".join("?" * len(names))
    for batch in batches:
        rows = zip(*(batch[name].tolist() for name in names), strict=True)
        db.executemany(f"INSERT INTO flow VALUES ({marks})", rows)  # noqa: S608 - our own columns
        db.commit()
    rate = sum(map(len, batches)) / (time.process_time() - before)
    db.close()
    return {
        "flows_per_cpu_second": rate,
        "bytes_per_flow": path.stat().st_size / sum(map(len, batches)),
    }
