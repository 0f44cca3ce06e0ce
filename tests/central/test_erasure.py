"""ipwatch-central erase: list entries go everywhere, chained evidence stays and is named."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.audit import Audit
from ipwatchd.central.store import Store
from ipwatchd.incidents.chain import START, link
from ipwatchd.incidents.grouping import opened_by
from ipwatchd.records.entry import ListEntry
from ipwatchd.records.incident import Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHO = "203.0.113.7"


def _entry(network: str, reason: str = "scans") -> ListEntry:
    return ListEntry(
        id=0, list="deny", network=network, reason=reason, author="ana", created=1.0,
        expires=0.0, source="central",
    )  # fmt: skip


async def _filled(folder: Path, *networks: str) -> None:
    store = await Store.open(folder)
    for network in networks:
        await store.add_entry("", _entry(network))
    await store.close()


async def test_its_entries_go_and_no_byte_of_it_is_left(
    central: Callable[..., Any], tmp_path: Path
) -> None:
    """The entry of the address goes, the network around it stays, the log names no one."""
    folder = tmp_path / "centre"
    await _filled(folder, f"{WHO}/32", "203.0.113.0/24", "198.51.100.1/32")
    done = central("erase", WHO, "--reason", "request 12", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"goes at every site with its next contact: deny entry {WHO}" in done.stdout
    store = await Store.open(folder)
    left = [one.entry.network for one in await store.entries(time.time())]
    await store.close()
    assert left == ["203.0.113.0/24", "198.51.100.1/32"]
    assert not [one for one in folder.iterdir() if WHO.encode() in one.read_bytes()]
    log = await Audit.open(folder)
    (line,) = await log.lines(10)
    await log.close()
    assert (line.action, line.detail) == ("erase", "request 12")
    assert WHO not in line.subject


async def test_incidents_stay_and_are_named(central: Callable[..., Any], tmp_path: Path) -> None:
    """A site's log is its evidence: the answer names the incident, and the chain still holds."""
    folder = tmp_path / "centre"
    report = Report(id="r1", received=1.0, channel="call", reporter="ana", text=f"{WHO} rang")
    event = link(
        "manila", START, time=1.0, incident="MANILA-000001", actor="ana", kind="opened",
        body=opened_by(report),
    )  # fmt: skip
    store = await Store.open(folder)
    await store.receive("manila", [event], 2.0)
    await store.add_entry("manila", _entry("198.51.100.0/24", f"as {WHO} did"))
    await store.close()
    done = central("erase", WHO, "--reason", "12", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["incidents"] == {"manila": ["MANILA-000001"]}
    assert [one["network"] for one in answer["entries"]] == ["198.51.100.0/24"]
    assert answer["unexplained"] == []
    assert list(answer["found"]) == ["central.db"]
    assert central("verify").returncode == 0


async def test_a_file_without_a_reason_to_hold_it_is_told(
    central: Callable[..., Any], tmp_path: Path
) -> None:
    """A copy that lies in the folder is found and makes the status 1."""
    folder = tmp_path / "centre"
    await _filled(folder)
    (folder / "copy.txt").write_text(f"about {WHO}\n")
    done = central("erase", WHO, "--reason", "12", "--yes")
    assert done.returncode == 1
    assert "still found in copy.txt" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((WHO, "--reason", "12"), "add --yes"),
        ((WHO, "--reason", f"{WHO} asked", "--yes"), "without naming whom"),
        (("2001:db8::/20", "--reason", "12", "--yes"), "too wide"),
    ],
)
async def test_what_is_refused(
    central: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    """No --yes in a script, a reason that names the person, a network too wide: one sentence."""
    await _filled(tmp_path / "centre", f"{WHO}/32")
    done = central("erase", *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


async def test_what_an_older_deletion_left_goes_too(
    central: Callable[..., Any], tmp_path: Path
) -> None:
    """An entry taken off before left its bytes in free space: the file is written anew."""
    folder = tmp_path / "centre"
    await _filled(folder, f"{WHO}/32")
    store = await Store.open(folder)
    await store._writer.execute("PRAGMA secure_delete = OFF")  # as SQLite is built elsewhere
    await store.remove_entry("", "deny", f"{WHO}/32")
    await store.close()
    assert WHO.encode() in (folder / "central.db").read_bytes()
    done = central("erase", WHO, "--reason", "12", "--yes")
    assert done.returncode == 0, done.stdout
    assert "had no list entry of it" in done.stdout
    assert WHO.encode() not in (folder / "central.db").read_bytes()


async def test_a_running_collector_is_no_hindrance(
    central: Callable[..., Any], collector: Any, tmp_path: Path
) -> None:
    """The command works beside the collector, which hands the entry out no more."""
    await _filled(tmp_path / "centre", f"{WHO}/32")
    with collector():
        done = central("erase", WHO, "--reason", "12", "--yes")
        assert done.returncode == 0, done.stderr + done.stdout
        assert json.loads(central("lists", "list", "--json").stdout) == []


async def test_a_network_and_a_name(central: Callable[..., Any], tmp_path: Path) -> None:
    """A network takes every entry inside it; of a name only what mentions it is told."""
    folder = tmp_path / "centre"
    await _filled(folder, f"{WHO}/32", "203.0.113.128/25", "2001:db8::1/128")
    done = central("erase", "203.0.113.0/24", "--reason", "12", "--yes", "--json")
    assert len(json.loads(done.stdout)["removed"]) == 2
    store = await Store.open(folder)
    await store.add_entry("", _entry("198.51.100.9/32", "maria asked"))
    await store.close()
    done = central("erase", "maria", "--reason", "13", "--yes")
    assert "stays: deny entry 198.51.100.9/32, whose text names it" in done.stdout
