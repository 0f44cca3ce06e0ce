"""A JSON object as a page: facts first, then a section for each object and list in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tui import fields, quantity
from tui.columns import Column, Context, Row, fit_cell, layout
from tui.records import ENTRIES, INCIDENTS, KINDS, columns_for
from tui.text import Piece, clean, fit, width, wrap

__all__ = ["document", "facts", "heading", "table"]

_TIMES: Final = frozenset({
    "ts", "time", "start", "end", "created", "expires", "opened", "received", "since", "until",
    "now", "changed", "built", "closed", "updated", "aware",
})  # fmt: skip
_SIZES: Final = frozenset({"bytes", "orig_bytes", "resp_bytes", "memory_bytes"})
_COUNTS: Final = frozenset({"flows", "packets", "orig_packets", "resp_packets"})
_ROWS: Final = 200
"""Rows of one section: a page is for reading, the records screen for browsing."""
_DEPTH: Final = 4
"""Objects within objects that are opened; deeper ones are shown on one line."""

_SECTIONS: Final[Mapping[str, Sequence[Column]]] = {
    "incidents": INCIDENTS, "entries": ENTRIES, "lists": KINDS["list"], "list": KINDS["list"],
    "sessions": KINDS["session"], "agents": KINDS["agent"], "places": KINDS["geo"],
    "also_held_by": ENTRIES,
}  # fmt: skip


def heading(text: str, cells: int) -> list[Piece]:
    """Return the title of a section with a rule to the right edge."""
    title = clean(text).replace("_", " ")
    return [Piece(f"{title} ", "heading"), Piece("─" * max(cells - width(title) - 1, 0), "faint")]


def _value(key: str, value: Any, context: Context) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not value and key in {"expires", "asn"}:
            return "for good" if key == "expires" else ""
        if (key in _TIMES or key.endswith("_seen")) and value > 1e8:
            ago = quantity.age(value, context.now) if value <= context.now else ""
            return quantity.moment(value, context.zone) + (f"  ({ago})" if ago else "")
        if key in _SIZES:
            return quantity.size(value)
        if key in _COUNTS:
            return quantity.count(value)
    return fields.said(value)


def facts(row: Mapping[str, Any], cells: int, context: Context) -> list[list[Piece]]:
    """Return one line a value: its name, and what it is, wrapped."""
    said = [(clean(k).replace("_", " "), _value(k, v, context)) for k, v in row.items()]
    said = [(name, text) for name, text in said if text != ""]
    left = min(max((width(name) for name, _ in said), default=0), 20)
    lines: list[list[Piece]] = []
    for name, text in said:
        for index, part in enumerate(wrap(text, max(cells - left - 3, 10))[:20]):
            label = fit(name if index == 0 else "", left)
            lines.append([Piece(f" {label}  ", "quiet"), Piece(part)])
    return lines


def table(kind: str, rows: Sequence[Row], cells: int, context: Context) -> list[list[Piece]]:
    """Return rows under the columns of their kind."""
    columns = _SECTIONS.get(kind) or columns_for(kind, rows)
    laid = layout(columns, rows, cells - 2, context)
    lines = [[Piece(" ")]]
    for one in laid:
        title = fit(one.column.title, one.width, right=one.column.right)
        lines[0] += [Piece(title, "quiet"), Piece(" ")]
    scale = max((c.share(r) for c in columns if c.share for r in rows), default=0.0)
    full = context._replace(scale=scale)
    for row in rows[:_ROWS]:
        lines.append([Piece(" ")])
        for one in laid:
            lines[-1] += [fit_cell(one, row, full), Piece(" ")]
    if len(rows) > _ROWS:
        lines.append([Piece(f" {len(rows) - _ROWS} more: see the records", "quiet")])
    return lines


def document(
    page: Mapping[str, Any], cells: int, context: Context, depth: int = 0
) -> list[list[Piece]]:
    """Return the whole object as lines."""
    plain = {k: v for k, v in page.items() if not _is_section(v) or depth >= _DEPTH}
    lines = facts(plain, cells, context)
    for key, value in page.items():
        if key in plain or not value:
            continue
        lines += [[], heading(key, cells)]
        if isinstance(value, Mapping):
            lines += document(value, cells, context, depth + 1)
        else:
            lines += table(key, value, cells, context)
    return lines


def _is_section(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)
