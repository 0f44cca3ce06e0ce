"""A running agent's ears: syslog, the kernel's networks, geo files, a roster with a fault."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

from ipwatchd.lab.netns import Namespace, veth
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIG = """
[capture]
source = "none"
[logs]
time_zone = "UTC"
[logs.syslog]
udp = "10.20.0.1:5514"
allow = ["10.20.0.0/24"]
"""


def _health(agent: Agent, name: str, has: str = "") -> dict[str, Any]:
    """Return a check of doctor once its note holds what is expected; it exits with 1 for faults."""
    end = time.monotonic() + 30
    while True:
        rows = json.loads(agent.ctl("--json", "doctor", check=False).stdout)
        found: dict[str, Any] = next((row for row in rows if row["name"] == name), {"note": ""})
        if has in found["note"] and "ok" in found:
            return found
        assert time.monotonic() < end, f"{name}: still {rows}\n{agent.narration()}"
        time.sleep(0.2)


def test_syslog_zones_geo_and_a_roster_with_a_fault(
    namespace: Callable[[str], Namespace], tmp_path: Path, shared: Path
) -> None:
    """A host of the inside sends its logs, and the agent knows who is where, and what it lacks."""
    gateway, desk, stranger = namespace("gateway"), namespace("desk"), namespace("stranger")
    veth(gateway, "lan0", desk, "eth0")
    veth(gateway, "wan0", stranger, "eth0")
    gateway.address("lan0", "10.20.0.1/24")
    gateway.address("wan0", "203.0.113.1/24")
    desk.address("eth0", "10.20.0.5/24")
    stranger.address("eth0", "203.0.113.9/24")
    stranger.route("10.20.0.0/24", "203.0.113.1")
    gateway.route("default", "203.0.113.9")
    roster = tmp_path / "roster.csv"
    roster.write_text("name,team\nmaria,A\nMaria,B\n")
    agent = Agent(gateway, tmp_path, CONFIG)
    text = agent.path.read_text()
    agent.path.write_text(text.replace("[site]\n", f'[site]\nroster = "{roster}"\n'))
    agent.start()
    try:
        fault = _health(agent, "roster")
        assert not fault["ok"]
        assert "nobody is held to shift or place" in fault["note"]
        assert "Maria is in line 2 already" in fault["note"]
        zones = {row["name"]: row for row in agent.ask("zones")}
        assert zones["agents"]["networks"] == ["10.20.0.0/24"]
        assert zones["agents"]["source"] == "kernel: network of lan0"
        assert zones["gateway"]["networks"] == ["10.20.0.1/32", "203.0.113.1/32"]
        say = "Accepted publickey for maria from 10.20.0.7 port 99 ssh2: ED25519 SHA256:x"
        for sender in (desk, stranger):
            sender.run(
                ["logger", "--server=10.20.0.1", "--port=5514", "--udp", "--rfc3164", "--tag=sshd",
                 "--id=7", say]
            )  # fmt: skip
        (row,) = agent.until(15, "agents", has=bool)
        assert (row["agent"], row["address"], row["zone"]) == ("maria", "10.20.0.7", "agents")
        assert "syslog.lines 1" in _health(agent, "logs", "syslog.refused 1")["note"]
        shutil.copy(shared / "geoip/GeoLite2-Country-Test.mmdb", tmp_path / "c.mmdb")
        (agent.state / "geo").mkdir()
        shutil.copy(tmp_path / "c.mmdb", agent.state / "geo/country.mmdb")
        geo = _health(agent, "geo country", "GeoLite2-Country")
        assert not geo["ok"]
        assert "fetch a newer one" in geo["note"]
        assert "Maria is in line 2 already" in agent.narration()
        agent.kill()
        agent.start()
        (again,) = agent.until(15, "agents", has=bool)
        assert (again["agent"], again["since"]) == (row["agent"], row["since"])
    finally:
        agent.stop()
