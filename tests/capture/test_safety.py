"""No packet makes the loop read outside what was captured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("checked.py")


@pytest.mark.timeout(300)  # a fresh clone compiles all of it once more, with checks
@pytest.mark.parametrize("switch", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_hostile_packets(shared: Path, switch: str) -> None:
    """The same code under bounds checks survives crafted files, cut packets and flipped bits."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(shared / "pcap" / "malformed")],
        env={**os.environ, switch: "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
