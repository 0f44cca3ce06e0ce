"""Lists in a running daemon: real packets bind names, real log lines agents, and nobody is cut."""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from ipwatchd.lab.netns import Namespace, veth
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OUTSIDE, GATEWAY, PORTAL = "203.0.113.9", "203.0.113.1", "198.51.100.4"
CONFIG = """
[capture]
interfaces = ["wan0"]
tcp_attempt_timeout = 1.0
[zones]
servers = ["203.0.113.1/32", "198.51.100.4/32"]
"partner:acme" = ["203.0.113.64/28"]
[firewall]
mode = "enforce"
management = ["203.0.113.240/28"]
[services.vpn]
protocol = "tcp"
ports = ["443"]
networks = ["198.51.100.4"]
policy = "only-allowed"
[logs]
files = ["%s"]
"""


@pytest.fixture
def wire(namespace: Callable[[str], Namespace]) -> tuple[Namespace, Namespace]:
    """Return a gateway with a portal, and a host outside."""
    gateway, outside = namespace("gateway"), namespace("outside")
    veth(gateway, "wan0", outside, "eth0")
    gateway.address("wan0", f"{GATEWAY}/24", f"{PORTAL}/32")
    outside.address("eth0", f"{OUTSIDE}/24")
    outside.route(f"{PORTAL}/32", GATEWAY)
    return gateway, outside


@pytest.fixture
def agent(wire: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[Agent]:
    """Return a daemon that runs on the gateway and follows a log."""
    (tmp_path / "auth.log").touch()
    one = Agent(wire[0], tmp_path, CONFIG % (tmp_path / "auth.log"))
    yield one.start()
    one.stop()


def _answer(name: str, address: str, ttl: int) -> bytes:
    """Return a DNS answer with one A record (RFC 1035, 4)."""
    words = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    head = struct.pack(">6H", 7, 0x8180, 1, 1, 0, 0)
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, ttl, 4) + socket.inet_aton(address)
    return head + words + struct.pack(">HH", 1, 1) + record


def _can_connect(outside: Namespace, port: int) -> bool:
    with outside.inside(), socket.socket() as client:
        client.settimeout(0.7)
        return client.connect_ex((PORTAL, port)) == 0


def test_names_and_agents_follow_what_is_seen(
    agent: Agent, wire: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    """A DNS answer on the wire and a login in a log become addresses in the kernel."""
    gateway, outside = wire
    with outside.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((OUTSIDE, 53))
        server.sendto(_answer("bad.example.com", "198.51.100.77", 3600), (GATEWAY, 5353))
    stamp = time.strftime("%b %e %H:%M:%S")
    with (tmp_path / "auth.log").open("a") as log:
        log.write(f"{stamp} gw sshd[77]: Accepted password for maria from {OUTSIDE} port 5 ssh2\n")
    agent.until(20, "events", "kind:dns", has=bool)
    agent.until(20, "records", "agent", has=bool)
    done = agent.ctl("deny", "add", "name:bad.example.com", "--reason", "c2", "--for", "1h")
    assert "stands for nobody" not in done.stdout
    preview = agent.ask("deny", "preview", "agent:maria")
    assert preview["agents"] == ["maria"]
    agent.ctl("deny", "add", "agent:maria", "--reason", "gone", "--for", "3s")
    listed = gateway.run(["nft", "list", "ruleset"]).stdout
    assert "198.51.100.77" in listed
    assert OUTSIDE in listed
    why = agent.ask("deny", "why", "198.51.100.77")
    assert (why["verdict"], why["network"]) == ("deny", "name:bad.example.com")
    assert not _can_connect(outside, 8080)
    agent.until(10, "deny", "list", "agent:", has=lambda rows: not rows)
    assert OUTSIDE not in gateway.run(["nft", "list", "ruleset"]).stdout
    agent.until(10, "records", "list", has=lambda rows: "expire" in {row["action"] for row in rows})


def test_the_portal_is_for_the_allowed_alone(
    agent: Agent, wire: tuple[Namespace, Namespace]
) -> None:
    """Whom the policy stops is told before; allowed, they get in; the rules are told in order."""
    gateway, outside = wire
    with gateway.inside():
        portal = socket.create_server((PORTAL, 443))
    with portal:
        assert not _can_connect(outside, 443)
        stopped = agent.until(
            20, "deny", "preview", "--service", "vpn", has=lambda one: one["addresses"]
        )
        assert [row["address"] for row in stopped["busiest"]] == [OUTSIDE]
        agent.ctl("allow", "add", "203.0.113.0/26", "--service", "vpn", "--reason", "partner")
        assert _can_connect(outside, 443)
        why = agent.ask("deny", "why", OUTSIDE, "vpn")
        assert why["verdict"] == "allow"
        assert [rule["rule"] for rule in why["rules"]] == [
            "management", "service vpn: allow", "service vpn: deny",
            "service vpn: only the allowed", "site: allow", "site: deny", "else",
        ]  # fmt: skip
        assert agent.ask("deny", "preview", "--service", "vpn")["addresses"] == 0
    flags = agent.ask("deny", "preview", "203.0.113.0/24")["flags"]
    assert any("203.0.113.240/28 is a management network" in flag for flag in flags)
    assert any("partner network partner:acme" in flag for flag in flags)
    assert agent.ctl("firewall", "diff").returncode == 0
