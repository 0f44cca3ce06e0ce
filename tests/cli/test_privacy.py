"""export, subject, erase, reveal, audit verify over a replayed folder."""

from __future__ import annotations

import csv
import fcntl
import io
import ipaddress
import json
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest

from ipwatchd.history.subject import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Done

SCANNER = "172.16.0.8"


def test_an_export_is_under_pseudonyms_that_reveal_undoes(
    ctl: Callable[..., Done], state: Path
) -> None:
    """No true address in any format; reveal gives one back and is in the audit log, as all are."""
    clear = ctl("--state", state, "export", "flows", "--clear", "--reason", "case 7")
    true = [json.loads(line) for line in clear.out.splitlines()]
    assert SCANNER in {row["orig"] for row in true}
    for form in ("jsonl", "csv", "zeek", "ocsf"):
        done = ctl("--state", state, "export", "flows", "--format", form)
        assert done.status == 0
        assert not any(row["orig"] in done.out for row in true)
        assert "under pseudonyms" in done.err
    hidden = [
        json.loads(line) for line in ctl("--state", state, "export", "flows").out.splitlines()
    ]
    assert len(hidden) == len(true)
    alias = hidden[[row["orig"] for row in true].index(SCANNER)]["orig"]
    shown = ctl("--state", state, "reveal", alias, "--reason", "case 7")
    assert (shown.status, shown.out) == (0, f"{SCANNER}\n")
    log = json.loads(ctl("--state", state, "--json", "audit").out)
    assert ("reveal", alias, "case 7") in {(r["action"], r["subject"], r["detail"]) for r in log}
    assert ("export", "flows", "case 7") in {(r["action"], r["subject"], r["detail"]) for r in log}


@pytest.mark.parametrize("what", ["incoming", "session", "activity", "events", "flows", "geo"])
def test_tables_hold_every_row(
    ctl: Callable[..., Done], state: Path, tmp_path: Path, what: str
) -> None:
    """CSV and Parquet have as many rows as JSON lines."""
    rows = len(ctl("--state", state, "export", what).out.splitlines())
    table = list(
        csv.DictReader(io.StringIO(ctl("--state", state, "export", what, "--format", "csv").out))
    )
    file = tmp_path / "rows.parquet"
    done = ctl("--state", state, "export", what, "--format", "parquet", "-o", file)
    assert done.status == 0
    assert len(table) == rows
    assert rows == 0 or pq.read_metadata(file).num_rows == rows
    assert f"{rows} rows" in done.err


def test_ocsf_and_zeek_hold_flows_alone(ctl: Callable[..., Done], state: Path) -> None:
    """Another kind in these formats is refused, with what to use."""
    done = ctl("--state", state, "export", "geo", "--format", "zeek")
    assert done.status == 2
    assert "use jsonl, csv or parquet" in done.err
    flow = json.loads(
        ctl("--state", state, "export", "flows", "--format", "ocsf").out.splitlines()[0]
    )
    assert (flow["class_uid"], flow["type_uid"]) == (4001, 400106)
    assert flow["connection_info"]["community_uid"].startswith("1:")
    assert flow["connection_info"]["protocol_ver_id"] == 4
    assert flow["metadata"]["version"] == "1.4.0"  # the first to have community_uid


def test_true_addresses_need_a_reason(ctl: Callable[..., Done], state: Path) -> None:
    """--clear without a reason is refused."""
    done = ctl("--state", state, "export", "flows", "--clear")
    assert (done.status, done.out) == (2, "")
    assert "needs a reason" in done.err


def test_a_subjects_dossier(ctl: Callable[..., Done], state: Path, tmp_path: Path) -> None:
    """Everything held, as JSON and as a page, each written whole and for its owner alone."""
    file, page = tmp_path / "held.json", tmp_path / "held.html"
    assert ctl("--state", state, "subject", SCANNER, "-o", file, "--html", page).status == 0
    held = json.loads(file.read_text())
    assert held["subject"] == SCANNER
    assert held["incidents"] == ["SITE-000001"]
    assert {row["orig"] for row in held["flows"]} | {row["resp"] for row in held["flows"]} >= {
        SCANNER
    }
    assert len(held["flows"]) == held["totals"]["flows"]
    assert SCANNER in page.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.glob("*.part"))


def test_erase_proves_itself(ctl: Callable[..., Done], state: Path) -> None:
    """What went, what was searched, what stays and why; nothing is found in history afterwards."""
    refused = ctl("--state", state, "erase", SCANNER, "--reason", "request 12")
    assert (refused.status, "add --yes" in refused.err) == (2, True)
    named = ctl("--state", state, "erase", SCANNER, "--reason", f"{SCANNER} asked", "--yes")
    assert (named.status, "without naming" in named.err) == (2, True)
    done = ctl("--state", state, "erase", SCANNER, "--reason", "request 12", "--yes")
    assert (done.status, done.err) == (0, "")
    assert f"erased {SCANNER}: " in done.out
    assert "stays: evidence of incidents SITE-000001" in done.out
    assert ctl("--state", state, "show", SCANNER).status == 1
    assert not subject_of(SCANNER).hits((state / "history.db").read_bytes())
    last = json.loads(ctl("--state", state, "--json", "audit").out)
    erased = [row for row in last if row["action"] == "erase"]
    assert erased[0]["detail"] == "request 12"
    assert SCANNER not in erased[0]["subject"]


def test_erase_reaches_a_network_and_what_was_learned(
    ctl: Callable[..., Done], state: Path, tmp_path: Path
) -> None:
    """Detectors' memory goes with it; mails of the drop and the centre's copy are named."""
    drop = tmp_path / "mail" / "cur"
    drop.mkdir(parents=True)
    (drop / "1").write_text(f"From: a@b\n\nWhat does {SCANNER} do?\n")
    (drop / "2").write_text("From: a@b\n\nWhat does 172.16.0.80 do?\n")
    effective = json.loads((state / "effective.json").read_bytes())
    effective["intake"] = {"maildir": str(tmp_path / "mail")}
    effective["uplink"] = {"url": "https://centre.example"}
    (state / "effective.json").write_text(json.dumps(effective))
    known = {"new-service": {"began": 1, "services": [["0", "ffffac100008", 6, 22, 7]]},
             "lan-spoofing": [["172.16.0.9", "00:11:22:33:44:55", 1, 2]]}  # fmt: skip
    (state / "baselines.bin").write_bytes(msgspec.msgpack.encode({"version": 1, "learned": known}))
    done = ctl("--state", state, "--json", "erase", "172.16.0.8/31", "--reason", "12", "--yes")
    answer = json.loads(done.out)
    assert (done.status, answer["removed"]["learned"]) == (0, 2)
    assert answer["mails"] == [str(drop / "1")]
    assert answer["centre"] == {
        "url": "https://centre.example", "incidents": ["SITE-000001"]
    }  # fmt: skip
    left = msgspec.msgpack.decode((state / "baselines.bin").read_bytes())["learned"]
    assert left == {"new-service": {"began": 1, "services": []}, "lan-spoofing": []}
    assert not [name for name in answer["found"] if name.startswith(("history", "archive", "base"))]
    told = ctl("--state", state, "erase", SCANNER, "--reason", "12", "--yes").out
    assert "https://centre.example has its own copy of SITE-000001: have" in told
    assert f"`ipwatch-central erase {SCANNER} --reason" in told
    assert "a mail as it was received" in told


def test_a_days_key_is_dropped_with_proof(
    ctl: Callable[..., Done], daemon_command: Callable[..., Done], shared: Path, tmp_path: Path
) -> None:
    """Asked before and after: the address answers, the key goes, it answers no more; audited."""
    config, folder = tmp_path / "c.toml", tmp_path / "keyed"
    config.write_text("[history]\nkey_days = 3000\n")
    capture = shared / "pcap/flows/nDPI__safari.pcap"
    daemon_command("replay", capture, "--state", folder, "--config", config)
    (day,) = json.loads(ctl("--state", folder, "--json", "archive-keys", "list").out)
    before = ctl("--state", folder, "--json", "flows", "addr:192.168.1.178").out
    assert len(json.loads(before)) == 7
    drop = ("--state", folder, "archive-keys", "drop", day["day"], "--reason", "contract ended")
    assert "add --yes" in ctl(*drop).err
    done = ctl(*drop, "--yes")
    assert done.status == 0
    assert f"{day['day']} is anonymous: 7 flows in 1 segments; its key was {day['key']}" in done.out
    after = ctl("--state", folder, "flows", "addr:192.168.1.178")
    assert (after.out.count("\n"), "anonymous for good" in after.err) == (1, True)
    assert ctl("--state", folder, "flows", "by:service").out.count("tls") == 1
    again = ctl(*drop, "--yes")
    assert (again.status, "there is no key of" in again.err) == (1, True)
    log = json.loads(ctl("--state", folder, "--json", "audit").out)
    assert ("drop-key", day["day"], "contract ended") in {
        (row["action"], row["subject"], row["detail"]) for row in log
    }


# Attributes of OCSF 1.3 that a Network Activity (4001) of ours may have, and their types there.
_ENDPOINT = {"ip": str, "port": int, "zone": str, "location": {"country": str}}
_OCSF = {
    "activity_id": int, "category_uid": int, "class_uid": int, "type_uid": int,
    "severity_id": int, "time": int, "start_time": int, "end_time": int, "duration": int,
    "app_name": str, "metadata": {"version": str, "product": {"name": str, "vendor_name": str}},
    "src_endpoint": _ENDPOINT, "dst_endpoint": _ENDPOINT,
    "connection_info": {
        "protocol_num": int, "protocol_name": str, "protocol_ver_id": int, "direction_id": int,
        "community_uid": str,
    },
    "traffic": dict.fromkeys(
        ("bytes", "bytes_in", "bytes_out", "packets", "packets_in", "packets_out"), int
    ),
    "unmapped": {"conn_state": str, "vlan": int},
}  # fmt: skip
_REQUIRED = {
    "activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "metadata",
    "dst_endpoint",
}  # fmt: skip


def _fits(value: object, kind: Any) -> bool:
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(
            key in kind and _fits(one, kind[key]) for key, one in value.items()
        )
    return type(value) is kind


def test_ocsf_is_of_the_schema(ctl: Callable[..., Done], state: Path) -> None:
    """Every event has what is required, and nothing that the schema has not."""
    lines = ctl("--state", state, "export", "flows", "--format", "ocsf").out.splitlines()
    assert len(lines) > 100
    for event in map(json.loads, lines):
        assert event.keys() >= _REQUIRED
        assert _fits(event, _OCSF), event
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["connection_info"]["direction_id"] in {0, 1, 2, 3}
        assert event["start_time"] <= event["end_time"] == event["time"]
        assert event["traffic"]["bytes"] == (
            event["traffic"]["bytes_in"] + event["traffic"]["bytes_out"]
        )


def test_a_zeek_log_says_what_its_columns_are(ctl: Callable[..., Done], state: Path) -> None:
    """A reader that goes by #fields and #types reads every line, each cell of its type."""
    out = ctl("--state", state, "export", "flows", "--format", "zeek").out.splitlines()
    head = {line.split("\t")[0]: line.split("\t")[1:] for line in out if line.startswith("#")}
    read = {
        "time": float, "interval": float, "count": int, "port": int, "int": int, "string": str,
        "enum": str, "addr": ipaddress.ip_address,
    }  # fmt: skip
    rows = [line.split("\t") for line in out if not line.startswith("#")]
    assert len(rows) > 100
    for row in rows:
        for cell, kind in zip(row, head["#types"], strict=True):
            assert cell == "-" or read[kind](cell) is not None
    assert len(head["#fields"]) == len(head["#types"])
    assert out[-1].startswith("#close")


def test_audit_verify(ctl: Callable[..., Done], state: Path) -> None:
    """The chain holds, and names the line that somebody changed."""
    ctl("--state", state, "show", SCANNER)
    ctl("--state", state, "flows")
    assert ctl("--state", state, "audit", "verify").status == 0
    with sqlite3.connect(state / "audit.db") as db:
        db.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 1")
    done = ctl("--state", state, "audit", "verify")
    assert done.status == 1
    assert "line 1 " in done.err


@pytest.mark.parametrize("name", ["history.db", "lists.db", "incidents.db", "audit.db"])
def test_a_store_of_an_older_daemon_is_named(
    ctl: Callable[..., Done], state: Path, name: str
) -> None:
    """A folder that an older daemon holds: a sentence with the file and the mend, no traceback."""
    with closing(sqlite3.connect(state / name)) as db:
        db.execute("PRAGMA user_version = 0")
    with (state / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = ctl("--state", state, "status")
    assert done.status == 1
    assert f"{name} has schema 0, older than this program's" in done.err
    assert "restart the daemon" in done.err


def test_a_folder_that_may_only_be_read_is_read(
    ctl: Callable[..., Done], state: Path, tmp_path: Path
) -> None:
    """Closed in order and mounted read-only it answers all the same; a change says the mend."""
    assert ctl("--state", state, "status").status == 0
    assert not (state / "history.db-wal").exists()
    with _mounted(state, tmp_path / "only-read") as folder:
        shown = ctl("--state", folder, "show", SCANNER)
        assert (shown.status, SCANNER in shown.out) == (0, True)
        assert ctl("--state", folder, "flows").status == 0
        refused = ctl("--state", folder, "deny", "add", "203.0.113.7", "--reason", "x")
    assert refused.status == 1
    assert "the state folder is only read here" in refused.err
    assert "as the folder's owner" in refused.err


@contextmanager
def _mounted(folder: Path, place: Path) -> Iterator[Path]:
    """Mount a folder read-only at another place."""
    place.mkdir()
    subprocess.run(["mount", "--bind", folder, place], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
