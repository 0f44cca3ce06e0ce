"""A daemon and its rules: confirm timers and kill -9, others' hands, loads beside the loop."""

from __future__ import annotations

import random
import socket
import threading
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
source = "none"
[firewall]
mode = "enforce"
[feeds.mass]
file = "{feed}"
every = 1.0
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
    """Return a daemon that runs on the gateway and reads a feed that is not there yet."""
    one = Agent(wire[0], tmp_path, CONFIG.format(feed=tmp_path / "mass.txt"))
    yield one.start()
    one.stop()


def _passes(outside: Namespace, port: int = 8080) -> bool:
    with outside.inside(), socket.socket() as client:
        client.settimeout(0.3)
        return client.connect_ex((GATEWAY, port)) == 0


def _until(true: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_pause_ends_though_the_daemon_was_killed(
    agent: Agent, wire: tuple[Namespace, Namespace]
) -> None:
    """Kill -9 while "off" waits to be confirmed: the kernel drops again by itself."""
    gateway, outside = wire
    with gateway.inside():
        server = socket.create_server((GATEWAY, 8080))
    with server:
        agent.ctl("deny", "add", OUTSIDE, "--for", "1h", "--reason", "test")
        assert not _passes(outside)
        agent.ctl("firewall", "mode", "off", "--confirm", "3s", "--yes")
        assert agent.ask("firewall", "status")["mode"] == "off"
        assert _passes(outside)
        agent.kill()
        _until(lambda: not _passes(outside))
        assert OUTSIDE in gateway.run(["nft", "list", "ruleset"]).stdout
        agent.start()
        assert agent.ask("firewall", "status")["mode"] == "enforce"
        agent.ctl("firewall", "mode", "off", "--yes")  # as [firewall] confirm_seconds says
        assert agent.ask("firewall", "status")["confirm_by"] > time.time() + 30
        agent.ctl("firewall", "confirm")
        assert "ipwatchd" not in gateway.run(["nft", "list", "tables"]).stdout
        agent.ctl("firewall", "mode", "enforce", "--confirm", "1s", "--yes")
        agent.ctl("firewall", "confirm")
        time.sleep(1.2)
        assert not _passes(outside)


def test_who_changed_the_rules_is_in_the_incident(
    agent: Agent, wire: tuple[Namespace, Namespace]
) -> None:
    """A flush by hand: the rules are back within a second, one incident names the program."""
    agent.ctl("deny", "add", "198.51.100.7", "--for", "1h", "--reason", "test")
    for _ in range(2):
        wire[0].run(["nft", "flush", "ruleset"])
        _until(lambda: "198.51.100.7" in wire[0].run(["nft", "list", "ruleset"]).stdout, 1.0)
        time.sleep(0.5)
    rows = agent.until(10, "incidents", "list", has=bool)
    assert [row["rule"] for row in rows] == ["firewall-tampered"]
    assert "changed by nft (process " in rows[0]["title"]
    state = agent.ask("firewall", "status")
    assert state["repairs"] == 2
    assert state["changed_by"].startswith("nft (process ")
    entries = agent.ask("deny", "list")
    assert [(row["network"], row["packets"]) for row in entries] == [("198.51.100.7/32", 0)]


def test_a_mass_goes_down_while_the_daemon_answers(
    agent: Agent, wire: tuple[Namespace, Namespace]
) -> None:
    """100,000 entries of a feed on their way into the kernel: status is answered all the while."""
    numbers = random.Random(5).sample(range(0, 1 << 22, 2), 100_000)
    feed = agent.folder / "mass.new"
    feed.write_text(
        "".join(f"{20 + (n >> 18)}.{n >> 10 & 255}.{n >> 2 & 255}.{n & 3}\n" for n in numbers)
    )
    answered: list[float] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            began = time.monotonic()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(agent.socket))
                client.sendall(b"GET /v1/firewall HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                while client.recv(65536):
                    pass
            answered.append(time.monotonic() - began)
            time.sleep(0.01)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        feed.rename(agent.folder / "mass.txt")
        agent.ctl("feeds", "refresh", "mass")
        state = agent.until(20, "firewall", "status", has=lambda one: one["deny"] == 100_000)
    finally:
        done.set()
        asker.join()
    assert state["in_sync"]
    assert len(answered) > 20
    assert max(answered) < sum(answered) / 4, "one answer had to wait for the load"
    assert agent.ctl("firewall", "diff").returncode == 0


def test_the_supervisor_is_told_when_the_rules_stand(
    wire: tuple[Namespace, Namespace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY=1 comes when the table is in the kernel, so that the network may come up after it."""
    agent = Agent(wire[0], tmp_path, CONFIG.format(feed=tmp_path / "mass.txt"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        process = wire[0].popen(agent.command())
        try:
            assert supervisor.recv(100) == b"READY=1"
            assert "enforcing" in wire[0].run(["nft", "list", "table", "inet", "ipwatchd"]).stdout
        finally:
            process.terminate()
            assert process.wait(30) == 0
