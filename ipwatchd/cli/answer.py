"""How a command shows what it was answered: JSON, rows or a sentence; and how it asks back."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.cli.table import print_table, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["agreed", "as_json", "as_rows", "as_sentence", "steady"]

_STEERING: Final = "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
"""What JSON may hold as it is and a terminal would obey."""


def as_json(value: object) -> int:
    """Print JSON that steers no terminal."""
    text = msgspec.json.format(msgspec.json.encode(value)).decode()
    sys.stdout.buffer.write(steady(text).encode() + b"\n")
    return 0


def steady(text: str) -> str:
    """Return JSON that means the same and steers no terminal."""
    return re.sub(_STEERING, lambda found: f"\\u{ord(found[0]):04x}", text)


def as_rows(arguments: argparse.Namespace, view: str, rows: Sequence[Any]) -> int:
    """Print rows as a table of this view, or as JSON."""
    plain: list[dict[str, Any]] = msgspec.to_builtins(rows)
    if arguments.json:
        return as_json(plain)
    from ipwatchd.cli import views  # commands that list nothing start without it

    print_table(views.COLUMNS[view], plain)
    return 0


def as_sentence(arguments: argparse.Namespace, answer: Any, text: str) -> int:
    """Print one sentence, or the answer as JSON."""
    if arguments.json:
        return as_json(answer)
    say(text)
    return 0


def agreed(arguments: argparse.Namespace, question: str) -> bool:
    """Ask on a terminal; scripts are taken at their word."""
    if arguments.yes or not sys.stdin.isatty():
        return True
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
