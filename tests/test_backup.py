"""Backup and restore: all comes back, a damaged or half-written backup is refused before it does harm."""  # noqa: E501 - one line says it

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from ipwatchd.backup import MANIFEST, backup, restore
from ipwatchd.cli import ipwatchctl, ipwatchd

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(shared: Path, tmp_path: Path) -> Path:
    """Return a state folder with a replayed port scan."""
    capture = shared / "pcap/detect/nDPI__synscan.pcap"
    assert ipwatchd.main(["replay", str(capture), "--state", str(tmp_path / "state")]) == 0
    return tmp_path / "state"


def _ask(folder: Path, capfd: pytest.CaptureFixture[str], *words: str) -> str:
    capfd.readouterr()
    assert ipwatchctl.main(["--state", str(folder), "--json", *words]) == 0
    return capfd.readouterr().out


def test_what_was_backed_up_comes_back(
    state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Flows, incidents, lists and the audit log of a restored folder are those of the first."""
    folder, again = tmp_path / "backup", tmp_path / "again"
    assert ipwatchctl.main(["--state", str(state), "backup", str(folder)]) == 0
    assert ipwatchd.main(["restore", str(folder), "--state", str(again)]) == 0
    for words in (("flows",), ("incidents", "list", "--state", "all"), ("records", "incoming")):
        assert _ask(state, capfd, *words) == _ask(again, capfd, *words)
    assert ipwatchctl.main(["--state", str(again), "audit", "verify"]) == 0
    assert (folder / "history.db").stat().st_mode & 0o077 == 0


def test_a_backup_is_taken_while_the_database_is_written(state: Path, tmp_path: Path) -> None:
    """What another connection has open and not committed is not in it, and it is whole."""
    db = sqlite3.connect(state / "history.db")
    db.execute("DELETE FROM address")
    backup(state, tmp_path / "backup", site="site", now=1.0)
    db.rollback()
    db.close()
    with sqlite3.connect(tmp_path / "backup/history.db") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) > 0 FROM address").fetchone() == (1,)


@pytest.mark.parametrize("what", ["archive", "baselines.bin"])
def test_a_link_is_not_followed(state: Path, tmp_path: Path, what: str) -> None:
    """Behind it lies what would be left out, or what root alone may read: named, with the mend."""
    (state / what).rename(tmp_path / "elsewhere")
    (state / what).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=rf"{what} is a link"):
        backup(state, tmp_path / "backup", site="site", now=1.0)


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest", "none", "outside"])
def test_a_damaged_backup_is_refused(state: Path, tmp_path: Path, damage: str) -> None:
    """Nothing is written to the new folder where the backup is not as it was written."""
    folder = tmp_path / "backup"
    backup(state, folder, site="site", now=1.0)
    match damage:
        case "changed":
            (folder / "lists.db").write_bytes(b"x" * 100)
        case "missing":
            next(folder.rglob("*.parquet")).unlink()
        case "manifest":
            (folder / MANIFEST).write_text("{")
        case "none":
            (folder / MANIFEST).unlink()
        case _:
            said = json.loads((folder / MANIFEST).read_text())
            said["files"]["../outside"] = "0"
            (folder / MANIFEST).write_text(json.dumps(said))
    with pytest.raises((ValueError, OSError), match=r"backup|damaged"):
        restore(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_nothing_is_written_over(state: Path, tmp_path: Path) -> None:
    """Neither a backup nor a restore goes into a folder that is used."""
    backup(state, tmp_path / "backup", site="site", now=1.0)
    with pytest.raises(FileExistsError, match="not empty"):
        backup(state, tmp_path / "backup", site="site", now=2.0)
    with pytest.raises(FileExistsError, match="not empty"):
        restore(tmp_path / "backup", state)


def test_a_newer_schema_names_the_mend(
    state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A database that a newer release wrote is refused with what to install."""
    shutil.copytree(state, tmp_path / "newer")
    with sqlite3.connect(tmp_path / "newer/history.db") as db:
        db.execute("PRAGMA user_version = 99")
    assert ipwatchctl.main(["--state", str(tmp_path / "newer"), "status"]) != 0
    assert "install the release of ipwatchd that wrote it" in capfd.readouterr().err
