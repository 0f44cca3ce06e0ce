"""`ipwatchd flows` and `events`: the same connections in every format."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from ipwatchd.cli.flow_formats import COLUMNS, FORMATS
from ipwatchd.cli.flows import run_events, run_flows
from ipwatchd.config import CaptureSettings
from ipwatchd.records.address import split
from ipwatchd.records.flow import empty_flows

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = CaptureSettings(flows=4096)


@pytest.fixture
def capture(shared: Path) -> Path:
    """Return a capture of a little of everything."""
    return shared / "pcap" / "flows" / "nDPI__teams.pcap"


def _lines(capture: Path, out: Path) -> list[dict[str, Any]]:
    assert run_flows([capture], SETTINGS, "jsonl", out) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_json(capture: Path, tmp_path: Path) -> None:
    """Every flow is an object with the documented fields; ICMP alone has type and code."""
    flows = _lines(capture, tmp_path / "x.jsonl")
    assert len(flows) > 50
    for flow in flows:
        extra = {"icmp_type", "icmp_code"} if flow["proto"] == "icmp" else set()
        seldom = {"icmp_type", "icmp_code", "partial", "nat", "nat_port"}
        assert set(flow) == (set(COLUMNS) - seldom) | extra
        assert flow["start"] <= flow["end"]
        assert flow["community_id"].startswith("1:")


def test_formats_agree(capture: Path, tmp_path: Path) -> None:
    """CSV and Parquet say what JSON says."""
    flows = _lines(capture, tmp_path / "x.jsonl")
    run_flows([capture], SETTINGS, "csv", tmp_path / "x.csv")
    run_flows([capture], SETTINGS, "parquet", tmp_path / "x.parquet")
    with (tmp_path / "x.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    table = pq.read_table(tmp_path / "x.parquet").to_pylist()
    for name in ("start", "orig", "resp_port", "orig_bytes", "state", "community_id"):
        wanted = [flow[name] for flow in flows]
        assert [row[name] for row in table] == wanted
        assert [row[name] for row in rows] == [str(value) for value in wanted]


def test_interface_and_translation(tmp_path: Path) -> None:
    """A flow names its interface, and what the far side saw of it where the box translated."""
    flows = empty_flows(2)
    flows["iface"] = (1, 7)
    flows["nat_hi"][0], flows["nat_lo"][0] = split("198.51.100.7")
    flows["nat_port"][0] = 40_001
    with (tmp_path / "x.jsonl").open("wb") as out:
        FORMATS["jsonl"](out, ("", 'a "b", c')).write(flows)
    first, second = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())
    assert (first["iface"], first["nat"], first["nat_port"]) == ('a "b", c', "198.51.100.7", 40_001)
    assert (second["iface"], "nat" in second, "nat_port" in second) == ("", False, False)
    with (tmp_path / "x.csv").open("wb") as out:
        FORMATS["csv"](out, ("", 'a "b", c')).write(flows)
    with (tmp_path / "x.csv").open(newline="") as lines:
        assert [row["iface"] for row in csv.DictReader(lines)] == ['a "b", c', ""]
    with (tmp_path / "x.csv").open("wb") as out:
        FORMATS["csv"](out, ("", "=1+1")).write(flows)
    with (tmp_path / "x.csv").open(newline="") as lines:
        assert [row["iface"] for row in csv.DictReader(lines)] == ["'=1+1", ""]


def test_zeek(capture: Path, tmp_path: Path) -> None:
    """conn.log names its fields and types, each line has as many values, each uid is its own."""
    out = tmp_path / "conn.log"
    run_flows([capture], SETTINGS, "zeek", out)
    lines = out.read_text().splitlines()
    fields = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    types = next(line for line in lines if line.startswith("#types")).split("\t")[1:]
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert lines[0] == "#separator \\x09"
    assert lines[-1].startswith("#close")
    assert len(fields) == len(types)
    assert {len(row) for row in rows} == {len(fields)}
    assert len({row[1] for row in rows}) == len(rows)


def test_events(capture: Path, tmp_path: Path) -> None:
    """Events are objects with time and kind."""
    out = tmp_path / "x.jsonl"
    run_events([capture], SETTINGS, out)
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert {event["kind"] for event in events} >= {"dns", "tls"}
    assert all(event["ts"] > 1e9 for event in events)


def test_cut_file_is_a_warning(
    capture: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A cut-off file gives its flows, and one sentence on standard error."""
    path = tmp_path / "cut.pcap"
    path.write_bytes(capture.read_bytes()[:-7])
    assert run_flows([path], SETTINGS, "csv", None) == 0
    out, err = capfd.readouterr()
    assert len(out.splitlines()) > 50
    assert err.count("cut.pcap ends within a packet") == 1


def test_reader_that_leaves(capture: Path) -> None:
    """`ipwatchd flows FILE | head -1` ends quietly."""
    command = [sys.executable, "-m", "ipwatchd.cli.ipwatchd", "flows", *[str(capture)] * 6]
    reading, writing = os.pipe()
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, text=True) as process:
        os.close(writing)
        assert os.read(reading, 10) == b'{"start":1'
        os.close(reading)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
