"""Everything held on one subject, written as it streams: what takes it, and one JSON object."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Dossier", "JsonDossier"]


class Dossier:
    """Takes the head (plain values), then sections of rows one after the other."""

    def head(self, facts: dict[str, Any]) -> None:
        """Write what is known at once."""
        raise NotImplementedError

    def begin(self, name: str) -> None:
        """Begin a section."""
        raise NotImplementedError

    def rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows of it."""
        raise NotImplementedError

    def end(self) -> None:
        """End a section."""
        raise NotImplementedError

    def close(self) -> None:
        """End the whole."""
        raise NotImplementedError


class JsonDossier(Dossier):
    """One object: the head's keys, then each section as an array."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._first = True

    def head(self, facts: dict[str, Any]) -> None:
        """Write the keys of the head."""
        named = {key: value for key, value in facts.items() if key != "contents"}
        self._out.write(msgspec.json.encode(named)[:-1])

    def begin(self, name: str) -> None:
        """Begin an array."""
        self._out.write(f',\n"{name}": ['.encode())
        self._first = True

    def rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write its elements, one a line."""
        for row in rows:
            self._out.write((b"\n" if self._first else b",\n") + msgspec.json.encode(row))
            self._first = False

    def end(self) -> None:
        """End the array."""
        self._out.write(b"]")

    def close(self) -> None:
        """End the object."""
        self._out.write(b"}\n")
