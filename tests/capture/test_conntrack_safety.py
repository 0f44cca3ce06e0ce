"""No message of the kernel's, or of one that poses as it, makes us read outside or tell twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("conntrack_checked.py")


@pytest.mark.timeout(300)  # a fresh clone compiles all of it once more, with checks
@pytest.mark.parametrize("switch", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_hostile_messages_and_sums(switch: str) -> None:
    """The same code, checked: cut and flipped messages are survived, records' sums are right."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM)],
        env={**os.environ, switch: "1", "PYTHONPATH": str(PROGRAM.parents[2])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
