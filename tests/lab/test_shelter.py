"""Nothing outlives the lab, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipwatchd.lab import shelter

from .processes import gone, marked

_ROOT = Path(__file__).resolve().parents[2]
_AS_USER = ("--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child")
_INNER = "tests.lab.inner"


def _start(mark: str, flags: tuple[str, ...], tmp_path: Path) -> subprocess.Popen[str]:
    code = (
        "import sys; from ipwatchd.lab.shelter import hold;"
        f"sys.exit(hold({flags!r}, {_INNER!r}, [{str(tmp_path / 'ready')!r}]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=_ROOT, text=True, stdout=subprocess.PIPE,
        env=os.environ | {mark: "1"}, start_new_session=True,
    )  # fmt: skip


def _until_ready(process: subprocess.Popen[str], tmp_path: Path) -> None:
    deadline = time.monotonic() + 30
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("as_user", [False, True])
def test_all_that_was_started_ends_with_the_command(
    mark: str, tmp_path: Path, number: signal.Signals, *, as_user: bool
) -> None:
    """Also what was started in a session of its own, also when the command is killed with -9."""
    flags = _AS_USER if as_user else shelter.flags()
    process = _start(mark, flags, tmp_path)
    _until_ready(process, tmp_path)
    assert len(marked(mark)) >= 4
    process.send_signal(number)
    process.wait(30)
    assert process.stdout
    process.stdout.close()
    assert gone(mark)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    cleaned = (tmp_path / "ready.cleaned").exists()
    assert cleaned or number == signal.SIGKILL
    assert "ipwatchd-lab" not in Path("/proc/mounts").read_text()


def test_the_status_is_the_inner_one_s() -> None:
    """The exit status comes through both shells."""
    code = (
        "import sys; from ipwatchd.lab.shelter import flags, hold;"
        f"sys.exit(hold(flags(), {_INNER!r}, ['--exit', '7']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, check=False, timeout=60)
    assert done.returncode == 7


def test_missing_commands_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clear line, with the mend."""
    assert shelter.missing() == ""
    monkeypatch.setattr(shelter, "_PATH", "/nonexistent")
    assert shelter.missing() == (
        "nftables and util-linux are needed: sudo apt-get install nftables util-linux"
    )


def test_a_kernel_that_forbids_namespaces_is_named_with_the_mend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unshare that is refused, as an ordinary user: sudo is named."""
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2; exit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(shelter, "_PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(shelter.NoShelterError, match=r"Operation not permitted.*sudo make lab"):
        shelter.flags()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(shelter.NoShelterError, match="CAP_SYS_ADMIN"):
        shelter.flags()
