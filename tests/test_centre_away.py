"""The centre away, the daemon killed: the incident arrives, once; and a reload that takes hold."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipwatchd.lab.netns import Namespace

PORT = "8470"
CENTRAL = [sys.executable, "-m", "ipwatchd.cli.central"]
CONFIG = f"""
[capture]
source = "none"
[uplink]
url = "http://127.0.0.1:{PORT}"
token_file = "TOKEN"
retry_seconds = 0.2
poll_seconds = 1.0
"""


@contextmanager
def _centre(gateway: Namespace, state: Path) -> Iterator[None]:
    command = [*CENTRAL, "run", "--state", str(state), "--port", PORT]
    process = gateway.popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def _held(state: Path) -> list[str]:
    command = [*CENTRAL, "incidents", "--state", str(state), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [row["subject"] for row in json.loads(done.stdout)]


def test_an_incident_arrives_once(namespace: Callable[[str], Namespace], tmp_path: Path) -> None:
    """Centre stopped, incident caused, daemon killed with -9, both started: it is there once."""
    gateway, state = namespace("gateway"), tmp_path / "centre"
    token = subprocess.run(
        [*CENTRAL, "token", "add", "testsite", "--state", str(state)], capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    (tmp_path / "token").write_text(token.stdout)
    agent = Agent(gateway, tmp_path, CONFIG.replace("TOKEN", str(tmp_path / "token")))
    with _centre(gateway, state):
        agent.start()
        agent.ctl("report", "first", "--subject", "203.0.113.1")
        agent.until(20, "status", has=lambda answer: answer["uplink"]["committed"] >= 1)
    agent.ctl("report", "second", "--subject", "203.0.113.2")
    status = agent.until(20, "status", has=lambda answer: not answer["uplink"]["reachable"])
    assert status["uplink"]["waiting"] >= 1
    assert "uplink" in {row["name"] for row in status["health"] if not row["ok"]}
    agent.kill()
    agent.start()
    with _centre(gateway, state):
        agent.until(20, "status", has=lambda answer: answer["uplink"]["waiting"] == 0
                    and answer["uplink"]["reachable"])  # fmt: skip
        assert sorted(_held(state)) == ["203.0.113.1", "203.0.113.2"]
    assert agent.stop() == 0


def test_a_reload_takes_hold_and_says_what_it_can_not(
    namespace: Callable[[str], Namespace], tmp_path: Path
) -> None:
    """Zones and thresholds change at once, another site's name needs a restart and is named."""
    agent = Agent(namespace("gateway"), tmp_path, '[capture]\nsource = "none"\n').start()
    more = '[capture]\nsource = "none"\n[zones]\nportals = ["192.0.2.0/24"]\n'
    agent.write(more + "[detect.port_scan]\ntargets = 3\n")
    agent.path.write_text(agent.path.read_text().replace('"testsite"', '"another"'))
    agent.signal(signal.SIGHUP)
    rows = agent.until(10, "zones", has=lambda rows: rows[0]["name"] == "portals")
    assert rows[0]["networks"] == ["192.0.2.0/24"]
    status = agent.ask("status")
    assert status["site"] == "testsite"
    note = next(row["note"] for row in status["health"] if row["name"] == "reload")
    assert note == "[site] changes with the next restart"
    agent.write(more)
    agent.signal(signal.SIGHUP)
    agent.until(10, "status", has=lambda status: all(
        row["name"] != "reload" for row in status["health"]))  # fmt: skip
    assert agent.stop() == 0
