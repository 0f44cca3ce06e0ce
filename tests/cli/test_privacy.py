"""export, subject, erase, reveal, audit verify over a replayed folder."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from ipwatchd.history.subject import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable
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
