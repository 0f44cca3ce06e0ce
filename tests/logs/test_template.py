"""The language of the rules: what it says, what it refuses, and that it can't run away."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.logs.ruleset import RulesError, load_rules, parse_rules
from ipwatchd.logs.template import Template, TemplateError

REAL: Final = Path(__file__).with_name("real.jsonl")


@pytest.mark.parametrize(
    ("source", "text", "facts"),
    [
        ("a {user} b {from}", "a x b y b 192.0.2.1", {"user": "x b y", "from": "192.0.2.1"}),
        ("{|in|out} {from}{? port {port}}", "out h", {"from": "h", "port": ""}),
        ("{|in|out} {from}{? port {port}}", "in h port 7", {"from": "h", "port": "7"}),
        ("c {from}: x", "c 2001:db8::1: x", {"from": "2001:db8::1"}),
        ("c {from} x", "c [2001:db8::1]:99 x", {"from": "[2001:db8::1]:99"}),
        ("{from:endpoint}:{port} x", "2001:db8::1:99 x", {"from": "2001:db8::1", "port": "99"}),
        ("<{user:^>}> {{", "<bob> {", {"user": "bob"}),
        ('"{user:quoted}" {from}', r'"a\" b" h', {"user": r"a\" b", "from": "h"}),
        ("c {from} and{:rest}", "c h and so on", {"from": "h"}),
    ],
)  # fmt: skip
def test_templates(source: str, text: str, facts: dict[str, str]) -> None:
    """Holes hold what they should."""
    assert Template(source).match(text) == facts


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{user} {:text} x", "more than one hole of text"),
        ("{user}{from}", "literal characters"),
        ("{? {user} x} ", "optional part or a choice"),
        ("{:rest} x", "goes on behind"),
        ("{:word}: x", "never fits"),
        ("{:^,}; x", "never fits"),
        ("{nobody}", "is no kind"),
        ("{nobody:word}", "is no name"),
        ("{from} {from}", "stands there twice"),
        ("{from", "a hole is"),
        ("from}", "not opened"),
        ("{|a|b", "not closed"),
    ],
)
def test_refused(source: str, why: str) -> None:
    """What could run away, or says nothing, is refused when it is loaded, with the reason."""
    with pytest.raises(TemplateError, match=why):
        Template(source)


@given(st.text(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_source_compiles_or_is_refused(source: str) -> None:
    """Any text is a template or an error of one kind."""
    with contextlib.suppress(TemplateError):
        Template(source).match(source)


def test_rules_name_their_fault(tmp_path: Path) -> None:
    """A bad rule names its file; a site's own file stands in for the shipped one of its name."""
    with pytest.raises(RulesError, match=r"own\.toml: .*is no kind"):
        parse_rules([("own.toml", b'[[head]]\nprogram = "x"\nline = "{time:nix} "')])
    with pytest.raises(RulesError, match=r"own\.toml: .*unknown field"):
        parse_rules([("own.toml", b'[[head]]\nprogramme = "x"')])
    own = b'[[program]]\nnames = ["sshd"]\nservice = "x"\nlines = []\n'
    (tmp_path / "ssh.toml").write_bytes(own)
    assert load_rules(str(tmp_path)).programs["sshd"].service == "x"
    assert load_rules().programs["sshd"].service == "ssh"
    with pytest.raises(RulesError, match="is no folder"):
        load_rules(str(tmp_path / "none"))


def hostile() -> list[tuple[str, str]]:
    """Return for each shipped line the worst texts: its own pieces repeated, never its end."""
    programs = {id(one): one for one in load_rules().programs.values()}.values()
    sources = {line.template.source for program in programs for line in program.lines}
    found = []
    for source in sorted(sources):
        literal = [one.split("{")[0] for one in source.split("}")]
        pieces = {*literal, "a", " ", " from 1.2.3.4 port 1", literal[-1] or "x"} - {""}
        found += [(source, literal[0] + piece * (16_000 // len(piece)) + "\0") for piece in pieces]
    return found


@pytest.mark.timeout(30)
def test_no_shipped_template_runs_away() -> None:
    """Every rule is done with the worst 16 KB that can be made of its own words.

    One pattern of quadratic time would take seconds for each, and the test its time limit.
    """
    templates = {source: Template(source) for source, _ in hostile()}
    for source, text in hostile():
        assert not text.isprintable()
        templates[source].match(text)


def test_no_head_that_tells_is_passed_over() -> None:
    """What a line holds tells of every head by which it says something, of all that there are."""
    rules, told = load_rules(), 0
    for row in REAL.read_text(encoding="utf-8").splitlines():
        line = json.loads(row)["line"]
        begun = {id(head) for head, _, _ in rules.begun(line)}
        for head in rules.heads:
            found = head.split(line)
            facts, text = found if found is not None else ({}, "")
            program = rules.programs.get(facts.get("program") or head.program)
            if program is not None and program.read(text) is not None:
                assert id(head) in begun, (head.program, line)
                told += 1
    assert told > 100
