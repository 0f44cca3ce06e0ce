"""What a line says, as a template: literal text with typed holes, matched in linear time.

    {|Invalid|Illegal} user {user} from {from}{? port {port}}

`{name}` is a hole whose text is kept, `{:kind}` or `{name:kind}` one of a kind, `{?…}` what may be
missing, `{|…|…}` one of several; a brace itself is written twice. A template says the whole text.

Kinds: word (no space), number, client (an address, with or without port, or a host name), ip,
endpoint (an address before `:port`), peer (a client before `:port]`, or any), ctime, classic, iso,
clf, tai, mysql, day (times), `^abc` (none of these characters), braced ({…}, no braces within),
quoted (until an unescaped quote), some (at most 255 of any), text (any: may hold what a stranger
wrote), rest (any, at the end: only the program writes there).

Time is linear because nothing but `some` and `text` is ever tried again at another length, of
each a template has one at most, and each is followed by literal text that has to be found again:
holes of the other kinds, optional parts and choices never give back (atomic groups), and all of
them are bounded.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final, NamedTuple

__all__ = ["Template", "TemplateError"]

_BOUND: Final = 255
_NAME: Final = r"[^ ,;\"'<>()\[\]:]"
# A colon belongs to a client only where more of it follows.
_CLIENT: Final = (
    rf"(?>\[[0-9A-Fa-f:.%]{{2,60}}\](?::[0-9]{{1,5}})?|::(?!{_NAME})|"
    rf":{{0,2}}{_NAME}{{1,{_BOUND}}}(?::{{1,2}}{_NAME}{{1,{_BOUND}}}){{0,9}}"
    rf"(?:::(?!{_NAME}))?)"
)
_KINDS: Final = {
    "word": f"[^ ]{{1,{_BOUND}}}+",
    "number": "[0-9]{1,20}+",
    "ip": "[0-9A-Fa-f.:]{2,45}+",
    "client": _CLIENT,
    # An address with a port behind its last colon, IPv6 without brackets too.
    "endpoint": "(?>[0-9A-Fa-f.:]{2,45}(?=:[0-9]))",
    # The same before a port and "]", and what else a client is: Apache's [client …].
    "peer": rf"(?>(?:[0-9A-Fa-f.:]{{2,45}}|{_NAME}{{1,{_BOUND}}})(?=:[0-9]{{1,5}}\])|{_CLIENT})",
    "quoted": r"(?>(?:[^\"\\]|\\.){0,2048})",
    "braced": r"(?>\{[^{}]{0,2048}\})",
    "some": f".{{0,{_BOUND}}}?",
    "text": ".*",
    "rest": ".*",
    "ctime": r"(?>[A-Z][a-z]{2} [A-Z][a-z]{2} {1,2}[0-9]{1,2} [0-9:]{8}(?:\.[0-9]{1,9})? [0-9]{4})",
    "classic": "(?>[A-Z][a-z]{2} {1,2}[0-9]{1,2} [0-9:]{8})",
    "iso": (
        r"(?>[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ]{1,2}[0-9]{1,2}:[0-9]{2}:[0-9]{2}"
        r"(?:[.,][0-9]{1,9})?(?:Z| UTC| ?[+-][0-9]{2}:?[0-9]{2}(?![0-9]))?)"
    ),
    "tai": "@[0-9a-f]{24}",
    # 130324  0:04:00, of MySQL before 5.6
    "mysql": "[0-9]{6} [ 0-9][0-9]:[0-9]{2}:[0-9]{2}",
    "day": "[0-9]{2}-[A-Z][a-z]{2}-[0-9]{4} [0-9:.]{8,15}+",
    "clf": r"[0-9]{1,2}/[A-Za-z0-9]{2,3}/[0-9]{4}[: ][0-9:.]{8,19}+(?: [+-][0-9]{4})?+",
}
_DEFAULTS: Final = {
    "user": "text", "from": "client", "port": "number", "method": "word", "status": "number",
    "address": "ip", "name": "word", "key": "word", "session": "word", "thread": "number",
    "claimed": "text", "text": "rest", "tries": "number",
    "time": "iso", "program": "word",
}  # fmt: skip
_FREE: Final = frozenset({"some", "text"})
_LITERAL: Final = 1
"""Least literal characters behind a hole of `some` or `text`."""
_HOLE: Final = re.compile(r"([a-z]{0,16})(?::([a-z]{1,16}|\^[^}]{1,16}))?")


class TemplateError(ValueError):
    """A template that can't be used: one sentence."""


class _Part(NamedTuple):
    """A parsed piece. `pattern` as read greedily, `lazy` where free text ends as soon as it can."""

    pattern: str
    lazy: str
    kind: str
    literal: str = ""


class Template:
    """A compiled template. `first` is the literal word it starts with, "" where that is open.

    `holds` is the longest of its literals: a text without it can't match, seen at once. `free`
    tells that it has a hole of `some` or `text`.
    """

    def __init__(self, source: str, *, whole: bool = True) -> None:
        self.source = source
        self._place = 0
        self._names: set[str] = set()
        parts = self._sequence(closing="")
        _check(source, parts)
        self.free = any(part.kind in _FREE for part in parts)
        if parts and parts[-1].kind in {"text", "rest"} and "(?P" not in parts[-1].pattern:
            parts[-1] = _Part("", "", parts[-1].kind)
            whole = False
        end = r"\Z" if whole else ""
        self._pattern = re.compile("".join(part.pattern for part in parts) + end)
        # With a stranger's words in the middle and at the end there may be several readings.
        free = next((at for at, part in enumerate(parts[:-1]) if part.kind == "text"), -1)
        twice = free >= 0 and parts[-1].kind == "text" and "from" in self._names
        self._lazy = re.compile("".join(part.lazy for part in parts) + end) if twice else None
        inner = parts[free + 1 : -1]
        between = "".join(part.pattern for part in inner)
        self._clients = re.compile(between) if twice and "(?P<from>" in between else None
        # Where what a client stands behind is there once, it is read in one way.
        lazy = any(part.kind in _FREE for part in inner)
        self._mark = inner[0].literal if self._clients is not None and not lazy else ""
        self.names = frozenset(self._names)
        literals = [part.literal for part in parts if part.literal] or [""]
        self.holds, self._ends = max(literals, key=len), literals[-1]
        start = parts[0].literal if parts else ""
        self.first = start.partition(" ")[0] if " " in start else ""

    def match(self, text: str) -> dict[str, str] | None:
        """Return what the holes hold, or None. Where readings name two clients, none is named.

        The words of a stranger may look like the rest of the template: nobody is accused for them.
        """
        if self._ends not in text or self.holds not in text:
            return None
        found = self._pattern.match(text)
        if found is None:
            return None
        facts = found.groupdict("")
        if self._clients is None or self._lazy is None:
            return facts
        if not self._mark or text.find(self._mark) != text.rfind(self._mark):
            clients = {one["from"] for one in self._clients.finditer(text)}
            if clients - {facts["from"]}:
                first = self._lazy.match(text) or found
                facts = first.groupdict("") | {"from": "", "port": ""}
        return facts

    def split(self, text: str) -> tuple[dict[str, str], str] | None:
        """Return what the holes at the text's start hold and what is behind them, or None."""
        if self._ends not in text or self.holds not in text:
            return None
        found = self._pattern.match(text)
        if found is None:
            return None
        return found.groupdict(""), text[found.end() :]

    def _fail(self, why: str) -> TemplateError:
        return TemplateError(f"{why} at character {self._place + 1} of {self.source!r}")

    def _sequence(self, closing: str) -> list[_Part]:
        """Read parts up to one of the closing characters, which is left to the caller."""
        parts: list[_Part] = []
        literal = ""
        while self._place < len(self.source):
            here = self.source[self._place]
            double = self.source.startswith(here * 2, self._place)
            if here in closing and not (here == "}" and double and not closing):
                break
            if here == "{" and not double:
                parts += _literal(literal)
                literal = ""
                parts.append(self._brace())
            elif here == "{" or (here == "}" and double and not closing):
                literal += here
                self._place += 2
            elif here == "}":
                raise self._fail("a brace is closed that was not opened")
            else:
                literal += here
                self._place += 1
        return parts + _literal(literal)

    def _brace(self) -> _Part:
        self._place += 1
        if self.source.startswith("?", self._place):
            self._place += 1
            return self._group(["".join(part.pattern for part in self._inner("}"))], "?")
        if self.source.startswith("|", self._place):
            choices = []
            while self.source.startswith("|", self._place):
                self._place += 1
                choices.append("".join(part.pattern for part in self._inner("|}")))
            return self._group(choices, "")
        found = _HOLE.match(self.source, self._place)
        if found is None or not self.source.startswith("}", found.end()) or not found[0]:
            raise self._fail("a hole is {name}, {name:kind}, {?…} or {|…|…}, not so")
        self._place = found.end() + 1
        return self._hole(found[1], found[2] or _DEFAULTS.get(found[1], ""))

    def _inner(self, closing: str) -> list[_Part]:
        parts = self._sequence(closing)
        if any(part.kind in _FREE or part.kind == "rest" for part in parts):
            raise self._fail("some, text and rest can't stand in an optional part or a choice")
        _check(self.source, parts)
        return parts

    def _group(self, choices: list[str], suffix: str) -> _Part:
        if not self.source.startswith("}", self._place):
            raise self._fail("a brace is opened that is not closed")
        self._place += 1
        pattern = f"(?>(?:{'|'.join(choices)}){suffix})"
        return _Part(pattern, pattern, "group")

    def _hole(self, name: str, kind: str) -> _Part:
        if kind.startswith("^"):
            inside = f"[^{re.escape(kind[1:])}]{{0,{_BOUND}}}+"
        elif kind in _KINDS:
            inside = _KINDS[kind]
        else:
            raise self._fail(
                f"{kind or name!r} is no kind: {', '.join(_KINDS)}, or ^ and characters"
            )
        lazy = inside + "?" if kind == "text" else inside
        if name:
            if name not in _DEFAULTS:
                raise self._fail(f"{name!r} is no name: {', '.join(_DEFAULTS)}")
            if name in self._names:
                raise self._fail(f"{name!r} stands there twice")
            self._names.add(name)
            inside, lazy = f"(?P<{name}>{inside})", f"(?P<{name}>{lazy})"
        return _Part(inside, lazy, kind)


def _literal(text: str) -> list[_Part]:
    pattern = re.escape(text)
    return [_Part(pattern, pattern, "literal", text)] if text else []


def _check(source: str, parts: list[_Part]) -> None:
    """Refuse what could take more than linear time. Raises TemplateError."""
    for kind in _FREE:
        if sum(part.kind == kind for part in parts[:-1]) > 1:
            raise TemplateError(f"{source!r} has more than one hole of {kind} before its end")
    for part, after in pairwise(parts):
        if part.kind == "rest":
            raise TemplateError(f"{source!r} goes on behind a hole of rest")
        kept = " " if part.kind == "word" else part.kind[1:] if part.kind.startswith("^") else ""
        if kept and after.literal and after.literal[0] not in kept:
            raise TemplateError(
                f"{source!r} never fits: a hole of {part.kind} takes {after.literal[0]!r} too"
            )
        if part.kind in _FREE and len(after.literal) < _LITERAL:
            raise TemplateError(
                f"{source!r}: behind a hole of {part.kind} have to be {_LITERAL} literal characters"
            )
