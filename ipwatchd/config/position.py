"""Where each key of a TOML file stands: dotted path → line. Pure; for files that parse.

tomllib says nothing about places, and a message without a line makes people search.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["key_lines"]

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
