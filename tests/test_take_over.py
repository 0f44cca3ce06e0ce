"""A site and the centre as processes with a cable between them that is pulled and put back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.lab.netns import veth
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ipwatchd.lab.netns import Namespace

CENTRAL = [sys.executable, "-m", "ipwatchd.cli.central"]
PLAN = """
silent_seconds = 5
[channels.mail]
kind = "smtp"
host = "127.0.0.1"
port = 2525
tls = "none"
sender = "NAME@example.net"
retry = 0.2
[people.NAME]
contacts = [{ channel = "mail", to = "NAME@example.net" }]
[catch_all]
targets = ["person:NAME"]
every = "5m"
[[policy]]
id = "urgent"
match = { priority = ["P1"] }
[[policy.step]]
targets = ["person:NAME"]
"""
CONFIG = """
[capture]
source = "none"
[uplink]
url = "http://192.0.2.2:8470"
token_file = "TOKEN"
retry_seconds = 0.2
poll_seconds = 0.5
[escalation]
plan = "PLAN"
hand_over = HAND
"""


class Place:
    """A namespace with a mail server that writes what it takes to a folder."""

    def __init__(self, space: Namespace, folder: Path, stack: ExitStack) -> None:
        self.space, self.box = space, folder / "mails"
        command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", "127.0.0.1:2525", "-c",
                   "aiosmtpd.handlers.Mailbox", str(self.box)]  # fmt: skip
        stack.enter_context(_ended(space.popen(command, stdout=subprocess.DEVNULL)))
        plan = folder / "escalation.toml"
        plan.write_text(PLAN.replace("NAME", folder.name))
        self.plan = plan

    def mails(self) -> list[str]:
        """Return the subjects of what has arrived."""
        files = (self.box / "new").glob("*") if self.box.exists() else ()
        lines = [line for file in files for line in file.read_text().splitlines()]
        return [line for line in lines if line.startswith("Subject: ")]


@contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


class World:
    """Both places, the cable, and what runs there."""

    def __init__(self, make: Callable[[str], Namespace], folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        gateway, central = make("gateway"), make("centre")
        veth(gateway, "wan", central, "lan")
        gateway.address("wan", "192.0.2.1/24")
        central.address("lan", "192.0.2.2/24")
        for name in ("site", "centre"):
            (folder / name).mkdir()
        self.site = Place(gateway, folder / "site", stack)
        self.centre = Place(central, folder / "centre", stack)
        self.state = folder / "centre" / "state"
        made = subprocess.run(
            [*CENTRAL, "token", "add", "testsite", "--state", str(self.state)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        (folder / "token").write_text(made.stdout)
        run = [*CENTRAL, "run", "--state", str(self.state), "--host", "192.0.2.2", "--escalation",
               str(self.centre.plan)]  # fmt: skip
        stack.enter_context(_ended(central.popen(run, stdout=subprocess.DEVNULL)))

    def agent(self, *, hand_over: bool) -> Agent:
        """Start the site's daemon."""
        text = CONFIG.replace("TOKEN", str(self.folder / "token"))
        text = text.replace("PLAN", str(self.site.plan)).replace("HAND", str(hand_over).lower())
        agent = Agent(self.site.space, self.folder / "site", text).start()
        agent.until(30, "status", has=lambda answer: answer["uplink"]["reachable"])
        return agent

    def cable(self, state: str) -> None:
        """Pull the cable ("down"), or put it back ("up")."""
        self.site.space.run(["ip", "link", "set", "dev", "wan", state])

    def pages(self) -> dict[str, Any]:
        """Return the centre's open incidents by rule."""
        done = subprocess.run(
            [*CENTRAL, "pages", "--state", str(self.state), "--json"], capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        return {row["rule"]: row for row in json.loads(done.stdout)}


@pytest.fixture
def world(namespace: Callable[[str], Namespace], tmp_path: Path) -> Iterator[World]:
    """Return a site and a centre, joined."""
    with ExitStack() as stack:
        yield World(namespace, tmp_path, stack)


def urgent(agent: Agent, text: str) -> str:
    """Report something and make it a P1; return its id."""
    row = agent.ask("report", text)
    agent.ctl("incidents", "prioritise", row["id"], "P1", "--reason", "the client calls")
    return str(row["id"])


@pytest.mark.timeout(200)
def test_cut_off_the_site_pages_silent_the_centre_pages_and_back(world: World) -> None:
    """Cut off, the site pages; dead too, the centre does; back, what it took over is closed."""
    agent = world.agent(hand_over=False)
    first = urgent(agent, "seen by the centre")
    until(lambda: any(first in line for line in world.site.mails()))
    agent.until(30, "status", has=lambda answer: answer["uplink"]["waiting"] == 0)
    world.cable("down")
    second = urgent(agent, "while cut off")
    until(lambda: any(second in line for line in world.site.mails()))
    agent.kill()
    until(lambda: any("is silent" in line for line in world.centre.mails()), 90)
    until(lambda: any(first in line for line in world.centre.mails()))
    assert not any(second in line for line in world.centre.mails())
    world.cable("up")
    agent.start()
    until(lambda: not world.pages())
    agent.until(30, "status", has=lambda answer: answer["uplink"]["waiting"] == 0)
    assert agent.stop() == 0


@pytest.mark.soak
@pytest.mark.timeout(200)
def test_handed_over_the_centre_pages_until_it_is_out_of_reach(world: World) -> None:
    """Handed over the site is quiet and hears of answers; out of reach, it pages by itself."""
    agent = world.agent(hand_over=True)
    agent.until(30, "status", has=lambda answer: answer["escalation"]["hushed"])
    first = urgent(agent, "handed over")
    until(lambda: any(first in line for line in world.centre.mails()))
    assert world.site.mails() == []
    taken = world.pages()["taken-over"]["id"]
    subprocess.run([*CENTRAL, "ack", taken, "--state", str(world.state)], check=True)
    agent.until(30, "incidents", "show", first, has=lambda answer: (
        (answer["incident"].get("paging") or {}).get("acks")))  # fmt: skip
    world.cable("down")
    second = urgent(agent, "out of reach")
    until(lambda: any(second in line for line in world.site.mails()), 90)
    assert not any(second in line for line in world.centre.mails())
    assert agent.stop() == 0
