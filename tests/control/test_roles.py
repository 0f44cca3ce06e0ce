"""Who may do what over the socket: real peers of other users and groups."""

from __future__ import annotations

import grp
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipwatchd.config import ControlSettings
from ipwatchd.control.peer import credentials, peer_of
from ipwatchd.lab.netns import Namespace
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
GROUPS = {"viewer": "games", "operator": "audio", "admin": "video"}
CONFIG = '[capture]\nsource = "none"\n'
DENY = ("deny", "add", "203.0.113.7", "--reason", "scan")


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """Return a daemon whose roles belong to groups that every machine has."""
    # Not pytest's folder: every session that starts shuts other users out of it again.
    with tempfile.TemporaryDirectory() as folder, Namespace("gateway") as gateway:
        Path(folder).chmod(0o755)
        one = Agent(gateway, Path(folder), CONFIG)
        text = one.path.read_text()
        keys = "".join(f'{role}s = "{name}"\n' for role, name in GROUPS.items())
        one.path.write_text(text.replace("[control]\n", f"[control]\n{keys}"))
        yield one.start()
        assert one.stop() == 0


def _as(agent: Agent, role: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ipwatchctl as nobody, in the group of a role."""
    group = f"--groups={grp.getgrnam(GROUPS[role]).gr_gid}" if role != "none" else "--clear-groups"
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", group, "--inh-caps=-all"]
    command = [*user, sys.executable, "-m", "ipwatchd.cli.ipwatchctl"]
    return subprocess.run(
        [*command, "--socket", str(agent.socket), *words], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("words", [("status",), ("records", "incoming"), DENY, ("audit",)])
def test_without_a_role_nothing_is_answered(agent: Agent, words: tuple[str, ...]) -> None:
    """A user in none of the groups gets one sentence and status 1."""
    done = _as(agent, "none", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ipwatchctl: nobody has the role none here, this needs ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("role", "words", "needed"),
    [
        ("viewer", ("status",), ""),
        ("viewer", ("incidents", "list"), ""),
        ("viewer", ("audit",), "admin"),
        ("viewer", (*DENY, "--for", "1h"), "operator"),
        ("viewer", ("report", "someone called"), "operator"),
        ("viewer", ("firewall", "mode", "off", "--yes"), "admin"),
        ("operator", (*DENY, "--for", "1h"), ""),
        ("operator", DENY, "admin"),
        ("operator", (*DENY, "--for", "1h", "--force"), "admin"),
        ("operator", ("allow", "add", "203.0.113.8", "--reason", "x", "--for", "1h"), "admin"),
        ("operator", ("report", "someone called"), ""),
        ("operator", ("firewall", "mode", "off", "--yes"), "admin"),
        ("admin", DENY, ""),
        ("admin", ("allow", "add", "203.0.113.8", "--reason", "x"), ""),
        ("admin", ("firewall", "mode", "observe", "--yes", "--confirm", "0s"), ""),
        ("admin", ("audit",), ""),
    ],
)
def test_roles(agent: Agent, role: str, words: tuple[str, ...], needed: str) -> None:
    """Viewers look, operators deny for a time, admins do all; a refusal names the role."""
    done = _as(agent, role, *words)
    if not needed:
        assert done.returncode == 0, done.stderr
        return
    assert (done.returncode, done.stdout) == (1, "")
    assert f"nobody has the role {role} here, this needs {needed}" in done.stderr


def test_what_was_done_is_on_record_under_the_peers_name(agent: Agent) -> None:
    """The audit log has the peer's user name, by the kernel's word."""
    _as(agent, "operator", "deny", "add", "203.0.113.99", "--reason", "scan", "--for", "1h")
    _as(agent, "viewer", "deny", "add", "203.0.113.98", "--reason", "scan", "--for", "1h")
    lines = [row for row in agent.ask("audit") if row["actor"] == "nobody"]
    assert ("deny add", "203.0.113.99") in {(row["action"], row["subject"]) for row in lines}
    assert "203.0.113.98" not in {row["subject"] for row in lines}


def test_credentials_are_the_kernels() -> None:
    """uid, gid and the groups of a connection are those of the process that made it."""
    here, there = socket.socketpair()
    with here, there:
        uid, gid, groups = credentials(here)
    assert (uid, gid) == (os.geteuid(), os.getegid())
    assert groups == frozenset(os.getgroups())


@pytest.mark.parametrize(
    ("uid", "groups", "role"),
    [
        (0, frozenset(), "admin"), (4_000_000, frozenset(), "none"), (4_000_000, {60}, "viewer"),
        (4_000_000, {29, 60}, "operator"), (4_000_000, {44, 29, 60}, "admin"),
    ],
)  # fmt: skip
def test_the_highest_role_counts(uid: int, groups: frozenset[int], role: str) -> None:
    """Of several groups the one that may most counts; a uid without a name has its groups' role."""
    settings = ControlSettings(
        viewers=grp.getgrgid(60).gr_name, operators=grp.getgrgid(29).gr_name,
        admins=grp.getgrgid(44).gr_name,
    )  # fmt: skip
    assert peer_of(uid, uid, frozenset(groups), settings).role == role


def test_a_group_that_does_not_exist_gives_nobody_a_role() -> None:
    """Groups named in the file that nobody made match no one, not even odd ids."""
    settings = ControlSettings(viewers="no-such-group", operators="none-2", admins="none-3")
    assert peer_of(4_000_000, 4_294_967_295, frozenset(), settings).role == "none"
    shown = json.dumps(peer_of(4_000_000, 7, frozenset(), settings))
    assert "uid 4000000" in shown
