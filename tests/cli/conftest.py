"""What the command tests share: a replayed state folder, and commands run in this process."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from ipwatchd.cli import ipwatchctl, ipwatchd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Done(NamedTuple):
    """What a command left: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


@pytest.fixture
def daemon_command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run `ipwatchd WORDS…`."""

    def run(*words: object) -> Done:
        status = ipwatchd.main([str(word) for word in words])
        return Done(status, *capfd.readouterr())

    return run


@pytest.fixture
def ctl(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run `ipwatchctl WORDS…`."""

    def run(*words: object) -> Done:
        try:
            status = ipwatchctl.main([str(word) for word in words])
        except SystemExit as wrong:
            status = int(wrong.code or 0)
        return Done(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def replayed(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state folder with a port scan, TLS and DNS in it; nobody may write to it."""
    folder = tmp_path_factory.mktemp("replayed")
    captures = shared / "pcap"
    files = [captures / "detect/nDPI__synscan.pcap", captures / "flows/nDPI__safari.pcap"]
    assert ipwatchd.main(["replay", *map(str, files), "--state", str(folder / "state")]) == 0
    return folder / "state"


@pytest.fixture
def state(replayed: Path, tmp_path: Path) -> Path:
    """Return a copy of the replayed folder that a test may change."""
    return shutil.copytree(replayed, tmp_path / "state")
