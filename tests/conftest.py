"""What all tests share: real network namespaces, and no skipped test for root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import aiosqlite
import pytest

from ipwatchd.lab.netns import Namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def namespace() -> Iterator[Callable[[str], Namespace]]:
    """Make network namespaces that end with the test."""
    made: list[Namespace] = []

    def make(name: str = "") -> Namespace:
        try:
            made.append(Namespace(name))
        except PermissionError:
            pytest.skip("needs CAP_SYS_ADMIN: run as root or under unshare -Urn")
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def _databases_closed() -> Iterator[None]:
    """Fail the test that leaves a database open, not the one in which the garbage goes."""
    opened: list[aiosqlite.Connection] = []
    connect = aiosqlite.Connection._connect

    async def recorded(self: aiosqlite.Connection) -> aiosqlite.Connection:
        opened.append(self)
        return await connect(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(aiosqlite.Connection, "_connect", recorded)
        yield
    left = [one for one in opened if one._connection is not None]
    for one in left:
        one.stop()
        one._connection = None
    assert not left, f"{len(left)} databases were not closed"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of captures, logs and feeds with known answers."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here")
    return SHARED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Say why a run with skipped tests failed."""
    skipped = len(terminalreporter.stats.get("skipped", []))
    if skipped and _nothing_is_missing():
        terminalreporter.write_line(f"{skipped} skipped: as root and in CI that is a failure")


def _nothing_is_missing() -> bool:
    """Tell whether a skipped test has no excuse: root may all, and CI must run all."""
    return os.geteuid() == 0 or bool(os.environ.get("CI"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail where root or CI skipped a test: nothing is missing where all was set up."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and reporter.stats.get("skipped") and _nothing_is_missing() and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
