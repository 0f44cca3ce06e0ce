"""The walls of the house hold: import contracts, light commands, documented settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = (
    "numpy",
    "numba",
    "scapy",
    "duckdb",
    "pyarrow",
    "textual",
    "aiohttp",
    "aiosqlite",
    "pyroute2",
)


def test_import_contracts_hold() -> None:
    """Nobody imports whom they may not (pyproject.toml, [tool.importlinter])."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "module", ["ipwatchd.cli.ipwatchd", "ipwatchd.cli.ipwatchctl", "ipwatchd.cli.central"]
)
def test_commands_start_light(module: str) -> None:
    """A command imports nothing heavy before it knows what is asked of it."""
    code = (
        f"import sys, {module}\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_daemon_never_imports_scapy() -> None:
    """Hostile, rich bytes are dissected in another process; scapy's licence stays there too."""
    code = "import sys, ipwatchd.daemon\nprint('scapy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
