"""A reader that no line ends: a fault of ours costs that line, is counted and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipwatchd.logs.rules import Reader

if TYPE_CHECKING:
    from ipwatchd.logs.rules import LogEvent
    from ipwatchd.logs.syslog import Head

__all__ = ["Guarded"]


class Guarded(Reader):
    """Reads as Reader does. `faults` counts what went wrong, `fault` says the last of it."""

    faults = 0
    fault = ""

    def line(self, line: bytes | str, *, now: float, source: str) -> LogEvent | None:
        """Return what a line reports, or None."""
        try:
            return super().line(line, now=now, source=source)
        except Exception as error:  # noqa: BLE001 - see _note
            self._note(error, source)
            return None

    def message(self, head: Head, *, source: str) -> LogEvent | None:
        """Return what a message reports, or None."""
        try:
            return super().message(head, source=source)
        except Exception as error:  # noqa: BLE001 - see _note
            self._note(error, source)
            return None

    def _note(self, error: Exception, source: str) -> None:
        # Strangers write lines. One that found a fault would end the daemon, and again after each
        # start: the file is read from the same place.
        self.faults += 1
        self.fault = (
            f"{self.faults:,} lines were let go by a fault of ipwatchd, the last of {source} "
            f"({type(error).__name__}: {str(error)[:200]}): report it"
        )
