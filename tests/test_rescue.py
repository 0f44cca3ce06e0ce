"""A daemon that can't start leaves the site's rules in the kernel all the same."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from ipwatchd.config import Config, FirewallSettings
from ipwatchd.enforcement import Choice
from ipwatchd.lists import Lists
from ipwatchd.rescue import hold_rules
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipwatchd.lab.netns import Namespace

CONFIG = """
[capture]
source = "none"
[firewall]
mode = "enforce"
[history]
free_bytes = 1000000
"""


@pytest.fixture
def agent(namespace: Callable[[str], Namespace], tmp_path: Path) -> Iterator[Agent]:
    """Return a daemon whose state folder is a disk of 8 MB that outlives it."""
    one = Agent(namespace("gateway"), tmp_path, CONFIG)
    one.state.mkdir()
    mount = 'mount -t tmpfs -o size=8m state "$0" && echo there && exec sleep 600'
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, str(one.state)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "there\n"
        one.prefix = ["nsenter", "-m", "-t", str(holder.pid)]
        yield one
        if one.process and one.process.poll() is None:
            one.stop()
        holder.kill()


def _disk(agent: Agent) -> Path:
    """Return the state folder as the daemon sees it."""
    return Path(f"/proc/{agent.prefix[-1]}/root{agent.state}")


def test_a_reboot_with_a_full_disk(agent: Agent) -> None:
    """Killed, disk full, kernel empty: the start is refused, and the lists are enforced again."""
    agent.start()
    agent.ctl("deny", "add", "198.51.100.7", "--for", "1h", "--reason", "kept")
    agent.ctl("deny", "add", "203.0.113.0/24", "--reason", "kept", "--yes")
    agent.kill()
    fill = _disk(agent) / "fill"
    with fill.open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    agent.namespace.run(["nft", "flush", "ruleset"])
    done = agent.refused()
    assert done.returncode == 1, done.stderr
    assert "2 entries denied stand in the kernel all the same (enforce)" in done.stderr
    assert "make room on the disk" in done.stderr
    held = agent.namespace.run(["nft", "list", "ruleset"]).stdout
    assert "198.51.100.7" in held
    assert "203.0.113.0/24" in held
    fill.unlink()
    agent.start()
    assert agent.ctl("firewall", "diff").returncode == 0
    assert agent.ask("firewall", "status")["mode"] == "enforce"


@pytest.mark.soak
def test_a_damaged_history_costs_no_rules(agent: Agent, shared: Path) -> None:
    """History can't be read: the daemon says so and ends, the rules are in the kernel.

    Countries are read from the databases that `geo install` put there, as the daemon does.
    """
    (_disk(agent) / "geo").mkdir()
    shutil.copy(shared / "geoip/GeoLite2-Country-Test.mmdb", _disk(agent) / "geo/country.mmdb")
    agent.start()
    agent.ctl("deny", "add", "198.51.100.7", "--for", "1h", "--reason", "kept")
    agent.ctl("deny", "add", "country:GB", "--reason", "kept", "--yes")
    agent.ctl("firewall", "mode", "observe", "--yes")
    assert agent.stop() == 0
    (_disk(agent) / "history.db").write_bytes(b"\xa5" * 8192)
    agent.namespace.run(["nft", "flush", "ruleset"])
    assert agent.refused().returncode == 1
    held = agent.namespace.run(["nft", "list", "ruleset"]).stdout
    assert "198.51.100.7" in held
    assert "2.125.160.216" in held
    # Nobody confirmed it: until the change would roll back the kernel does not drop.
    pause = agent.namespace.run(["nft", "list", "set", "inet", "ipwatchd", "paused"]).stdout
    assert re.search(r"elements = \{ ipv4 timeout \S+ expires \S+, ipv6 timeout", pause)


async def _list(folder: Path, now: float) -> None:
    lists = await Lists.open(folder)
    await lists.add("deny", "198.51.100.7", reason="x", author="m", now=now)
    await lists.close()


def test_a_mode_that_waits_ends_also_where_the_daemon_does_not_start(
    namespace: Callable[[str], Namespace], tmp_path: Path
) -> None:
    """Enforce that nobody confirmed ends in the kernel; off that nobody confirmed is a pause."""
    now, box = time.time(), namespace("gateway")
    asyncio.run(_list(tmp_path, now))
    config = Config(firewall=FirewallSettings(mode="observe"))
    shown = {}
    for mode, previous in (("enforce", "observe"), ("off", "enforce"), ("off", "observe")):
        choice = Choice(mode, previous, now + 50, "observe")
        (tmp_path / "firewall.json").write_bytes(msgspec.json.encode(choice))
        box.run(["nft", "flush", "ruleset"])
        with box.inside():
            done = asyncio.run(hold_rules(config, tmp_path, now))
        shown[mode, previous] = done, box.run(["nft", "list", "ruleset"]).stdout
    (_, enforced), (_, paused), (nothing, none) = shown.values()
    assert re.search(r"set enforcing \{[^}]*elements = \{ ipv4 timeout 50s", enforced)
    assert re.search(r"set enforcing \{[^}]*elements = \{ ipv4, ipv6", paused)
    assert re.search(r"set paused \{[^}]*elements = \{ ipv4 timeout 50s", paused)
    assert (nothing, none) == ("", "")
