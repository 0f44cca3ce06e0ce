"""Responses and their undo, and old cases, from the command line on a state folder."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Done

DENY = ("incidents", "respond", "site-000001", "deny", "--subject", "203.0.113.9", "--for", "1h")
UNDO = ("incidents", "undo", "site-000001", "--reason", "a partner")


def test_undo_of_what_a_person_took_off_already(ctl: Callable[..., Done], state: Path) -> None:
    """The receipt is closed and says so; it does not stand for good."""
    assert ctl("--state", state, *DENY).status == 0
    assert ctl("--state", state, "deny", "del", "203.0.113.9", "--reason", "x").status == 0
    done = ctl("--state", state, "--json", *UNDO)
    assert done.status == 0, done.err
    assert json.loads(done.out)["receipts"][0]["undone"]
    assert "it was off the list already" in ctl("--state", state, *UNDO[:1], "show", UNDO[2]).out


def test_undo_leaves_what_a_person_denied(ctl: Callable[..., Done], state: Path) -> None:
    """An admin's own entry for the same address is not taken off with the response's."""
    assert ctl("--state", state, *DENY).status == 0
    own = ("deny", "add", "203.0.113.9", "--reason", "for good")
    assert ctl("--state", state, *own).status == 0
    assert ctl("--state", state, *UNDO).status == 0
    rows = json.loads(ctl("--state", state, "deny", "list", "--json").out)
    assert "for good" in {row["reason"] for row in rows}
    assert "it stays denied by" in ctl("--state", state, "incidents", "show", UNDO[2]).out


@pytest.mark.parametrize("opened", ["1e20", "nan", "inf", "-5", "yesterday"])
def test_an_old_case_of_no_time_is_refused(
    ctl: Callable[..., Done], state: Path, tmp_path: Path, opened: str
) -> None:
    """It would be in a list that can't be shown any more."""
    file = tmp_path / "cases.csv"
    file.write_text(f"title,opened\nold,{opened}\n")
    done = ctl("--state", state, "incidents", "import", file)
    assert done.status == 2
    assert f"line 2: opened '{opened}' is no time" in done.err


def test_a_case_on_paper_is_its_owners_alone(
    ctl: Callable[..., Done], state: Path, tmp_path: Path
) -> None:
    """An archive holds what people said: nobody else on the machine reads it, nothing is half."""
    file = tmp_path / "case.zip"
    assert ctl("--state", state, "incidents", "export", "site-000001", "-o", file).status == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.glob("case.zip*")] == ["case.zip"]
