"""A daemon that can't start leaves the site's rules in the kernel all the same."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
def test_a_damaged_history_costs_no_rules(agent: Agent) -> None:
    """History can't be read: the daemon says so and ends, the rules are in the kernel."""
    agent.start()
    agent.ctl("deny", "add", "198.51.100.7", "--for", "1h", "--reason", "kept")
    agent.ctl("firewall", "mode", "observe", "--yes")
    assert agent.stop() == 0
    (_disk(agent) / "history.db").write_bytes(b"\xa5" * 8192)
    agent.namespace.run(["nft", "flush", "ruleset"])
    assert agent.refused().returncode == 1
    held = agent.namespace.run(["nft", "list", "set", "inet", "ipwatchd", "deny4"]).stdout
    assert "198.51.100.7" in held
    gate = agent.namespace.run(["nft", "list", "set", "inet", "ipwatchd", "enforcing"]).stdout
    assert "elements" not in gate
