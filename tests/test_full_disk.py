"""A full disk under a running daemon: it goes on, says so, and loses nothing recorded."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.lab.netns import Namespace, veth
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GATEWAY, FIRST, SECOND = "203.0.113.1", "203.0.113.9", "203.0.113.10"
CONFIG = """
[capture]
interfaces = ["wan0"]
tcp_attempt_timeout = 1.0
tcp_closed_timeout = 0.5
[zones]
servers = ["203.0.113.1/32"]
[history]
free_bytes = 1000000
[firewall]
mode = "enforce"
[detect.port_scan]
targets = 15
[incidents]
auto_deny = ["port-scan"]
"""
TINY = 'mount -t tmpfs -o size=12m state "$0" && exec "$@"'
FULL = 'mount -t tmpfs -o size=1m state "$0" && cat /dev/zero > "$0/fill" 2>/dev/null; exec "$@"'


@pytest.fixture
def wire(namespace: Callable[[str], Namespace]) -> tuple[Namespace, Namespace]:
    """Return a gateway and outside hosts, joined by a cable."""
    gateway, outside = namespace("gateway"), namespace("outside")
    veth(gateway, "wan0", outside, "eth0")
    gateway.address("wan0", f"{GATEWAY}/24")
    outside.address("eth0", f"{FIRST}/24", f"{SECOND}/24")
    return gateway, outside


@pytest.fixture
def agent(wire: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[Agent]:
    """Return a daemon whose state folder is a disk of 12 MB, in a mount namespace of its own."""
    one = _on_disk(wire[0], tmp_path, TINY).start()
    yield one
    one.stop()


def _on_disk(gateway: Namespace, folder: Path, script: str) -> Agent:
    one = Agent(gateway, folder, CONFIG)
    one.state.mkdir()
    one.prefix = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, str(one.state)]
    return one


def _disk(agent: Agent) -> Path:
    """Return the daemon's state folder as the daemon sees it."""
    assert agent.process
    return Path(f"/proc/{agent.process.pid}/root{agent.state}")


def _fill(agent: Agent) -> Path:
    path = _disk(agent) / "fill"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


def _scan(outside: Namespace, source: str) -> None:
    with outside.inside():
        for port in range(7000, 7040):
            with socket.socket() as knock:
                knock.bind((source, 0))
                knock.settimeout(0.1)
                knock.connect_ex((GATEWAY, port))


def _bad(status: dict[str, Any]) -> set[str]:
    return {row["name"] for row in status["health"] if not row["ok"]}


def _subjects(rows: list[dict[str, Any]]) -> set[str]:
    return {row["subject"] for row in rows}


def test_a_full_disk_and_room_again(agent: Agent, wire: tuple[Namespace, Namespace]) -> None:
    """What came before stays, what comes meanwhile waits, and with room again all is written."""
    _scan(wire[1], FIRST)
    agent.until(20, "incidents", "list", has=lambda rows: FIRST in _subjects(rows))
    agent.ctl("deny", "add", "198.51.100.7", "--for", "1h", "--reason", "before")
    agent.ctl("deny", "add", "198.51.100.8", "--for", "4s", "--reason", "ends meanwhile")
    agent.ctl("firewall", "mode", "observe", "--confirm", "4s", "--yes")

    fill = _fill(agent)
    _scan(wire[1], SECOND)
    wanted = {"incidents", "lists", "firewall mode", "disk", "history"}
    agent.until(30, "status", has=lambda status: wanted <= _bad(status))
    assert agent.ask("firewall", "status")["mode"] == "enforce"
    assert _subjects(agent.ask("incidents", "list")) == {FIRST}
    for words in (
        ("deny", "add", "198.51.100.9", "--reason", "x"), ("incidents", "take", "TESTSITE-000001"),
        ("report", "someone called"), ("firewall", "mode", "off", "--yes"), ("show", FIRST),
    ):  # fmt: skip
        refused = agent.ctl(*words, check=False)
        assert (refused.returncode, refused.stdout) == (1, ""), words
        assert refused.stderr.count("\n") == 1
        assert "disk" in refused.stderr or "space" in refused.stderr, refused.stderr
        assert "Errno" not in refused.stderr

    fill.unlink()
    agent.until(20, "status", has=lambda status: not _bad(status))
    rows = agent.until(20, "incidents", "list", has=lambda rows: SECOND in _subjects(rows))
    assert sorted(row["subject"] for row in rows) == [SECOND, FIRST]
    denied = {row["network"] for row in agent.ask("deny", "list")}
    assert denied == {"198.51.100.7/32", f"{FIRST}/32", f"{SECOND}/32"}
    assert agent.ctl("firewall", "diff").returncode == 0
    lines = agent.narration().splitlines()
    for part in ("incidents", "lists", "history"):
        assert sum(f"part={part}" in line and "warning" in line for line in lines) == 1, part
        assert sum(f"part={part}" in line and "well again" in line for line in lines) == 1, part
    assert "Traceback" not in agent.narration()


def test_stopped_while_the_disk_is_full(
    agent: Agent, wire: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    """Stopped on a full disk: what was recorded before is there and sound."""
    _scan(wire[1], FIRST)
    before = agent.until(20, "incidents", "list", has=bool)
    _fill(agent)
    _scan(wire[1], SECOND)
    agent.until(20, "status", has=lambda status: "incidents" in _bad(status))
    kept = tmp_path / "kept"
    disk = os.open(_disk(agent), os.O_DIRECTORY)  # the disk lives as long as somebody has it open
    assert agent.stop() in {0, 1}
    shutil.copytree(f"/proc/self/fd/{disk}", kept, ignore=shutil.ignore_patterns("fill"))
    os.close(disk)
    assert "Traceback" not in agent.narration()
    for path in kept.glob("*.db"):
        with sqlite3.connect(path) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), path
        db.close()
    command = [sys.executable, "-m", "ipwatchd.cli.ipwatchctl", "--state", str(kept), "--json"]
    done = subprocess.run([*command, "incidents", "list"], capture_output=True, check=True)
    assert [row["id"] for row in json.loads(done.stdout)] == [row["id"] for row in before]


def test_a_start_on_a_full_disk_is_one_sentence(
    wire: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    """A daemon that can't write its state does not start: status 1, the folder, the mend."""
    done = _on_disk(wire[0], tmp_path, FULL).refused()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "state") in done.stderr
    assert "make room on the disk" in done.stderr
