"""`ipwatchctl incidents verify`: a line for each thing that does not hold, and the exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Done


def test_verify_whole_names_each_file_that_changed(
    ctl: Callable[..., Done], state: Path, tmp_path: Path
) -> None:
    """All is well with status 0; after a byte of an attachment was turned, 1 and its name."""
    note = tmp_path / "note.txt"
    note.write_text("the caller's number")
    done = ctl("--state", state, "report", "a call", "--from", "jose", "--attach", note)
    assert done.status == 0
    well = ctl("--state", state, "incidents", "verify", "--whole")
    assert well.status == 0
    assert well.out.splitlines()[1].endswith("files are what the log says")
    (path,) = (state / "reports").glob("*/*")
    path.write_bytes(b"X" + path.read_bytes()[1:])
    bad = ctl("--state", state, "incidents", "verify", "--whole")
    assert bad.status == 1
    assert bad.out.splitlines()[2].endswith(f"{path.name} was changed: its SHA-256 is not its name")
    told = ctl("--state", state, "--json", "incidents", "verify", "--whole")
    assert (told.status, json.loads(told.out)["whole"]["bad"]) == (1, 1)
    assert ctl("--state", state, "incidents", "verify").status == 0


def test_a_guard_says_no_with_status_1_and_a_wrong_word_with_2(
    ctl: Callable[..., Done], state: Path
) -> None:
    """Nothing was asked wrongly where a guard holds a case."""
    assert ctl("--state", state, "report", "a call", "--from", "jose").status == 0
    on = ("--state", state, "incidents")
    held = ctl(*on, "close", "site-000001", "--reason", "enough")
    assert (held.status, "close is not possible" in held.err) == (1, True)
    assert "oblige" not in held.err
    wrong = ctl(*on, "prioritise", "site-000001", "P9", "--reason", "x")
    assert (wrong.status, "is no priority" in wrong.err) == (2, True)


def test_a_report_is_shown_word_for_word(
    ctl: Callable[..., Done], state: Path, tmp_path: Path
) -> None:
    """Who looks at the case sees the words, the answers, the files; answers stand there once."""
    note = tmp_path / "note.txt"
    note.write_text("the caller's number")
    words = ("report", "--kind", "visitor", "--lang", "es", "--from", "maria", "--attach", note,
             "--answer", "where=en la puerta", "--answer", "when=ahora")  # fmt: skip
    made = json.loads(ctl("--state", state, "--json", *words).out)
    lines = ctl("--state", state, "incidents", "show", made["id"]).out.splitlines()
    assert any("by maria, call, in es" in line for line in lines)
    assert [line for line in lines if "en la puerta" in line] == ["answer     where: en la puerta"]
    (attached,) = [line for line in lines if line.startswith("attached")]
    assert attached.startswith("attached   note.txt: 19 bytes, SHA-256 ")
