"""Progress on standard error, where that is a terminal and the work takes more than a moment."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Progress", "Waiting"]

_AFTER: Final = 0.7
_EVERY: Final = 0.1


class Progress:
    """A bar that appears after 0.7 s; `update` takes what is done and the whole, in any unit."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._start = time.monotonic()
        self._shown = 0.0
        self._live = sys.stderr.isatty()

    def update(self, done: int, whole: int) -> None:
        """Draw at most ten times a second."""
        now = time.monotonic()
        if not self._live or now - self._start < _AFTER or now - self._shown < _EVERY:
            return
        self._shown = now
        share = min(1.0, done / whole) if whole else 0.0
        filled = round(share * 30)
        left = (now - self._start) * (1 - share) / share if share else 0.0
        bar = "█" * filled + "░" * (30 - filled)
        sys.stderr.write(f"\r{self._label} {bar} {share:4.0%}  {left:3.0f} s left ")
        sys.stderr.flush()

    def close(self) -> None:
        """Wipe the bar."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class Waiting:
    """Says, while one answer takes more than a moment, how long it has and how to stop it."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._thread = threading.Thread(target=self._tell, daemon=True)
            self._thread.start()
        return self

    def _tell(self) -> None:
        start = time.monotonic()
        if self._over.wait(_AFTER):
            return
        while not self._over.wait(_EVERY):
            sys.stderr.write(f"\rasking … {time.monotonic() - start:.0f} s (Ctrl-C stops it) ")
            sys.stderr.flush()
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._over.set()
        if self._thread:
            self._thread.join()
