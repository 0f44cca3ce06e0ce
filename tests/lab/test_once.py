"""`ipwatchd lab --once`: the whole house on a day's traffic, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ipwatchd.lab.expect import CULPRITS
from ipwatchd.lab.site import named

from .processes import gone

_ROOT = Path(__file__).resolve().parents[2]
_LAB = (sys.executable, "-m", "ipwatchd.cli.ipwatchd", "lab", "--once")


def _environment(mark: str, folder: Path) -> dict[str, str]:
    return os.environ | {mark: "1", "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}


@pytest.mark.timeout(240)
def test_everything_expected_happens(mark: str, tmp_path: Path) -> None:
    """Exit status 0; the summary names the culprits; the kept state is there; nothing runs on."""
    keep, temporary = tmp_path / "kept", tmp_path / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [*_LAB, "--keep", str(keep)], cwd=_ROOT, env=_environment(mark, temporary),
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    for who, rule in CULPRITS.items():
        assert f"one incident {rule} of {named(who).ipv4} ({who})" in done.stdout
    assert (keep / "truth.jsonl").stat().st_size > 0
    assert (keep / "gateway" / "state").is_dir()
    assert gone(mark)
    assert not list(temporary.iterdir())


@pytest.mark.timeout(120)
def test_ctrl_c_in_the_middle_of_the_day_leaves_nothing(mark: str, tmp_path: Path) -> None:
    """The daemon, the collector and every namespace end with the command; no file stays."""
    process = subprocess.Popen(
        _LAB, cwd=_ROOT, env=_environment(mark, tmp_path), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stderr
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("08:30"):
            # as a terminal does: to the whole foreground group
            os.killpg(process.pid, signal.SIGINT)
            break
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, "".join(said) + rest + errors
    assert "Traceback" not in errors
    assert gone(mark)
    assert not list(tmp_path.iterdir())
    assert "ipwatchd-lab" not in Path("/proc/mounts").read_text()
