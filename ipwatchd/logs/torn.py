"""Entries that a client tore: a line feed in its name makes several lines of one entry."""

from __future__ import annotations

from typing import Final

__all__ = ["Torn"]

ENTRY: Final = 2048
"""Bytes of an entry at most (nginx: NGX_MAX_ERROR_STR): what begins within them is its client's."""
SOURCES: Final = 1024
"""Sources of which a torn entry is remembered, so that senders without end fill nothing."""


class Torn:
    """What is left of the last torn entry of each source. Pure."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[str, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._left)

    def note(self, source: str, program: str, size: int) -> None:
        """Remember an entry of a program that goes on in the next lines of a source."""
        self._left[source] = program, ENTRY - size
        if len(self._left) > SOURCES:
            del self._left[next(iter(self._left))]

    def covers(self, source: str, program: str, size: int) -> bool:
        """Tell whether a line is what a client wrote; `program` is "" where the line names none."""
        writer, left = self._left.get(source, ("", 0))
        if not writer or program not in {"", writer}:
            return False
        if left > size:
            self._left[source] = writer, left - size - 1
        else:
            del self._left[source]
        return left > 0
