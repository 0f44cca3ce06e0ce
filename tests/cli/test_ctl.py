"""Every ipwatchctl command over a replayed folder: status, JSON, and text that is safe to print."""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.cli import central, ipwatchd
from ipwatchd.cli.ctl_parser import KINDS, parser_for
from tests.test_walls import HEAVY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Done

SCANNER = "172.16.0.8"
SLOW = ("asyncio", "http", "shutil", "sqlite3", "threading")
READS = (
    "status", "doctor", "top --by flows", "top by:service every:1d", "top --since 7d",
    "archive-keys list", "flows by:service,country count:orig", "events by:kind every:1h",
    "zones", "audit --limit 5", "flows proto:tcp",
    "events kind:tls", f"show {SCANNER}", "deny list", "allow list",
    "deny preview 172.16.0.0/16 --since 7d", f"deny why {SCANNER}", "firewall status",
    "incidents list --state all", "incidents show SITE-000001",
    *(f"records {kind}" for kind in KINDS),
)  # fmt: skip
CHANGES = (
    "deny add 203.0.113.7 --for 2h --reason scan", "allow add 198.51.100.0/24 --reason partner",
    "incidents take SITE-000001 --reason mine", "incidents note SITE-000001 --reason 'asked him'",
    "report 'a caller asked for my password' --from maria --subject 203.0.113.7",
)  # fmt: skip
NEED_A_DAEMON = (
    "firewall mode enforce --yes", "firewall diff", "firewall confirm", "firewall rollback",
)  # fmt: skip


@pytest.mark.parametrize("words", READS)
def test_looks(ctl: Callable[..., Done], replayed: Path, words: str) -> None:
    """What only looks ends with 0, in text and in JSON, the flag before or after the command."""
    plain = ctl("--state", replayed, *shlex.split(words))
    assert plain.status == 0
    assert not plain.err or "more than" in plain.err or plain.err.startswith("counted: ")
    before = ctl("--state", replayed, "--json", *shlex.split(words))
    after = ctl("--state", replayed, *shlex.split(words), "--json")
    assert before.status == after.status == 0
    assert type(json.loads(before.out)) is type(json.loads(after.out))


@pytest.mark.parametrize("words", CHANGES)
def test_changes(ctl: Callable[..., Done], state: Path, words: str) -> None:
    """What changes something says what it did in one sentence, or in JSON."""
    plain = ctl("--state", state, *shlex.split(words))
    assert (plain.status, plain.err) == (0, "")
    assert plain.out.count("\n") == 1
    wide = shlex.split(words.replace("203.0.113.7", "203.0.113.8").replace("take", "hold"))
    assert json.loads(ctl("--state", state, "--json", *wide).out)


@pytest.mark.parametrize("words", NEED_A_DAEMON)
def test_what_needs_the_daemon_says_so(
    ctl: Callable[..., Done], replayed: Path, words: str
) -> None:
    """A folder has no kernel: status 1 and a sentence."""
    done = ctl("--state", replayed, *words.split())
    assert done.status == 1
    assert done.err == "ipwatchctl: no firewall runs here: this needs the daemon\n"


def test_add_list_and_del(ctl: Callable[..., Done], state: Path) -> None:
    """An entry that was added is listed, in history, exported, and gone once it is removed."""
    ctl("--state", state, "deny", "add", "203.0.113.7", "--reason", "scan, at night")
    rows = json.loads(ctl("--state", state, "--json", "deny", "list").out)
    assert [(row["network"], row["reason"]) for row in rows] == [
        ("203.0.113.7/32", "scan, at night")
    ]
    kept = json.loads(ctl("--state", state, "--json", "records", "list").out)
    assert kept[0]["action"] == "add"
    gone = ctl("--state", state, "deny", "del", "203.0.113.7", "--reason", "over")
    assert gone.out.startswith("released 203.0.113.7, denied by ")
    again = ctl("--state", state, "deny", "del", "203.0.113.7", "--reason", "over")
    assert (again.status, again.out) == (2, "")
    assert "not on the deny list" in again.err


@pytest.mark.parametrize("kind", ["plain", "csv", "json", "nft"])
def test_export_is_what_import_reads(
    ctl: Callable[..., Done], replayed: Path, state: Path, tmp_path: Path, kind: str
) -> None:
    """What one folder exports another imports, in each format, told by its look."""
    other = shutil.copytree(replayed, tmp_path / "other")
    wanted = ("203.0.113.7/32", "198.51.100.0/24", "2001:db8::/48", "203.0.113.9-203.0.113.20",
              "country:RU", "agent:maria")  # fmt: skip
    for network in wanted:
        ctl("--state", state, "deny", "add", network, "--reason", "scan, at night", "--ticket", "7")
    file = tmp_path / "list"
    file.write_text(ctl("--state", state, "deny", "export", "--format", kind).out)
    dry = ctl("--state", other, "deny", "import", file, "--reason", "moved", "--dry-run")
    assert (dry.status, dry.out) == (0, "6 entries, 0 lines refused\n")
    assert ctl("--state", other, "deny", "export").out == ""
    done = ctl("--state", other, "deny", "import", file, "--reason", "moved")
    assert (done.status, done.err) == (0, "")
    rows = json.loads(ctl("--state", other, "--json", "deny", "list").out)
    assert {row["network"] for row in rows} == {*wanted}
    assert {row["reason"] for row in rows} == {"scan, at night"}
    assert {row.get("ticket") for row in rows} == ({None} if kind == "plain" else {"7"})
    left = ctl("--state", other, "allow", "import", file, "--reason", "moved")
    if kind != "plain":
        assert "6 entries are for the deny list: left out" in left.err


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ("deny preview 172.16.0.0/16 --since 7d", ["172.16.0.0/16: in the last 7d", "connections"]),
        (
            "deny preview 172.16.0.8-172.16.0.9",
            ["172.16.0.8/31: in the last", "it meets the zone inside"],
        ),
        ("deny preview country:RU", ["country:RU: in the last 24h", "0 addresses"]),
        ("deny preview agent:nobody", ["agent:nobody: in the last 24h", "0 addresses"]),
        ("deny preview name:x.example", ["name:x.example: in the last 24h"]),
        (f"deny why {SCANNER}", ["passes: no entry names it", "1. management", "4. else"]),
        ("deny list nothing-like-it", []),
    ],
)
def test_what_a_person_reads(
    ctl: Callable[..., Done], replayed: Path, words: str, lines: list[str]
) -> None:
    """Previews of every kind and the rules in order, in words."""
    done = ctl("--state", replayed, *words.split())
    assert (done.status, done.err) == (0, "")
    assert all(line in done.out for line in lines), done.out


def test_a_list_is_paged_and_searched(ctl: Callable[..., Done], state: Path) -> None:
    """A part of the text, a source, a number of entries; the rest is said to be there."""
    for low in range(5):
        ctl("--state", state, "deny", "add", f"203.0.113.{low}", "--reason", f"case {low}")
    some = ctl("--state", state, "deny", "list", "--limit", "2", "--offset", "1", "--json")
    assert [row["network"] for row in json.loads(some.out)] == ["203.0.113.1/32", "203.0.113.2/32"]
    assert "more than 2" in some.err
    found = json.loads(ctl("--state", state, "deny", "list", "case 3", "--json").out)
    assert [row["network"] for row in found] == ["203.0.113.3/32"]
    assert json.loads(ctl("--state", state, "deny", "list", "--source", "x", "--json").out) == []


def test_fifty_megabytes_are_refused_before_they_are_sent(
    ctl: Callable[..., Done], replayed: Path, tmp_path: Path
) -> None:
    """An import is bounded at the client: one sentence, and what to do instead."""
    file = tmp_path / "garbage"
    file.write_bytes(b"some words that are no address\n" * (50 * 1024 * 1024 // 31))
    done = ctl("--state", replayed, "deny", "import", file, "--reason", "x")
    assert (done.status, done.out) == (2, "")
    assert "split it" in done.err


def test_import_takes_good_lines_and_names_bad_ones(
    ctl: Callable[..., Done], state: Path, tmp_path: Path
) -> None:
    """Bad lines don't hold up good ones: they are named with their number, status 1."""
    file = tmp_path / "feed.txt"
    file.write_text("203.0.113.7\nnonsense\n198.51.100.0/24 # a note\n999.1.2.3\n")
    done = ctl("--state", state, "deny", "import", file, "--reason", "weekly feed")
    assert done.status == 1
    assert done.out == "2 entries, 2 lines refused\n"
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["line 2", "line 4"]


@pytest.mark.parametrize(
    ("words", "status", "part"),
    [
        ("show 10.9.9.9", 1, "nothing is recorded about 10.9.9.9"),
        ("show nonsense", 2, "'nonsense' is no address"),
        ("incidents show SITE-999999", 1, "there is no incident SITE-999999"),
        ("incidents take SITE-999999", 1, "SITE-999999"),
        ("incidents list --state odd", 2, "'odd' is no state"),
        ("flows nonsense:1", 2, "nonsense"),
        ("flows src:999.1.1.1", 2, "999.1.1.1"),
        ("top --since soon", 2, "soon"),
        ("top --limit -3", 2, "limit"),
        ("deny add 203.0.113.300 --reason x", 2, "203.0.113.300"),
        ("deny add 203.0.113.3 --reason x --for soon", 2, "soon"),
        ("deny add 203.0.113.3 --reason ''", 2, "reason"),
        ("deny import /nowhere --reason x", 2, "/nowhere"),
        ("report ''", 2, "text"),
    ],
)
def test_refusals(
    ctl: Callable[..., Done], state: Path, words: str, status: int, part: str
) -> None:
    """Each refusal is one sentence that names what was wrong, with the right status."""
    done = ctl("--state", state, *shlex.split(words))
    assert (done.status, done.out) == (status, "")
    assert part in done.err
    assert done.err.startswith("ipwatchctl: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("words", ["nonsense", "", "deny add", "records nonsense", "top --by x"])
def test_wrong_usage_is_two(ctl: Callable[..., Done], words: str) -> None:
    """An unknown command, kind or flag: status 2, and the usage on standard error."""
    done = ctl(*words.split())
    assert (done.status, done.out) == (2, "")
    assert done.err


@pytest.mark.parametrize("words", ["deny", "firewall", "incidents"])
def test_half_a_command_is_two(ctl: Callable[..., Done], words: str) -> None:
    """A command that needs another word says so."""
    assert ctl(words).status == 2


def test_no_socket_is_three(ctl: Callable[..., Done], tmp_path: Path) -> None:
    """Nobody there: status 3, the socket's name and what to do."""
    done = ctl("--socket", tmp_path / "none.sock", "status")
    assert done.status == 3
    assert str(tmp_path / "none.sock") in done.err
    assert "is ipwatchd running" in done.err
    assert done.err.count("\n") == 1


def test_no_state_folder_is_two(ctl: Callable[..., Done], tmp_path: Path) -> None:
    """A folder that nobody recorded into is no state folder, and nothing is made in it."""
    done = ctl("--state", tmp_path, "status")
    assert done.status == 2
    assert "is no state folder" in done.err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Return a socket that answers each request with these bytes and hangs up."""
    servers = []

    def make(answer: bytes) -> Path:
        path = tmp_path / "s"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()
        servers.append(server)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield make
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>yes",
        b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nno!",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)  # fmt: skip
def test_a_daemon_that_dies_or_raves_is_three(
    ctl: Callable[..., Done], answering: Callable[[bytes], Path], answer: bytes
) -> None:
    """Killed in the middle of an answer, or not our daemon at all: status 3 and one sentence."""
    done = ctl("--socket", answering(answer), "status")
    assert (done.status, done.out) == (3, "")
    assert done.err.count("\n") == 1


STATUS = json.dumps({
    "version": "1", "site": "s\x1b[2Jite", "now": 1.0, "live": True,
    "uplink": {"url": "http://c\x1b]0;x\x07"}, "shed": {"a\x9bb": 1},
    "health": [{"name": "x\x1b[1m", "ok": False, "note": "a\u202eb"}],
    "firewall": {"mode": "off", "note": "\x1b[31mred"}, "incidents_open": {"P1\r": 2},
}).encode()  # fmt: skip


def test_hostile_text_can_not_reach_the_terminal(
    ctl: Callable[..., Done], answering: Callable[[bytes], Path]
) -> None:
    """Escape sequences, C1 controls and direction marks of an answer are shown as dots."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(STATUS)}\r\n\r\n".encode()
    done = ctl("--socket", answering(head + STATUS), "status")
    assert done.status == 0
    assert not set(done.out) & set("\x1b\x07\r\x9b\u202e")


def test_hostile_words_of_people_and_packets_are_cleaned(
    ctl: Callable[..., Done], state: Path
) -> None:
    """What was typed or seen with controls in it is kept, and printed without them."""
    evil = "a\x1b]52;c;aGk=\x07b\x9b2J\u202ec\nd"
    ctl("--state", state, "deny", "add", "203.0.113.7", "--reason", evil)
    ctl("--state", state, "report", evil, "--from", evil, "--subject", evil)
    ctl("--state", state, "incidents", "note", "SITE-000001", "--reason", evil)
    for words in (
        "deny list", "records list", "incidents list", "incidents show SITE-000002",
        "incidents show SITE-000001", "audit", "deny why 203.0.113.7", "deny export",
        "deny export --format csv",
    ):  # fmt: skip
        done = ctl("--state", state, *words.split())
        assert done.status == 0
        assert not set(done.out) & set("\x1b\x07\x9b\u202e"), words
    refused = ctl("--state", state, "show", evil)
    assert refused.status == 2
    assert not set(refused.err) & set("\x1b\x07\x9b\u202e")


def test_show_says_why_in_words(ctl: Callable[..., Done], state: Path) -> None:
    """The page of an address ends with its incidents and each rule's word, none as raw data."""
    ctl("--state", state, "deny", "add", "172.16.0.8", "--reason", "scans")
    out = ctl("--state", state, "show", "172.16.0.8").out
    assert "SITE-000001" in out
    assert "  says         172.16.0.8 is denied: 172.16.0.8/32 for good by" in out
    assert "  site: deny   stopped: 172.16.0.8/32" in out
    assert "{'" not in out


def _leaves(
    parser: argparse.ArgumentParser, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from _leaves(inner, (*path, name))


PARSERS: dict[str, Any] = {
    "ipwatchctl": parser_for,
    "ipwatchd": ipwatchd._parser,
    "ipwatch-central": central._parser,
}
HELP = [
    (program, path, parser)
    for program, build in PARSERS.items()
    for path, parser in _leaves(build(), ())
]


@pytest.mark.parametrize(
    ("program", "path", "parser"),
    HELP,
    ids=[" ".join((program, *path)) for program, path, _ in HELP],
)
def test_every_help_has_an_example_that_works(
    program: str, path: tuple[str, ...], parser: argparse.ArgumentParser
) -> None:
    """`--help` of each command ends with an example of that command, which the parser takes."""
    del path
    assert parser.epilog, "no example"
    assert parser.epilog.startswith("example:")
    for line in parser.epilog.removeprefix("example:").strip().split("; "):
        words = shlex.split(line.partition("|")[0].partition(">")[0])
        assert words[0] in PARSERS
        PARSERS[words[0]]().parse_args(words[1:])
    assert program in parser.format_help()


def test_status_over_a_socket_loads_nothing_heavy(
    answering: Callable[[bytes], Path],
) -> None:
    """A whole `status` is served by the standard library and msgspec."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(STATUS)}\r\n\r\n".encode()
    code = (
        "import sys; from ipwatchd.cli.ipwatchctl import main\n"
        f"assert main(['--socket', {str(answering(head + STATUS))!r}, 'status']) == 0\n"
        f"print('heavy:', *[name for name in {(*HEAVY, *SLOW)!r} "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_a_command_alone_is_built_as_among_all() -> None:
    """What is built for one command, whatever options stand before it, has the same help."""
    every = {path: parser.format_help() for path, parser in _leaves(parser_for(), ())}
    before = itertools.cycle([(), ("--json",), ("--socket", "deny"), ("--state=flows",)])
    for name in {path[0] for path in every if path}:
        for path, parser in _leaves(parser_for((*next(before), name)), ()):
            assert not path or parser.format_help() == every[path]


def test_only_the_command_that_is_meant_is_built() -> None:
    """`deny add` builds no incidents; help, a wrong word and no word name every command."""
    names = {path[0] for path in dict(_leaves(parser_for(), ())) if path}
    assert {path[0] for path, _ in _leaves(parser_for(("deny", "add")), ()) if path} == {"deny"}
    for words in ((), ("-h",), ("--help", "deny"), ("--json", "denny"), ("--state",)):
        assert {path[0] for path, _ in _leaves(parser_for(words), ()) if path} == names
