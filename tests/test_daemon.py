"""The agent as it runs: a real process in a real namespace with real packets and kernel rules."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from ipwatchd.lab.netns import Namespace, veth
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OUTSIDE, GATEWAY = "203.0.113.9", "203.0.113.1"
CONFIG = """
[capture]
interfaces = ["wan0"]
tcp_attempt_timeout = 1.0
tcp_closed_timeout = 0.5
[zones]
servers = ["203.0.113.1/32"]
[firewall]
mode = "enforce"
[detect.port_scan]
targets = 15
"""


@pytest.fixture
def wire(namespace: Callable[[str], Namespace]) -> tuple[Namespace, Namespace]:
    """Return a gateway and a host outside, joined by a cable: wan0 and eth0."""
    gateway, outside = namespace("gateway"), namespace("outside")
    veth(gateway, "wan0", outside, "eth0")
    gateway.address("wan0", f"{GATEWAY}/24")
    outside.address("eth0", f"{OUTSIDE}/24")
    return gateway, outside


@pytest.fixture
def agent(wire: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[Agent]:
    """Return a daemon that runs on the gateway."""
    one = Agent(wire[0], tmp_path, CONFIG)
    yield one.start()
    one.stop()


def _scan(outside: Namespace, ports: range) -> None:
    """Knock at closed ports."""
    with outside.inside():
        for port in ports:
            with socket.socket() as knock:
                knock.settimeout(0.2)
                knock.connect_ex((GATEWAY, port))


def _serve(gateway: Namespace, port: int) -> socket.socket:
    with gateway.inside():
        return socket.create_server((GATEWAY, port))


def _can_connect(outside: Namespace, port: int) -> bool:
    with outside.inside(), socket.socket() as client:
        client.settimeout(0.7)
        return client.connect_ex((GATEWAY, port)) == 0


def test_from_packet_to_incident(agent: Agent, wire: tuple[Namespace, Namespace]) -> None:
    """A scan on the wire is an incident with the scanner's address, and history knows it."""
    _scan(wire[1], range(7000, 7040))
    rows = agent.until(20, "incidents", "list", has=bool)
    assert [(row["rule"], row["subject"]) for row in rows] == [("port-scan", OUTSIDE)]
    assert rows[0]["priority"] in {"P1", "P2", "P3", "P4", "P5"}
    shown = agent.ask("incidents", "show", rows[0]["id"])
    assert shown["timeline"]
    incoming = agent.until(10, "records", "incoming", f"src:{OUTSIDE}", has=bool)
    assert incoming[0]["address"] == OUTSIDE
    assert agent.ask("status")["interfaces"][0]["state"] == "up"


def test_a_deny_holds_in_the_kernel(agent: Agent, wire: tuple[Namespace, Namespace]) -> None:
    """A denied address can't connect, nft shows it, and taking it off lets it in again."""
    gateway, outside = wire
    with _serve(gateway, 8080):
        assert _can_connect(outside, 8080)
        done = agent.ctl("deny", "add", OUTSIDE, "--for", "1h", "--reason", "test")
        assert f"denied {OUTSIDE}" in done.stdout
        assert OUTSIDE in gateway.run(["nft", "list", "ruleset"]).stdout
        assert not _can_connect(outside, 8080)
        blocked = agent.until(10, "events", "kind:blocked", has=bool)
        assert blocked[0]["orig"] == OUTSIDE
        agent.until(
            10,
            "incidents",
            "list",
            has=lambda rows: rows[0]["rule"] == "denied-contact" if rows else False,
        )
        agent.ctl("deny", "del", OUTSIDE, "--reason", "test over")
        assert _can_connect(outside, 8080)
    assert agent.ctl("firewall", "diff").returncode == 0


def test_flushed_rules_come_back(agent: Agent, wire: tuple[Namespace, Namespace]) -> None:
    """Someone flushes the ruleset: it stands again within seconds, and there is an incident."""
    agent.ctl("deny", "add", "198.51.100.0/24", "--reason", "test", "--yes")
    wire[0].run(["nft", "flush", "ruleset"])
    agent.until(
        10, "incidents", "list",
        has=lambda rows: "firewall-tampered" in {row["rule"] for row in rows},
    )  # fmt: skip
    assert "198.51.100.0/24" in wire[0].run(["nft", "list", "ruleset"]).stdout


def test_killed_and_started_again(agent: Agent, wire: tuple[Namespace, Namespace]) -> None:
    """After kill -9 every accepted incident is there once and the kernel equals the lists."""
    _scan(wire[1], range(7000, 7040))
    before = agent.until(20, "incidents", "list", has=bool)
    agent.ctl("deny", "add", "198.51.100.7", "--for", "1h", "--reason", "test")
    agent.kill()
    assert "198.51.100.7" in wire[0].run(["nft", "list", "ruleset"]).stdout
    agent.start()
    assert [row["id"] for row in agent.ask("incidents", "list")] == [row["id"] for row in before]
    assert agent.ctl("firewall", "diff").returncode == 0


def test_mode_rolls_back_unless_confirmed(agent: Agent) -> None:
    """A change of mode is undone when nobody confirms it, and kept when somebody does."""
    agent.ctl("firewall", "mode", "observe", "--confirm", "2s", "--yes")
    assert agent.ask("firewall", "status")["mode"] == "observe"
    agent.until(10, "firewall", "status", has=lambda state: state["mode"] == "enforce")
    agent.ctl("firewall", "mode", "observe", "--confirm", "60s", "--yes")
    agent.ctl("firewall", "confirm")
    assert agent.ask("firewall", "status")["confirm_by"] == 0
    assert agent.ctl("firewall", "rollback", check=False).returncode == 2


def test_reload_keeps_the_last_good_file(agent: Agent) -> None:
    """A bad file is refused with its line and nothing changes; a good one is taken."""
    agent.write(CONFIG + "[firewal]\n")
    agent.signal(signal.SIGHUP)
    status = agent.until(
        10,
        "status",
        has=lambda answer: "configuration" in {row["name"] for row in answer["health"]},
    )
    note = next(row["note"] for row in status["health"] if row["name"] == "configuration")
    assert "did you mean firewall?" in note
    assert "kept the last good one" in note
    agent.write(CONFIG.replace("servers", "portals"))
    agent.signal(signal.SIGHUP)
    agent.until(10, "zones", has=lambda rows: [row["name"] for row in rows] == ["portals"])


def test_second_daemon_is_refused(agent: Agent) -> None:
    """One state folder, one daemon: the second says who holds it and ends."""
    command = [sys.executable, "-m", "ipwatchd.cli.ipwatchd", "run", "--config", str(agent.path)]
    done = agent.namespace.run(command, check=False)
    assert done.returncode == 1
    assert "is in use by process" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_interface_goes_and_comes_back(agent: Agent, wire: tuple[Namespace, Namespace]) -> None:
    """An interface that goes down is named; when it is up again so is the capture."""
    wire[0].run(["ip", "link", "set", "wan0", "down"])
    agent.until(10, "status", has=lambda answer: answer["interfaces"][0]["state"] != "up")
    wire[0].run(["ip", "link", "set", "wan0", "up"])
    agent.until(10, "status", has=lambda answer: answer["interfaces"][0]["state"] == "up")
    _scan(wire[1], range(7000, 7040))
    agent.until(20, "incidents", "list", has=bool)


@pytest.mark.parametrize(
    ("config", "words", "status"),
    [
        (CONFIG.replace("wan0", "wan9"), "wan9", 1),
        (CONFIG.replace('["wan0"]', "[]"), "capture.interfaces", 2),
        ("[capture\n", "is not TOML", 2),
    ],
)
def test_bad_start_is_one_sentence(
    wire: tuple[Namespace, Namespace], tmp_path: Path, config: str, words: str, status: int
) -> None:
    """What keeps the daemon from starting is said in one line, with the right status."""
    agent = Agent(wire[0], tmp_path, config)
    command = [sys.executable, "-m", "ipwatchd.cli.ipwatchd", "run", "--config", str(agent.path)]
    done = wire[0].run(command, check=False)
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_corrupt_store_is_named(wire: tuple[Namespace, Namespace], tmp_path: Path) -> None:
    """A damaged SQLite file is named with the mend; the daemon does not start on it."""
    agent = Agent(wire[0], tmp_path, CONFIG)
    agent.state.mkdir()
    (agent.state / "incidents.db").write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)
    command = [sys.executable, "-m", "ipwatchd.cli.ipwatchd", "run", "--config", str(agent.path)]
    done = wire[0].run(command, check=False)
    assert done.returncode == 1
    assert "incidents.db is damaged" in done.stderr


def test_state_folder_answers_without_the_daemon(
    agent: Agent, wire: tuple[Namespace, Namespace]
) -> None:
    """What the daemon recorded can be asked of its folder, also while it runs."""
    _scan(wire[1], range(7000, 7040))
    before = agent.until(20, "incidents", "list", has=bool)
    command = [
        sys.executable,
        "-m",
        "ipwatchd.cli.ipwatchctl",
        "--state",
        str(agent.state),
        "--json",
    ]
    for _ in range(2):
        done = subprocess.run(
            [*command, "incidents", "list"], capture_output=True, text=True, check=True
        )
        assert before[0]["id"] in done.stdout
        assert agent.stop() == 0


def test_looks_are_audited(agent: Agent) -> None:
    """Looking at records leaves a line that says who looked at what."""
    agent.ask("records", "incoming")
    lines = agent.ask("audit")
    assert lines[0]["action"] == "records"
    assert lines[0]["subject"] == "incoming"
    assert lines[0]["actor"]


def test_stores_are_sound_after_a_kill(agent: Agent, wire: tuple[Namespace, Namespace]) -> None:
    """A kill -9 in the middle of traffic leaves every SQLite file sound."""
    _scan(wire[1], range(7000, 7020))
    time.sleep(0.5)
    agent.kill()
    for path in sorted(agent.state.glob("*.db")):
        with sqlite3.connect(path) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), path
        db.close()


def test_a_capture_that_fails_says_so(
    wire: tuple[Namespace, Namespace],
) -> None:
    """A thread of capture that fails keeps its error for the daemon, and `stop` raises it."""
    from ipwatchd.capture import Ring
    from ipwatchd.config import CaptureSettings

    def deliver(_: object) -> None:
        raise RuntimeError("the pipeline is gone")

    with wire[0].inside():
        ring = Ring(("wan0",), CaptureSettings(), deliver)
        ring.start()
    end = time.monotonic() + 20
    while ring.error is None and time.monotonic() < end:
        time.sleep(0.05)
    assert str(ring.error) == "the pipeline is gone"
    with pytest.raises(RuntimeError, match="pipeline is gone"):
        ring.stop()
