"""Rows as aligned text for a terminal. What came from the wire can't move the cursor."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TextIO

__all__ = [
    "Column",
    "ago",
    "cells",
    "clean",
    "clean_lines",
    "columns_of_terminal",
    "count",
    "print_table",
    "say",
    "size",
    "when",
]

_HIDDEN: Final = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_MARKS: Final = {"Mn", "Me"}


def clean(value: object) -> str:
    """Return text that is safe to print: controls and direction marks shown as ·."""
    text = str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join("·" if unicodedata.category(c) in _HIDDEN else c for c in text)


def clean_lines(text: str) -> str:
    """Return text of many lines that is safe to print."""
    return "".join(f"{clean(line)}\n" for line in text.split("\n")[:-1])


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line, on standard output unless told, that may hold words of strangers."""
    print(clean(text), file=file)


def cells(text: str) -> int:
    """Return how many places of a terminal line a text takes (UAX 11: wide letters take two)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in _MARKS else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _cut(text: str, limit: int) -> str:
    while cells(text) > limit:
        text = text[: limit if len(text) > limit else -1]
    return text


def _padded(cell: str, width: int, *, right: bool) -> str:
    space = " " * (width - cells(cell))
    return space + cell if right else cell + space


def when(seconds: Any) -> str:
    """Return epoch seconds as local date and time."""
    if not seconds:
        return "never"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(seconds)))
    except (OverflowError, ValueError, OSError):  # no calendar has it; the other rows are shown
        return f"{float(seconds):g}"


def ago(seconds: float) -> str:
    """Return a span in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"


def size(number: Any) -> str:
    """Return bytes in the unit that people read."""
    value = float(number or 0)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return ""


def count(number: Any) -> str:
    """Return a number with thin thousands."""
    return f"{int(number or 0):,}"


def columns_of_terminal(otherwise: int = 80) -> int:
    """Return COLUMNS, or how wide the terminal is; shutil says the same, and imports archives."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(1).columns or otherwise
    except OSError:
        return otherwise


class Column(NamedTuple):
    """A column: key of the row, heading, how a value is written, right-aligned where a number."""

    key: str
    heading: str
    show: Callable[[Any], str] = clean
    right: bool = False


def print_table(columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print rows under their headings; on a terminal the last column is cut to its width."""
    table = [[clean(column.show(row.get(column.key, ""))) for column in columns] for row in rows]
    widths = [
        max([cells(column.heading), *(cells(row[place]) for row in table)])
        for place, column in enumerate(columns)
    ]
    limit = columns_of_terminal(200) if sys.stdout.isatty() else 0
    for row in ([column.heading for column in columns], *table):
        line = "  ".join(
            _padded(cell, width, right=column.right)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        print(_cut(line, limit) if limit else line)
