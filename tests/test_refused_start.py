"""What keeps the daemon from starting: one sentence, the right status, nothing recorded lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipwatchd.cli import ipwatchctl
from ipwatchd.lab.netns import Namespace
from tests.agents import Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STORES = ("history.db", "lists.db", "incidents.db", "audit.db")
NOBODY = 65534
NOT_COMPILED = ("env", "NUMBA_DISABLE_JIT=1")
"""A user who may not write beside the package would compile all of it anew, for 30 s."""
CONFIG = '[capture]\ninterfaces = ["lo"]\n'


@pytest.fixture
def agent(namespace: Callable[[str], Namespace]) -> Iterator[Agent]:
    """Return a daemon on a loopback, not started, in a folder that other users may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Agent(namespace("gateway"), Path(folder), CONFIG)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state folder that a daemon left behind, with one entry on the deny list."""
    folder = tmp_path_factory.mktemp("left")
    try:
        space = Namespace("left")
    except PermissionError:
        pytest.skip("needs CAP_SYS_ADMIN: run as root or under unshare -Urn")
    with space:
        agent = Agent(space, folder, CONFIG).start()
        agent.ctl("deny", "add", "203.0.113.7", "--reason", "kept")
        assert agent.stop() == 0
    return agent.state


@pytest.fixture
def written(agent: Agent, left: Path) -> Agent:
    """Return a daemon, not started, that finds those stores."""
    shutil.copytree(left, agent.state)
    return agent


def _one_sentence(agent: Agent, *words: str) -> None:
    done = agent.refused()
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if "event=" not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("ipwatchd: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("name", STORES)
def test_a_damaged_store_is_named(written: Agent, name: str) -> None:
    """Each damaged SQLite file is named with the mend; the daemon leaves it as it is."""
    path = written.state / name
    damaged = path.read_bytes()[:16] + b"\xa5" * 8176
    path.write_bytes(damaged)
    others = {one: (written.state / one).read_bytes() for one in STORES if one != name}
    _one_sentence(written, f"{path} is damaged", "move it aside")
    assert path.read_bytes() == damaged
    path.unlink()
    for one, content in others.items():
        assert (written.state / one).read_bytes()[:100] == content[:100]
    written.start()
    kept = [row["network"] for row in written.ask("deny", "list")]
    assert kept == ([] if name == "lists.db" else ["203.0.113.7/32"])
    assert written.stop() == 0


@pytest.mark.parametrize("name", STORES)
def test_a_newer_schema_is_refused(written: Agent, name: str) -> None:
    """A store of a later release is not touched: which release wrote it matters, says the line."""
    path = written.state / name
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    _one_sentence(written, str(path), "has schema 9999", "install the release")
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (9999,)
    db.close()


@pytest.mark.parametrize("name", STORES)
def test_a_damaged_store_in_a_folder_that_is_asked(
    written: Agent, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also ipwatchctl --state says the same sentence, status 1."""
    (written.state / name).write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)
    assert ipwatchctl.main(["--state", str(written.state), "status"]) == 1
    err = capfd.readouterr().err
    assert f"{name} is damaged" in err
    assert err.count("\n") == 1


def test_without_privileges(agent: Agent) -> None:
    """A user without capabilities is told which are needed."""
    agent.folder.chmod(0o777)
    agent.state.mkdir()
    os.chown(agent.state, NOBODY, NOBODY)
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    agent.prefix = [*NOT_COMPILED, "setpriv", *user, "--inh-caps=-all", "--bounding-set=-all"]
    _one_sentence(agent, "CAP_NET_RAW")


def test_a_state_folder_that_may_not_be_written(agent: Agent) -> None:
    """A state folder of somebody else's: its name and the mend."""
    agent.state.mkdir(mode=0o755)
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    agent.prefix = [*NOT_COMPILED, "setpriv", *user, "--inh-caps=-all", "--bounding-set=-all"]
    _one_sentence(agent, str(agent.state), "run it as root, or as a user who may")


def test_a_socket_that_another_daemon_answers_on(
    agent: Agent, namespace: Callable[[str], Namespace]
) -> None:
    """Two daemons with a state of their own can't share a socket; the first one keeps it."""
    agent.start()
    other = Agent(namespace("other"), agent.folder, CONFIG)
    other.path.write_text(other.path.read_text().replace("/state", "/other-state"))
    _one_sentence(other, f"another daemon answers on {agent.socket}")
    assert agent.ask("status")["live"]
    assert agent.stop() == 0


def test_a_socket_folder_that_is_missing(agent: Agent) -> None:
    """Where the socket can't be made the line says where and which key."""
    agent.path.write_text(agent.path.read_text().replace("/control.sock", "/none/control.sock"))
    _one_sentence(agent, "none/control.sock", "[control] socket")
