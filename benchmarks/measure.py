"""CPU and memory of a command, medians of repeats, and how results are printed."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Cost", "median", "run", "say"]


class Cost(NamedTuple):
    """User and system seconds of a process and its children, and its peak memory in MB."""

    cpu: float
    memory: float
    output: str


def run(command: Sequence[str]) -> Cost:
    """Run a command to its end; raises RuntimeError with its output where it fails."""
    memory = 0.0
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        process = subprocess.Popen(list(command), stdout=out, stderr=subprocess.STDOUT)
        while True:
            memory = max(memory, _peak(process.pid))
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.01)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        output = out.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {output[-500:]}")
    return Cost(usage.ru_utime + usage.ru_stime, memory, output)


def _peak(pid: int) -> float:
    """Return a process's peak resident MB (VmHWM: ru_maxrss would include the parent's at fork)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def say(result: dict[str, Any], lines: Sequence[str]) -> None:
    """Print one JSON object with --json, else the lines."""
    if "--json" in sys.argv:
        print(json.dumps(result))
    else:
        print("\n".join(lines))
