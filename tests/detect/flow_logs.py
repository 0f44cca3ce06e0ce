"""Flows from rows, and from what other sensors wrote: Zeek's conn.log and Argus' binetflow."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ipwatchd.records.address import split
from ipwatchd.records.flow import SERVICES, STATES, empty_flows, protocol_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["flow_batch", "flow_log"]

# Argus' states as Zeek has them: REQ is a SYN without an answer, INT a datagram without one.
ARGUS = {"REQ": "S0", "INT": "S0", "RST": "REJ", "FIN": "SF", "CON": "SF", "ACC": "S1"}
FLAGS = {"S": 2, "F": 1, "R": 4, "A": 16, "D": 24, "H": 18}


def flow_batch(rows: Iterable[dict[str, Any]]) -> NDArray[np.void]:
    """Return flows; `orig` and `resp` are addresses as text, times are seconds."""
    given = list(rows)
    flows = empty_flows(len(given))
    for flow, row in zip(flows, given, strict=True):
        values = {
            "proto": 6, "state": "SF", "orig_packets": 10, "resp_packets": 10, "orig_bytes": 2000,
            "resp_bytes": 4000, "orig_flags": 27, "resp_flags": 27, "service": "", "start": 1000.0,
        } | row  # fmt: skip
        for side in ("orig", "resp"):
            flow[f"{side}_hi"], flow[f"{side}_lo"] = split(values.pop(side))
        start = values.pop("start")
        flow["start"] = round(start * 1e9)
        flow["end"] = round(values.pop("end", start) * 1e9)
        flow["state"] = STATES.index(values.pop("state"))
        flow["service"] = SERVICES.index(values.pop("service"))
        for name, value in values.items():
            flow[name] = value
    return flows


def flow_log(path: Path) -> NDArray[np.void]:
    """Return the flows of Zeek's conn.log (JSON lines or TSV) or an Argus file."""
    text = path.read_text()
    if path.suffix == ".binetflow":
        return flow_batch(_argus(text))
    lines = text.splitlines()
    if text.startswith("{"):
        return flow_batch(_zeek(json.loads(line) for line in lines))
    [names] = [line.split("\t")[1:] for line in lines if line.startswith("#fields\t")]
    rows = (line.split("\t") for line in lines if not line.lstrip().startswith("#"))
    return flow_batch(_zeek(dict(zip(names, row, strict=False)) for row in rows))


def _zeek(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for record in records:
        start = float(record["ts"])
        history = str(record.get("history", ""))
        yield {
            "orig": record["id.orig_h"], "orig_port": int(record["id.orig_p"]),
            "resp": record["id.resp_h"], "resp_port": int(record["id.resp_p"]),
            "proto": protocol_number(record["proto"].replace("icmp6", "icmp")),
            "state": record["conn_state"], "start": start,
            "end": start + _number(record, "duration"),
            "orig_packets": int(_number(record, "orig_pkts")),
            "resp_packets": int(_number(record, "resp_pkts")),
            "orig_bytes": int(_number(record, "orig_ip_bytes")),
            "resp_bytes": int(_number(record, "resp_ip_bytes")),
            "orig_flags": _flags(history, upper=True), "resp_flags": _flags(history, upper=False),
        }  # fmt: skip


def _number(record: dict[str, Any], name: str) -> float:
    value = record.get(name, "-")
    return 0.0 if value == "-" else float(value)


def _flags(history: str, *, upper: bool) -> int:
    found = 0
    for letter in history:
        if letter.isupper() == upper:
            found |= FLAGS.get(letter.upper(), 0)
    return found


def _argus(text: str) -> Iterator[dict[str, Any]]:
    for row in csv.DictReader(text.splitlines()):
        if row["Proto"] not in {"tcp", "udp"}:
            continue
        start = datetime.strptime(row["StartTime"], "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC)
        state = ARGUS[row["State"]]
        packets, sent = int(row["TotPkts"]), int(row["SrcBytes"])
        answered = 0 if state == "S0" else packets // 2
        yield {
            "orig": row["SrcAddr"], "resp": row["DstAddr"], "proto": protocol_number(row["Proto"]),
            "orig_port": int(row["Sport"]), "resp_port": int(row["Dport"]), "state": state,
            "start": start.timestamp(), "end": start.timestamp() + float(row["Dur"]),
            "orig_packets": packets - answered, "resp_packets": answered, "orig_bytes": sent,
            "resp_bytes": int(row["TotBytes"]) - sent, "orig_flags": 2 if state == "S0" else 27,
            "resp_flags": 0 if state == "S0" else 27,
        }  # fmt: skip
