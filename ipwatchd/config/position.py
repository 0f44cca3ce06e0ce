"""Where each key of a TOML file stands: dotted path → line. Pure; for files that parse.

tomllib says nothing about places, and a message without a line makes people search.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["deep_lines", "key_lines", "line_of"]

_HEADER: Final = re.compile(r"^\s*\[{1,2}([^\[\]]+)\]{1,2}")
_KEY: Final = re.compile(r"""^\s*((?:[A-Za-z0-9_.-]|"[^"]*"|'[^']*'|\s*\.\s*)+?)\s*=""")
_PART: Final = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")
_TOKEN: Final = re.compile(r"""'''|\"\"\"|"(?:[^"\\]|\\.)*"|'[^']*'|[\[\]{}#]""")


def _path(text: str) -> tuple[str, ...]:
    return tuple(a or b or c for a, b, c in _PART.findall(text))


def _depth(line: str, depth: int, quote: str) -> tuple[int, str]:
    """Follow brackets and multi-line strings through one line; return both as they stand after."""
    place = 0
    while place < len(line):
        if quote:
            end = line.find(quote, place)
            if end < 0:
                return depth, quote
            place, quote = end + 3, ""
            continue
        token = _TOKEN.search(line, place)
        if token is None or token.group() == "#":
            break
        place = token.end()
        word = token.group()
        if word in {"'''", '"""'}:
            quote = word
        elif word in "[{":
            depth += 1
        elif word in "]}":
            depth -= 1
    return depth, quote


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line (from 1) of every table header and key."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        rest = line
        if depth == 0 and not quote:
            if header := _HEADER.match(line):
                table = _path(header.group(1))
                lines.setdefault(table, number)
                continue
            if key := _KEY.match(line):
                path = (*table, *_path(key.group(1)))
                for length in range(len(table) + 1, len(path) + 1):
                    lines.setdefault(path[:length], number)
                rest = line[key.end() :]
        depth, quote = _depth(rest, depth, quote)
    return lines


def deep_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Return the line of every header and key; an array of tables counts its tables from 0."""
    lines: dict[tuple[str | int, ...], int] = {}
    counts: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        rest = line
        if depth == 0 and not quote:
            if header := _HEADER.match(line):
                path = _numbered(_path(header.group(1)), counts)
                if line.lstrip().startswith("[["):
                    counts[path] = counts.get(path, -1) + 1
                    path = (*path, counts[path])
                table = path
                lines.setdefault(table, number)
                continue
            if key := _KEY.match(line):
                lines.setdefault((*table, *_path(key.group(1))), number)
                rest = line[key.end() :]
        depth, quote = _depth(rest, depth, quote)
    return lines


def _numbered(
    path: tuple[str, ...], counts: dict[tuple[str | int, ...], int]
) -> tuple[str | int, ...]:
    """Return a header's path with the newest table of each array on its way."""
    found: tuple[str | int, ...] = ()
    for place, word in enumerate(path):
        found = (*found, word)
        if found in counts and place < len(path) - 1:
            found = (*found, counts[found])
    return found


_STEP: Final = re.compile(r"\.?([A-Za-z0-9_-]+)|\[(\d+)\]")


def line_of(text: str, path: str) -> int:
    """Return the line of a path as msgspec writes it (`$.policy[0].step[1].wait`), 0 for none."""
    steps: tuple[str | int, ...] = tuple(
        int(index) if index else name for name, index in _STEP.findall(path.removeprefix("$"))
    )
    lines = deep_lines(text)
    while steps and steps not in lines:
        steps = steps[:-1]
    return lines.get(steps, 0)
