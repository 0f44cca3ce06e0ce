"""The rules of what lines mean, as files of data (config/logs/*.toml) → tables to look them up in.

A file has [[head]] (what the lines of a program's own file start with), [[program]] (what the
lines of a program say) and [[json]] (what the objects of a program hold).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from string import ascii_uppercase, digits, hexdigits
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ipwatchd.logs.names import SPELLINGS
from ipwatchd.logs.program import Head, Line, Program
from ipwatchd.logs.template import Template, TemplateError

__all__ = ["ANY", "RulesError", "Ruleset", "Shape", "load_rules", "parse_rules"]

MAX_FILE: Final = 1 << 20
"""Bytes read of one file: a log named by mistake can't fill the memory."""
RESULTS: Final = (
    "success", "failure", "aborted", "logout", "assigned", "released", "request", "remember",
    "nothing", "torn",
)  # fmt: skip
ANY: Final = "*"
"""The program whose lines any program may write: those of PAM, which it loads."""
_FIRSTS: Final = 256
"""First characters whose heads are kept: a stranger's lines may start with any of Unicode's."""
_MANY: Final = 8
_OPENINGS: Final = (
    ("{time:iso}", digits), ("{:number}", digits), ("{time:day}", digits), ("{time:mysql}", digits),
    ("{time:clf}", digits), ("{time:ctime}", ascii_uppercase), ("{time:classic}", ascii_uppercase),
    ("{time:tai}", "@"), ("{from:ip}", hexdigits + ".:"), ("{from:endpoint}", hexdigits + ".:"),
)  # fmt: skip
"""What heads open with → the characters that it may start with."""
_TIMES: Final = ("ctime", "classic", "iso", "clf", "tai", "mysql", "day")
_Result = Annotated[str, Meta(pattern=f"^({'|'.join(RESULTS)})$")]


class RulesError(ValueError):
    """Rules that can't be used; the message names the file and the fault."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a file; an unknown key is an error."""


class _Says(_Table, frozen=True, kw_only=True):
    line: str
    result: _Result
    method: str = ""
    status: int = 0
    other: str = ""
    echo: bool = False


class _ProgramTable(_Table, frozen=True, kw_only=True):
    names: Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
    service: str
    before: str = ""
    user: Annotated[str, Meta(pattern=f"^({'|'.join(SPELLINGS)})?$")] = ""
    lines: tuple[_Says, ...]


class _HeadTable(_Table, frozen=True, kw_only=True):
    program: str
    line: str
    tags: tuple[str, ...] = ()


class _Case(_Table, frozen=True, kw_only=True):
    result: _Result
    method: str = ""
    good: str = ""


class _JsonTable(_Table, frozen=True, kw_only=True):
    service: str
    by: str
    facts: dict[str, tuple[str, ...]]
    inside: tuple[str, ...] = ()
    cases: dict[str, _Case] = {}
    lines: tuple[_Says, ...] = ()
    skip_user: str = ""


class _File(_Table, frozen=True, kw_only=True):
    head: tuple[_HeadTable, ...] = ()
    program: tuple[_ProgramTable, ...] = ()
    json: tuple[_JsonTable, ...] = ()


class Shape(msgspec.Struct, frozen=True):
    """What a program's JSON objects look like: fact → paths, best first. `by` tells its cases.

    Paths start at the top, or in an object that `inside` names. With `lines` the fact `by` is a
    text that says it.
    """

    service: str
    by: str
    facts: dict[str, tuple[tuple[str, ...], ...]]
    inside: tuple[str, ...]
    cases: dict[str, _Case]
    skip_user: str
    lines: tuple[Line, ...] = ()


class _Starting(msgspec.Struct, frozen=True):
    """Heads that may start a line, and which of them by the literals of their programs' lines.

    Literals are found by a word that stands between blanks in them, others one by one.
    """

    heads: list[Head]
    words: dict[str, list[tuple[str, int]]]
    literals: dict[str, set[int]]

    def places(self, line: str) -> set[int]:
        """Return the heads of which a line holds a literal."""
        places: set[int] = set()
        for word in self.words.keys() & line.split(" "):
            for literal, place in self.words[word]:
                if literal in line:
                    places.add(place)
        for literal, found in self.literals.items():
            if literal in line:
                places |= found
        return places


def _starting(heads: list[Head], literals: list[frozenset[str]]) -> _Starting:
    starting = _Starting(heads, {}, {})
    for place, of_head in enumerate(literals):
        for literal in of_head:
            whole = max(literal.split(" ")[1:-1], key=len, default="")
            if whole:
                starting.words.setdefault(whole, []).append((literal, place))
            else:
                starting.literals.setdefault(literal, set()).add(place)
    return starting


class Ruleset(msgspec.Struct):
    """All rules: programs by syslog tag, heads of files, heads inside syslog lines, JSON shapes."""

    programs: dict[str, Program] = {}
    heads: list[Head] = []
    tagged: dict[str, list[Head]] = {}
    shapes: list[Shape] = []
    starting: dict[str, _Starting] = {}

    def begun(self, line: str) -> list[tuple[Head, dict[str, str], str]]:
        """Return the heads by which a line may say something, in the order of the files.

        With each stand what its opening tells and what is behind it.
        """
        first = line[:1]
        known = self.starting.get(first)
        if known is None:
            fits = [head for head in self.heads if not head.starts or first in head.starts]
            known = _starting(fits, [self._literals(head) for head in fits])
            if len(self.starting) < _FIRSTS:
                self.starting[first] = known
        if not known.heads:
            return []
        opened: dict[Template, tuple[dict[str, str], str] | None] = {}
        found = []
        for place in sorted(known.places(line)):
            head = known.heads[place]
            if head.template.holds in line:
                opening = head.opening
                if opening not in opened:
                    opened[opening] = opening.split(line)
                start = opened[opening]
                if start is not None:
                    found.append((head, *start))
        return found

    def _literals(self, head: Head) -> frozenset[str]:
        """Return texts one of which a line with this head holds if it says anything."""
        if "/" in head.program or "program" in head.template.names | head.opening.names:
            return frozenset({""})
        programs = (self.programs.get(name) for name in (head.program, ANY))
        literals = frozenset().union(*(one.literals for one in programs if one is not None))
        # One try of the head is less than many looks, unless every line passes it.
        return (
            frozenset({""}) if len(literals) > _MANY and "{" in head.template.source else literals
        )


@lru_cache(maxsize=4)
def load_rules(own: str = "") -> Ruleset:
    """Return the shipped rules and those of a site's own folder, whose files stand in by name.

    Raises RulesError, or OSError where a file can't be read.
    """
    if own and not Path(own).is_dir():
        raise RulesError(f"[logs] rules = {own!r} is no folder: make it, or leave it empty")
    folders = [_shipped(), *([Path(own)] if own else [])]
    files = {path.name: path for folder in folders for path in sorted(folder.glob("*.toml"))}
    # A site's own come first: the first program of a name, the first head and shape that fit win.
    ordered = sorted(files.values(), key=lambda path: (str(path.parent) != own, path.name))
    return parse_rules((str(path), _content(path)) for path in ordered)


def parse_rules(files: Any) -> Ruleset:
    """Return the rules of (name, content) pairs. Raises RulesError."""
    rules = Ruleset()
    for name, content in files:
        try:
            file = msgspec.toml.decode(content, type=_File)
            _add(rules, file)
        except (msgspec.MsgspecError, ValueError) as error:
            raise RulesError(f"{name}: {error}") from None
    return rules


def _shipped() -> Path:
    installed = Path(__file__).parents[1] / "_config"
    return (installed if installed.is_dir() else Path(__file__).parents[2] / "config") / "logs"


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise RulesError(f"{path} has over {MAX_FILE:,} bytes: is it the right file?")
    return data


def _add(rules: Ruleset, file: _File) -> None:
    for table in file.head:
        head = _head(table)
        rules.heads.append(head)
        for tag in table.tags:
            rules.tagged.setdefault(tag, []).append(head)
    for one in file.program:
        before = Template(one.before, whole=False) if one.before else None
        lines = [_line(says, one.service) for says in one.lines]
        program = Program(one.service, before, lines, one.user)
        for name in one.names:
            rules.programs.setdefault(name, program)
    rules.shapes += map(_shape, file.json)


def _shape(table: _JsonTable) -> Shape:
    facts = {
        fact: tuple(tuple(name.split(".")) for name in names) for fact, names in table.facts.items()
    }
    lines = tuple(_line(says, table.service) for says in table.lines)
    cases = dict(table.cases)
    return Shape(table.service, table.by, facts, table.inside, cases, table.skip_user, lines)


def _head(table: _HeadTable) -> Head:
    time = next((kind for kind in _TIMES if f"{{time:{kind}}}" in table.line), "")
    if not time:
        Template(table.line)
        raise TemplateError(f"{table.line!r} has no {{time:…}} of {', '.join(_TIMES)}")
    place = table.line.index(f"{{time:{time}}}") + len(f"{{time:{time}}}")
    opening, template = _opening(table.line[:place]), Template(table.line[place:], whole=False)
    if opening.free:
        # What may be tried again at another length goes with what has to be found behind it.
        opening, template = _opening(table.line), _opening("")
    if twice := opening.names & template.names:
        raise TemplateError(f"{table.line!r} names twice: {', '.join(twice)}")
    chars = next((chars for hole, chars in _OPENINGS if table.line.startswith(hole)), "")
    starts = chars if table.line.startswith("{") else table.line[:1]
    return Head(table.program, opening, template, time, starts)


@lru_cache(maxsize=256)
def _opening(source: str) -> Template:
    """Return the template of what many heads open with: it is tried once for a line."""
    return Template(source, whole=False)


def _line(says: _Says, service: str) -> Line:
    template = Template(says.line)
    if says.result in {"assigned", "request"} and not template.names:
        raise TemplateError(f"{service}: {says.line!r} is {says.result} and keeps nothing")
    other = Template(says.other) if says.other else None
    return Line(template, says.result, says.method, other, says.status, says.echo)
