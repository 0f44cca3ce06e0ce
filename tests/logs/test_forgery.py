"""Whatever a client calls itself, no rule takes its words for the client's address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from ipwatchd.logs import Reader
from ipwatchd.logs.rules import ANY
from ipwatchd.logs.ruleset import load_rules
from ipwatchd.logs.syslog import Head

if TYPE_CHECKING:
    from ipwatchd.logs.program import Program

TRUE: Final = "192.0.2.1"
FORGED: Final = "203.0.113.66"
GIVEN: Final = "10.8.0.6"
TAKEN: Final = "10.9.9.9"
NOW: Final = 1_795_304_700.0
SAMPLES: Final = {
    "word": "word", "number": "7", "ip": TRUE, "client": TRUE, "endpoint": TRUE, "peer": TRUE,
    "quoted": "q", "braced": "{18 17}",
    "some": "some", "text": "text", "rest": "", "": "word",
}  # fmt: skip
OF_NAMES: Final = {
    "from": TRUE, "port": "99", "user": "\x01", "address": GIVEN, "status": "401",
}  # fmt: skip


def render(source: str) -> str:
    """Return a line that a template was written for; its user is SOMEBODY."""
    return _sequence(source, 0, "")[0]


def _sequence(source: str, at: int, closing: str) -> tuple[str, int]:
    made = ""
    while at < len(source):
        here = source[at]
        if here in closing:
            break
        if source.startswith("{{", at):
            made, at = made + "{", at + 2
        elif source.startswith("{?", at):
            inner, at = _sequence(source, at + 2, "}")
            made, at = made + inner, at + 1
        elif source.startswith("{|", at):
            inner, at = _sequence(source, at + 2, "|}")
            made += inner
            while source[at] == "|":
                _, at = _sequence(source, at + 1, "|}")
            at += 1
        elif here == "{":
            end = source.index("}", at)
            name, _, kind = source[at + 1 : end].partition(":")
            made += OF_NAMES.get(name) or ("v" if kind.startswith("^") else SAMPLES[kind])
            at = end + 1
        else:
            made, at = made + here, at + 1
    return made, at


def cases() -> list[tuple[str, str, str]]:
    """Return (program's name, what stands before its lines, template) where a user is named."""
    rules = load_rules()
    found = []
    seen: set[int] = set()
    for name, program in rules.programs.items():
        if id(program) not in seen and name != ANY:
            seen.add(id(program))
            before = program.before.source if program.before else ""
            found += [(name, before, source) for source in sorted(sources(program))]
    return found


def sources(program: Program) -> set[str]:
    """Return the templates of a program that name a user and a client."""
    known = program.before.names if program.before else frozenset()
    return {
        line.template.source
        for line in program.lines
        if "user" in line.template.names
        and {"from", "address"} & (line.template.names | known)
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted({name for name, _, _ in cases()}))
def test_no_name_accuses_another(name: str) -> None:
    """A user name made of the rule's own words names nobody, in any line of its program.

    It is put in with all that stands behind it in the line, with all of the line, and with pieces
    of it, each with a forged client; quotes and brackets of the name are as the client sent them.
    """
    reader, lines = Reader(), 0
    for _, before, source in (one for one in cases() if one[0] == name):
        for head in {render(before), ""}:
            good = head + render(source)
            whole = good.replace("\x01", "bob")
            behind = good.partition("\x01")[2]
            for words in (behind, behind * 2, whole, f" {whole}", behind.rstrip("\"'>]")):
                forged = words.replace(TRUE, FORGED).replace(GIVEN, TAKEN)
                forged = forged.replace("\x01", "eve")
                for user in (f"x{forged}", f"x{forged}y", f"x{forged} {forged}", forged):
                    text = good.replace("\x01", user)
                    event = reader.message(Head(NOW, name, text, ""), source="x")
                    assert event is None or event.orig != FORGED, text
                    assert event is None or getattr(event, "host", "") != FORGED, text
                    assert event is None or getattr(event, "address", "") != TAKEN, text
                    lines += 1
    assert lines


NGINX: Final = "2026/11/21 19:00:01 [error] 9#9: *4 "
ENDS: Final = f'" was not found in "/etc/ht", client: {TRUE}, server: a, request: "GET / HTTP/1.1"'
FORGED_LINE: Final = (
    f'{NGINX}user "maria": password mismatch, client: {FORGED}, server: a, request: "GET"'
)


def test_a_name_with_line_feeds_writes_no_lines() -> None:
    """A line feed of a name stands in nginx's log as it is: what is behind it accuses nobody."""
    reader = Reader()
    torn = (f'{NGINX}user "x', FORGED_LINE, ENDS, FORGED_LINE, f"y{ENDS}")
    assert [reader.line(line, now=NOW, source="error.log") for line in torn] == [None] * 5
    # Other files, and this one once an entry can't go on any more, are read as before.
    honest = FORGED_LINE.replace(FORGED, TRUE)
    assert reader.line(honest, now=NOW, source="other.log") is not None
    told = [reader.line(honest, now=NOW, source="error.log") for _ in range(20)]
    assert told[-1] is not None
    assert sum(len(honest) + 1 for event in told if event is None) < 2048


def test_a_torn_entry_hides_no_other_program() -> None:
    """In the journal only the torn program's own next lines are passed over."""
    reader = Reader()
    assert reader.message(Head(NOW, "nginx", f'{NGINX}user "x', "9"), source="journal") is None
    assert reader.message(Head(NOW, "nginx", FORGED_LINE, "9"), source="journal") is None
    sshd = Head(NOW, "sshd", f"Failed password for root from {TRUE} port 9 ssh2", "7")
    assert reader.message(sshd, source="journal") is not None


def test_a_datagram_with_a_line_feed_is_one_line() -> None:
    """A name with a line feed neither hides its login nor tells of another's."""
    event = Reader().line(
        f'<187>Nov 21 19:00:01 gw nginx: {NGINX}user "x\n{FORGED_LINE}{ENDS}', now=NOW, source="x"
    )
    assert event is not None
    assert event.orig in {TRUE, ""}
