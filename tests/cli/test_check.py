"""`ipwatchd check`: a good file, what is allowed and probably not meant, and each fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ipwatchd.lab.netns import Namespace
    from tests.cli.conftest import Done

GOOD = '[capture]\nsource = "ring"\ninterfaces = ["lo"]\n[zones]\nagents = ["10.20.0.0/16"]\n'


def _check(run: Callable[..., Done], folder: Path, text: str) -> tuple[Path, Done]:
    path = folder / "ipwatchd.toml"
    path.write_text(text)
    return path, run("check", "--config", path)


def test_a_good_file(daemon_command: Callable[..., Done], tmp_path: Path) -> None:
    """Status 0 and two lines that say what it will do; nothing on standard error."""
    path, done = _check(daemon_command, tmp_path, GOOD)
    says = 'good (site site, firewall observe)\nflows from ring: [capture] source = "ring"\n'
    assert done == (0, f"{path}: {says}", "")


def test_the_source_that_is_chosen(
    daemon_command: Callable[..., Done], tmp_path: Path, namespace: Callable[[str], Namespace]
) -> None:
    """Which of the sources "auto" is on this machine, and why; each has its own warnings."""
    auto = GOOD.replace('source = "ring"\n', "")
    box = namespace("box")
    with box.inside():
        _, done = _check(daemon_command, tmp_path, auto)
    assert done.out.endswith("flows from ring: this box does not forward packets\n")
    box.forwarding()
    with box.inside():
        _, done = _check(daemon_command, tmp_path, auto)
        _, bare = _check(daemon_command, tmp_path, auto.replace('["lo"]', "[]"))
    assert "flows from conntrack: this box forwards packets" in done.out
    assert "capture.interfaces: is empty: connection tracking gives flows, without" in bare.err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[geo]\ncity = "/none.mmdb"\n', "geo.city: /none.mmdb is not there"),
        ('[firewall]\nmode = "enforce"\n', "firewall.management: is empty while enforcing"),
        ('[uplink]\nurl = "http://c"\ntoken_file = "t"\n', "uplink.url: is not encrypted"),
        ('[uplink]\nurl = "https://c"\n', "uplink.token_file: is empty"),
        ('[logs]\nfiles = ["/none.log"]\n', "logs.files: /none.log is not there yet"),
    ],
)
def test_warnings(
    daemon_command: Callable[..., Done], tmp_path: Path, more: str, words: str
) -> None:
    """What is allowed and probably not meant: a warning with the key, and still status 0."""
    path, done = _check(daemon_command, tmp_path, GOOD + more)
    assert done.status == 0
    assert done.err.startswith(f"{path}: {words}")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace('"lo"', '"wan9"'), "capture.interfaces: wan9 is not on this machine"),
        (GOOD.replace('["lo"]', "[]"), "capture.interfaces: is empty"),
        (GOOD.partition("[zones]")[0], "zones: none is named"),
    ],
)
def test_warnings_of_what_is_missing(
    daemon_command: Callable[..., Done], tmp_path: Path, text: str, words: str
) -> None:
    """An interface that is not here, none at all, no zones: named, status 0."""
    _, done = _check(daemon_command, tmp_path, text)
    assert done.status == 0
    assert words in done.err


PLAN = """
[channels.mail]
kind = "smtp"
host = "mail.example.net"
sender = "ipwatchd@example.net"
reply_to = "soc@example.net"
[people.ana]
contacts = [{ channel = "mail", to = "ana@example.net" }]
[catch_all]
targets = ["person:ana"]
[stakeholders.acme]
audience = "client"
channel = "mail"
to = ["security@acme.example"]
"""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "channel mail: reply_to: no [intake] maildir or lmtp takes the answers"),
        ('[reports]\nmail = ["board"]\n', "reports.mail: 'board' is none of the plan's"),
        ('[reports]\nmail = ["acme"]\ntlp = "TLP:RED"\n', "reports.mail: acme gets none: it is"),
    ],
)
def test_what_is_named_and_not_reached(
    daemon_command: Callable[..., Done], tmp_path: Path, more: str, words: str
) -> None:
    """Answers that nobody takes, readers who are not on file or may not be handed the marking."""
    plan = tmp_path / "escalation.toml"
    plan.write_text(PLAN)
    _, done = _check(daemon_command, tmp_path, f'{GOOD}[escalation]\nplan = "{plan}"\n{more}')
    assert done.status == 0
    assert words in done.err
    plan.write_text(PLAN.replace('"client"', '"clients"'))
    _, done = _check(daemon_command, tmp_path, f'{GOOD}[escalation]\nplan = "{plan}"\n')
    assert done.status == 2
    assert "[stakeholders.acme] audience 'clients' is none" in done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[firewal]\n", (".toml:1: ", "firewal", "did you mean firewall?")),
        ('\n[capture]\nintrefaces = ["lo"]\n', (".toml:3: ", "did you mean interfaces?")),
        ("[capture]\nsnap = 5\n", (".toml:2: ", "snap")),
        ("[capture]\nsnap = 'x'\n", (".toml:2: ", "snap")),
        ('[firewall]\nmode = "on"\n', (".toml:2: ", "mode")),
        ('[zones]\nagents = ["10.20.0.0/99"]\n', (".toml:2: ", "10.20.0.0/99")),
        ("[capture\n", (".toml:1: ", "is not TOML")),
    ],
)
def test_faults(
    daemon_command: Callable[..., Done], tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    """A fault is one sentence with file, line and key, status 2."""
    path, done = _check(daemon_command, tmp_path, text)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    for word in (str(path), *words):
        assert word in done.err


def test_no_file(daemon_command: Callable[..., Done], tmp_path: Path) -> None:
    """A file that is not there is named, status 2."""
    done = daemon_command("check", "--config", tmp_path / "none.toml")
    assert done.status == 2
    assert f"{tmp_path / 'none.toml'}: no such file" in done.err


def test_escalation_and_regimes_are_checked(
    daemon_command: Callable[..., Done], tmp_path: Path
) -> None:
    """A fault of the plan is refused with its line; a gap and a regime that ended are said."""
    from ipwatchd.incidents.policy import shipped
    from tests.incidents.paging.plans import PLAN

    plan, own = tmp_path / "escalation.toml", tmp_path / "policy"
    (own / "regimes").mkdir(parents=True)
    ended = (shipped() / "regimes" / "nis2.toml").read_text().replace(
        "valid_from = 2024-10-18", "valid_from = 2024-10-18\nvalid_to = 2025-12-31"
    )  # fmt: skip
    (own / "regimes" / "nis2.toml").write_text(ended)
    text = GOOD + f'[escalation]\nplan = "{plan}"\n[incidents]\npolicy = "{own}"\n'
    plan.write_text(PLAN.replace('until = "19:00"', 'until = "18:30"'))
    path, done = _check(daemon_command, tmp_path, text)
    assert done.status == 0
    assert f"{path}: nis2: ended on 2025-12-31 and is not applied" in done.err
    assert f"{path}: schedule duty: nobody from " in done.err
    assert f"{path}: incidents.country: is empty" in done.err
    plan.write_text(PLAN.replace("person:ben", "person:eva"))
    _, done = _check(daemon_command, tmp_path, text)
    line = PLAN.splitlines().index('targets = ["person:ben"]') + 1
    assert done.status == 2
    assert f"{plan}:{line}: 'eva' is no person" in done.err
