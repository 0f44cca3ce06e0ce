"""`ipwatchd lab --cases`: twelve incidents from intake to closing, by the people's own commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .processes import gone

_ROOT = Path(__file__).resolve().parents[2]
_LAB = (sys.executable, "-m", "ipwatchd.cli.ipwatchd", "lab", "--cases")


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_the_whole_day_of_cases(mark: str, tmp_path: Path) -> None:
    """Exit status 0, no cross, the papers are there, nothing runs on."""
    keep, temporary = tmp_path / "kept", tmp_path / "tmp"
    temporary.mkdir()
    done = subprocess.run(
        [*_LAB, "--keep", str(keep)], cwd=_ROOT, capture_output=True, text=True, check=False,
        timeout=360,
        env=os.environ | {mark: "1", "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    assert (keep / "papers" / "case.pdf").read_bytes().startswith(b"%PDF-")
    assert gone(mark)
    assert not list(temporary.iterdir())
