"""fail2ban-regex with the filters that its package ships: which lines each filter matches."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Answer", "accused", "filters", "matched"]

TIMEOUT: Final = 120
QUIET: Final = ("--print-all-matched", "--print-no-missed", "--print-no-ignored")
_SUM: Final = re.compile(r"^Lines: \d+ lines, \d+ ignored, \d+ matched", re.MULTILINE)


class Answer(NamedTuple):
    """Lines that a filter matched, and the seconds that its process took."""

    matched: set[str]
    seconds: float


def filters() -> set[str]:
    """Return the names of the filters that are installed."""
    return {path.stem for path in Path("/etc/fail2ban/filter.d").glob("*.conf")}


def matched(log: Path, name: str) -> Answer:
    """Return what the filter of a name matches of a log. Raises RuntimeError where it fails."""
    begun = time.perf_counter()
    done = subprocess.run(
        ["fail2ban-regex", *QUIET, str(log), name],
        check=False, capture_output=True, text=True, timeout=TIMEOUT, errors="replace",
    )  # fmt: skip
    if not _SUM.search(done.stdout):
        raise RuntimeError(f"fail2ban-regex {name}: {done.stdout[-200:]}{done.stderr[-200:]}")
    lines = (line.removeprefix("|  ") for line in done.stdout.splitlines())
    return Answer(set(lines), time.perf_counter() - begun)


def accused(log: Path, name: str) -> set[str]:
    """Return the addresses that the filter of a name accuses over a log."""
    done = subprocess.run(
        ["fail2ban-regex", "-o", "ip", str(log), name],
        check=False, capture_output=True, text=True, timeout=TIMEOUT, errors="replace",
    )  # fmt: skip
    return {line.strip() for line in done.stdout.splitlines() if line.strip()}
