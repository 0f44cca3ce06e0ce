"""The fuzzer's longer run (make soak)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).parents[3] / "benchmarks" / "fuzz_dissect.py"


@pytest.mark.soak
def test_fuzzer_finds_nothing(tmp_path: Path) -> None:
    """Minutes of hostile input into every dissector: nothing raises, hangs or grows."""
    command = [sys.executable, str(FUZZER), "--json", "--seconds", "300"]
    done = subprocess.run(
        [*command, "--crash", str(tmp_path / "crash.bin")], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["executions"] > 10_000
