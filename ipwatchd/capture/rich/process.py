"""The child as a process: its start, its two pipes that never block us, its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMAND", "Child"]

_ROOT: Final = str(Path(__file__).resolve().parents[3])
COMMAND: Final = (sys.executable, "-s", "-P", "-m", "ipwatchd.capture.rich.child")
_ENVIRONMENT: Final = {
    "PYTHONPATH": _ROOT,
    # Nothing of the user's is read, and nothing is cached in a home.
    "HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent",
    "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
}  # fmt: skip
_READ: Final = 1 << 16
_READS: Final = 4
"""Reads of one look. Stops a child that floods its pipe from keeping us reading."""


class Child:
    """A running child. Raises OSError where it can't be started."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT, cwd="/", start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin and self._process.stdout  # noqa: S101, PT018 - they are PIPE
        self._in, self._out = self._process.stdin, self._process.stdout
        self.writable, self.readable = self._in.fileno(), self._out.fileno()
        os.set_blocking(self.writable, False)
        os.set_blocking(self.readable, False)

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def write(self, data: bytes) -> int:
        """Return how many bytes the pipe took; 0 where it is full or closed."""
        try:
            return os.write(self.writable, data)
        except (BlockingIOError, BrokenPipeError):
            return 0

    def read(self) -> tuple[bytes, bool]:
        """Return what it wrote since, and whether it ended."""
        parts: list[bytes] = []
        for _ in range(_READS):
            try:
                part = os.read(self.readable, _READ)
            except BlockingIOError:
                break
            if not part:
                return b"".join(parts), True
            parts.append(part)
        return b"".join(parts), False

    def end(self) -> None:
        """Kill it, if it still runs, and wait for its end."""
        self._process.kill()
        self._in.close()
        self._out.close()
        self._process.wait()
