"""Finds what a command left running, by a word in the environment that children inherit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

__all__ = ["end", "gone", "marked"]


def marked(mark: str) -> list[int]:
    """Return the processes that carry the word in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def gone(mark: str, seconds: float = 15.0) -> bool:
    """Wait until there is none and tell whether that came."""
    deadline = time.monotonic() + seconds
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not marked(mark)


def end(mark: str) -> None:
    """End those that are left, after a test that failed."""
    for number in marked(mark):
        os.kill(number, signal.SIGKILL)
