"""A running agent's ears: syslog, the kernel's networks, geo files, a roster with a fault."""

from __future__ import annotations

import json
import shutil
import socket
import time
from typing import TYPE_CHECKING, Any

from ipwatchd.cli import ipwatchctl
from ipwatchd.lab.netns import Namespace, veth
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

CONFIG = """
[capture]
source = "none"
[logs]
time_zone = "UTC"
[logs.syslog]
udp = "10.20.0.1:5514"
allow = ["10.20.0.0/24"]
[detect.silence]
least = 1.0
enough = 1
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
        assert fault["note"].endswith("; all other rows count")
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
        (quiet,) = agent.until(
            30, "incidents", "list", has=lambda rows: rows and rows[0]["evidence"]["value"] > 2
        )
        assert (quiet["rule"], quiet["subject"]) == ("silence", "syslog:10.20.0.5")
        assert quiet["title"].startswith("nothing has come from syslog:10.20.0.5 since ")
        assert quiet["evidence"]["records_before"] == 1
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


WATCHING = """
[capture]
interfaces = ["lan0", "wan0"]
source = "ring"
[services.phones]
protocol = "udp"
ports = ["5060"]
zone = "agents"
"""


def test_the_kernels_gateways_and_zones_are_in_force_everywhere(
    namespace: Callable[[str], Namespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next hop's MAC changes and a desk takes our address: both are told; routes are followed.

    A service may name a zone that only the kernel knows, and a preview says which ones it meets.
    """
    gateway, desk, world = namespace("gateway"), namespace("desk"), namespace("world")
    veth(gateway, "lan0", desk, "eth0")
    veth(gateway, "wan0", world, "eth0")
    gateway.address("lan0", "10.20.0.1/24")
    gateway.address("wan0", "203.0.113.1/24")
    desk.address("eth0", "10.20.0.5/24")
    world.address("eth0", "203.0.113.9/24", "203.0.113.8/24")
    gateway.route("default", "203.0.113.9")
    agent = Agent(gateway, tmp_path, WATCHING).start()
    try:
        flags = agent.ask("deny", "preview", "10.20.0.0/24")["flags"]
        assert "it meets the zone agents" in flags
        # The desk says that our own address is its own.
        desk.address("eth0", "10.20.0.1/24")
        _announce(desk, "10.20.0.1")
        told = agent.until(20, "incidents", "list", has=bool)
        assert [row["subject"] for row in told] == ["10.20.0.1"]
        shown = agent.ask("incidents", "show", told[0]["id"])
        assert shown["incident"]["evidence"]["gateway_by"] == "our own address on lan0"
        for address in ("203.0.113.8", "203.0.113.9"):
            _announce(world, address)
        world.run(["ip", "link", "set", "eth0", "address", "02:00:00:00:00:99"])
        for address in ("203.0.113.8", "203.0.113.9"):
            _announce(world, address)
        told = agent.until(20, "incidents", "list", has=lambda rows: len(rows) > 1)
        subjects = {row["subject"]: row["title"] for row in told}
        assert set(subjects) == {"10.20.0.1", "203.0.113.9"}, "another host may have a new card"
        assert "to 02:00:00:00:00:99" in subjects["203.0.113.9"]
        gateway.route("10.77.0.0/16", "10.20.0.5")
        agent.until(30, "zones", has=lambda rows: "10.77.0.0/16" in str(rows))
        flags = agent.ask("deny", "preview", "10.77.0.0/16")["flags"]
        assert "it meets the zone agents" in flags
        agent.stop()
        assert ipwatchctl.main(["--state", str(agent.state), "--json", "zones"]) == 0
        away = json.loads(capsys.readouterr().out)
        assert {row["name"]: row["networks"] for row in away}["agents"] == [
            "10.20.0.0/24", "10.77.0.0/16",
        ]  # fmt: skip
    finally:
        agent.stop()


def _announce(host: Namespace, address: str) -> None:
    """Say whose an address is, as a host does that comes up (RFC 5227, 2.3)."""
    with host.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        mac, own = wire.getsockname()[4], socket.inet_aton(address)
        head = b"\xff" * 6 + mac + b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01"
        wire.send(head + mac + own + bytes(6) + own)
