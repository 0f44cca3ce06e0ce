"""The rules of what lines mean, as files of data (config/logs/*.toml) → tables to look them up in.

A file has [[head]] (what the lines of a program's own file start with), [[program]] (what the
lines of a program say) and [[json]] (what the objects of a program hold).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ipwatchd.logs.names import SPELLINGS
from ipwatchd.logs.template import Template, TemplateError

__all__ = ["Head", "Line", "Program", "RulesError", "Ruleset", "Shape", "load_rules", "parse_rules"]

MAX_FILE: Final = 1 << 20
"""Bytes read of one file: a log named by mistake can't fill the memory."""
RESULTS: Final = (
    "success", "failure", "aborted", "logout", "assigned", "released", "request", "remember",
    "nothing", "torn",
)  # fmt: skip
_FIRSTS: Final = 256
"""First characters whose heads are kept: a stranger's lines may start with any of Unicode's."""
_OPENINGS: Final = (
    ("{time:iso}", "0123456789"), ("{:number}", "0123456789"), ("{time:day}", "0123456789"),
    ("{time:mysql}", "0123456789"), ("{time:clf}", "0123456789"),
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
        self._open = [line for line in lines if not line.template.first]
        self._lines = {
            first: [line for line in lines if line.template.first in {first, ""}]
            for first in {line.template.first for line in lines} - {""}
        }

    def lines(self, text: str) -> list[Line]:
        """Return the lines that may say this, in the order of the file."""
        return self._lines.get(text.partition(" ")[0], self._open)


class Head(msgspec.Struct, frozen=True):
    """How the lines of a program's own file start; `time` names the kind of stamp.

    `starts` are the characters that the first of them may be, "" where that is open.
    """

    program: str
    template: Template
    time: str
    starts: str = ""


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


class Ruleset(msgspec.Struct):
    """All rules: programs by syslog tag, heads of files, heads inside syslog lines, JSON shapes."""

    programs: dict[str, Program] = {}
    heads: list[Head] = []
    tagged: dict[str, list[Head]] = {}
    shapes: list[Shape] = []
    starting: dict[str, list[Head]] = {}

    def heads_of(self, line: str) -> list[Head]:
        """Return the heads that may stand at the start of a line, in the order of the files."""
        first = line[:1]
        if first not in self.starting:
            fits = [head for head in self.heads if not head.starts or first in head.starts]
            if len(self.starting) >= _FIRSTS:
                return fits
            self.starting[first] = fits
        return self.starting[first]


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
    template = Template(table.line, whole=False)
    time = next((kind for kind in _TIMES if f"{{time:{kind}}}" in table.line), "")
    if not time:
        raise TemplateError(f"{table.line!r} has no {{time:…}} of {', '.join(_TIMES)}")
    opening = next((chars for hole, chars in _OPENINGS if table.line.startswith(hole)), "")
    starts = opening if table.line.startswith("{") else table.line[:1]
    return Head(table.program, template, time, starts)


def _line(says: _Says, service: str) -> Line:
    template = Template(says.line)
    if says.result in {"assigned", "request"} and not template.names:
        raise TemplateError(f"{service}: {says.line!r} is {says.result} and keeps nothing")
    other = Template(says.other) if says.other else None
    return Line(template, says.result, says.method, other, says.status, says.echo)
