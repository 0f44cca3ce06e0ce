"""Text from the wire and from people, made safe and cut to a width in terminal cells.

Names, user agents and reasons are chosen by whoever sends packets. A control character would
drive the admin's terminal, a bidi control would show an address back to front, a stack of
combining marks would paint over other rows: each is shown by its number, never obeyed.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size

__all__ = ["CROSS", "MOST", "Piece", "clean", "elide", "elide_middle", "fit", "width", "wrap"]

CROSS: Final = "\u00d7"
"""The sign of what is wrong or denied: in every font, and seen without colour."""

MOST: Final = 4096
"""Characters of one value that are looked at: a name of megabytes must not stall the screen."""

_MARKS: Final = 2
"""Combining marks kept on one character; real scripts need no more, "zalgo" text does."""

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that have no picture: controls, formats (bidi, zero width, tags),
surrogates, private use, unassigned, line and paragraph separators."""


class Piece(NamedTuple):
    """Some text and what it means (a word of themes.MEANINGS), not how it looks.

    `action` is an action of the app's, done when the text is clicked.
    """

    text: str
    meaning: str = ""
    action: str = ""


def clean(value: object) -> str:
    """Return a value as one line of text that a terminal only prints."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > MOST:
        text = text[:MOST] + "…"
    if text.isascii() and text.isprintable():
        return text
    return _clean(text)


@lru_cache(4096)
def _clean(text: str) -> str:
    shown: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if category in _HIDDEN or marks > _MARKS:
            shown.append(_by_number(character))
        elif category == "Zs":
            shown.append(" ")
        else:
            shown.append(character)
    return "".join(shown)


def _by_number(character: str) -> str:
    """Return the control picture (U+2400 block) of a C0 control, else <U+hex>."""
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<{code:02X}>"


def width(text: str) -> int:
    """Return how many terminal cells a text takes."""
    return cell_len(text)


def elide(text: str, cells: int) -> str:
    """Return the text, its end replaced by an ellipsis where it is wider than `cells`."""
    if cells <= 0:
        return ""
    if cell_len(text) <= cells:
        return text
    return set_cell_size(text, cells - 1).rstrip() + "…"


def elide_middle(text: str, cells: int) -> str:
    """Return the text without its middle: both ends of an IPv6 address tell hosts apart."""
    if len(text) <= cells or not text.isascii():
        return elide(text, cells)
    head = max((cells - 1) // 2, 0)
    return text[:head] + "…" + text[len(text) - (cells - 1 - head) :]


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """Return the text in exactly `cells` cells."""
    text = elide(text, cells)
    space = " " * (cells - cell_len(text))
    return space + text if right else text + space


def wrap(text: str, cells: int) -> list[str]:
    """Return the text in lines of at most `cells` cells, broken between words where it can be."""
    lines: list[str] = []
    line = ""
    for word in clean(text).split(" "):
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= cells:
            line = joined
            continue
        if line:
            lines.append(line)
        line = word
        while cell_len(line) > cells:
            head = set_cell_size(line, max(cells, 1)).rstrip()
            lines.append(head)
            line = line[max(len(head), 1) :]
    return [*lines, line] if line or not lines else lines
