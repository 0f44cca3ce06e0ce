"""Everything held on one subject as one JSON object and one page of HTML, written as it streams."""

from __future__ import annotations

import html
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Dossier", "HtmlDossier", "JsonDossier"]

_TIMES: Final = frozenset(
    {"ts", "start", "end", "first_seen", "last_seen", "time", "created", "expires", "made"}
)
_ROWS: Final = 5_000
"""Rows of a section on the page; the JSON has all of them."""

_TITLES: Final = {
    "incoming": "Services it reached, or that were reached",
    "agent": "Who was at work there", "session": "Sessions", "list": "Changes of lists",
    "geo": "Whereabouts", "api": "API calls", "activity": "Activity", "flows": "Connections",
    "events": "Events", "mentions": "Events that name it", "entries": "List entries that cover it",
    "audit": "Who looked at it",
}  # fmt: skip


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
        self._out.write(msgspec.json.encode(facts)[:-1])

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


_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 76em; color: #222 }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
th, td { text-align: left; padding: .2em .7em; border-bottom: 1px solid #ddd; white-space: nowrap }
th { background: #f4f4f4 } .none { color: #777 }
@media print { table { overflow: visible } }
"""


class HtmlDossier(Dossier):
    """A page that needs nothing else: no script, no font, nothing loaded from anywhere."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._names: list[str] = []
        self._count = 0

    def _write(self, text: str) -> None:
        self._out.write(text.encode("utf-8", "replace"))

    def head(self, facts: dict[str, Any]) -> None:
        """Write the title and what is known at once."""
        title = html.escape(f"What is held on {facts['subject']}")
        self._write(
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
            f"<p>As of {_cell('made', facts['made'])} (UTC).</p>"
        )
        incidents = ", ".join(map(str, facts.get("incidents", ()))) or "none"
        self._write(f"<p>Incidents it is named in: {html.escape(incidents)}.</p>")
        plain = {k: v for k, v in facts.get("totals", {}).items() if not isinstance(v, list)}
        self._table([plain] if plain else [])

    def _table(self, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self.begin("")
            self.rows(rows)
            self.end()

    def begin(self, name: str) -> None:
        """Write a section's title."""
        if name:
            self._write(f"<h2>{html.escape(_TITLES.get(name, name))}</h2>")
        self._names, self._count = [], 0

    def rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows of a table, its head from the first row."""
        for row in rows:
            if not self._names:
                self._names = list(row)
                cells = "".join(f"<th>{html.escape(name)}</th>" for name in self._names)
                self._write(f"<table><tr>{cells}</tr>")
            self._count += 1
            if self._count <= _ROWS:
                cells = "".join(f"<td>{_cell(name, row.get(name))}</td>" for name in self._names)
                self._write(f"<tr>{cells}</tr>")

    def end(self) -> None:
        """End the table and say how many rows there are."""
        if not self._count:
            self._write('<p class="none">Nothing.</p>')
            return
        more = f", the first {_ROWS} shown: the JSON has all" if self._count > _ROWS else ""
        self._write(f'</table><p class="none">{self._count} rows{more}.</p>')

    def close(self) -> None:
        """End the page."""
        self._write("</body></html>\n")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _TIMES and isinstance(value, int | float) and 0 < value < 32_503_680_000:
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list | dict):
        value = msgspec.json.encode(value).decode()
    return html.escape(str(value))
