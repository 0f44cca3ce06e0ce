"""What the lines of programs say and how the lines of their own files start, ready to be tried."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from ipwatchd.logs.names import SPELLINGS
from ipwatchd.logs.template import Template  # noqa: TC001 - msgspec reads the types of its fields

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Head", "Line", "Program"]


class Line(msgspec.Struct, frozen=True):
    """One thing that a program says: what it means, and the method where the line has none.

    `other` is another reading of the same text: where it names another client, none is named. An
    `echo` is told by another line too, the server's own.
    """

    template: Template
    result: str
    method: str
    other: Template | None = None
    status: int = 0
    echo: bool = False

    def match(self, text: str) -> dict[str, str] | None:
        """Return what the line tells, or None."""
        facts = self.template.match(text)
        other = self.other.match(text) if facts and self.other else None
        if facts and other and other.get("from") != facts.get("from"):
            facts |= {"from": "", "port": ""}
        return facts


class Program:
    """What a program says. `before` is what may stand at the start of all its lines.

    `remembers` tells that a process (or `{session}`) serves one client: lines that name none mean
    the one of its earlier lines. `user` is how it spells names (`names`), "" as they are.
    """

    def __init__(
        self, service: str, before: Template | None, lines: list[Line], user: str = ""
    ) -> None:
        self.service = service
        self.before = before
        self.spelled = SPELLINGS.get(user)
        self.remembers = any(line.result == "remember" for line in lines)
        self.lines = tuple(lines)
        self._all = _by_literal(lines)
        self._open = _by_literal(line for line in lines if not line.template.first)
        self._starting = {
            first: _by_literal(line for line in lines if line.template.first in {first, ""})
            for first in {line.template.first for line in lines} - {""}
        }
        self.literals = frozenset(line.template.holds for line in lines)

    def read(self, text: str) -> tuple[Line, dict[str, str]] | None:
        """Return the first line that says this and what it and `before` tell, or None."""
        # What a text does not hold costs a look for it, not the work of a pattern.
        if self.before is None:
            tried = self._open
            if self._starting:
                tried = self._starting.get(text.partition(" ")[0], tried)
            for line in [one for literal, lines in tried if literal in text for one in lines]:
                told = line.match(text)
                if told is not None:
                    return line, told
            return None
        fits = [one for literal, lines in self._all if literal in text for one in lines]
        found = self.before.split(text) if fits else None
        more, text = found if found is not None else ({}, text)
        for line in fits:
            told = line.match(text)
            if told is not None:
                return line, {key: one for key, one in more.items() if one} | told
        return None


def _by_literal(lines: Iterable[Line]) -> list[tuple[str, tuple[Line, ...]]]:
    """Return lines by the longest of their literals, in the order of the file."""
    return [
        (literal, tuple(group)) for literal, group in groupby(lines, lambda one: one.template.holds)
    ]


class Head(msgspec.Struct, frozen=True):
    """How the lines of a program's own file start; `time` names the kind of stamp.

    Up to the stamp it is `opening`, which many share, behind it `template`. `starts` are the
    characters that the first of them may be, "" where that is open.
    """

    program: str
    opening: Template
    template: Template
    time: str
    starts: str = ""

    def split(self, text: str) -> tuple[dict[str, str], str] | None:
        """Return what the head of a text tells and what is behind it, or None."""
        begun = self.opening.split(text)
        return None if begun is None else self.follow(*begun)

    def follow(self, begun: dict[str, str], text: str) -> tuple[dict[str, str], str] | None:
        """Return the same, of what the opening left."""
        found = self.template.split(text)
        return None if found is None else (begun | found[0], found[1])
