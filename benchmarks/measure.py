"""CPU and memory of a command, medians of repeats, and how results are printed."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
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
    with subprocess.Popen(
        list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {output[-500:]}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def say(result: dict[str, Any], lines: Sequence[str]) -> None:
    """Print one JSON object with --json, else the lines."""
    if "--json" in sys.argv:
        print(json.dumps(result))
    else:
        print("\n".join(lines))
