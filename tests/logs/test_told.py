"""A failed login that several lines tell is told once."""

from __future__ import annotations

from typing import Final

import pytest

from ipwatchd.logs import Reader
from ipwatchd.logs.told import CLIENTS, SECONDS, Told
from ipwatchd.records.event import Auth

NOW: Final = 1_795_304_700.0
HEAD: Final = "Nov 21 23:40:{:02} mx "
ATTEMPT: Final = (
    "dovecot: auth: passwd-file(ana,{0},<vLJbztNgN47GM2QH>): Password mismatch",
    (
        "auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot "
        "ruser=ana rhost={0} "
    ),
    (
        "dovecot: auth-worker(183): conn unix:auth-worker (pid=172,uid=103): auth-worker<1>: "
        "pam(ana,{0},<vLJbztNgN47GM2QH>): pam_authenticate() failed: Authentication failure "
        "(Password mismatch?)"
    ),
    (
        "dovecot: pop3-login: Disconnected: Aborted login by logging out (auth failed, 1 "
        "attempts in 3 secs): user=<ana>, method=PLAIN, rip={0}, lip=10.0.0.1, TLS, "
        "session=<vLJbztNgN47GM2QH>"
    ),
)
"""What Dovecot 2.3 with a passwd-file, PAM and auth_verbose wrote of one wrong password."""


def failures(reader: Reader, lines: tuple[str, ...], client: str, times: int) -> int:
    """Return the failed logins that a reader tells of attempts of a client."""
    told = 0
    for turn in range(times):
        for line in lines:
            event = reader.line(HEAD.format(turn) + line.format(client), now=NOW, source="mail.log")
            told += event is not None
    return told


def test_dovecots_login_process_tells_once() -> None:
    """Once the login process has told of a client, what auth and PAM say of it is an echo."""
    reader = Reader()
    assert failures(reader, ATTEMPT, "192.0.2.1", 1) == 4
    assert failures(reader, ATTEMPT, "192.0.2.1", 10) == 10
    assert failures(Reader(alone=True), ATTEMPT, "192.0.2.1", 10) == 40


def test_echoes_alone_count() -> None:
    """Where only PAM's log is read, or another client's login process spoke, nothing is lost."""
    reader = Reader()
    assert failures(reader, ATTEMPT, "192.0.2.1", 1) == 4
    assert failures(reader, ATTEMPT[1:2], "192.0.2.2", 10) == 10


def test_postfixs_summary_is_an_echo_of_its_warnings() -> None:
    """A login that a warning named is not counted again at the connection's end."""
    reader = Reader()
    lines = (
        (
            "postfix/submission/smtpd[213]: warning: unknown[{0}]: SASL LOGIN authentication "
            "failed: (reason unavailable), sasl_username=maria"
        ),
        (
            "postfix/submission/smtpd[213]: disconnect from unknown[{0}] ehlo=2 starttls=1 "
            "auth=0/1 quit=1 commands=4/5"
        ),
    )
    assert failures(reader, lines, "2001:db8::7", 5) == 5
    assert failures(reader, lines[1:], "2001:db8::8", 5) == 5


def test_what_is_remembered_is_bounded_and_ages() -> None:
    """Echoes count again after a while, and of the oldest client where there are too many."""
    told = Told()
    assert not told.again("smtp", "192.0.2.1", NOW, echo=False)
    assert told.again("dovecot", "192.0.2.1", NOW + SECONDS, echo=True)
    assert not told.again("dovecot", "192.0.2.1", NOW + SECONDS + 1, echo=True)
    assert not told.again("ftp", "192.0.2.1", NOW, echo=True)
    for number in range(CLIENTS):
        told.again("mail", f"c{number}", NOW, echo=False)
    assert not told.again("mail", "192.0.2.1", NOW, echo=True)
    assert told.again("mail", f"c{CLIENTS - 1}", NOW, echo=True)


SESSION: Final = (
    "dovecot: pop3-login: Disconnected: Connection closed (auth failed, {1} attempts in 12 secs): "
    "user=<ana>, method=PLAIN, rip={0}, lip=10.0.0.1, TLS, session=<vLJbztNgN47GM2QH>"
)


def tries(reader: Reader, line: str) -> int:
    """Return how many failed logins a line is told as."""
    event = reader.line(HEAD.format(9) + line, now=NOW, source="mail.log")
    assert isinstance(event, Auth)
    return event.tries


@pytest.mark.parametrize(("said", "told"), [(1, 1), (6, 6), (0, 1), (999_999_999_999, 10)])
def test_a_session_of_several_tries_counts_as_these(said: int, told: int) -> None:
    """Dovecot writes one line for them all when it ends; what a line may count as is bounded."""
    assert tries(Reader(), SESSION.format("198.51.100.7", said)) == told


def test_echoes_that_counted_are_not_counted_again() -> None:
    """Three lines of one try came before the session's own word of six."""
    reader = Reader()
    assert failures(reader, ATTEMPT[:3], "198.51.100.7", 1) == 3
    assert tries(reader, SESSION.format("198.51.100.7", 6)) == 3
    assert tries(reader, SESSION.format("198.51.100.7", 6)) == 6


def test_a_name_that_looks_like_a_count_is_a_name() -> None:
    """The user chooses the name, never how often it failed."""
    forged = "imap-login: Login aborted (auth failed, 2 attempts in 3 secs): "
    forged += (
        "user=<x (auth failed, 9 attempts in 1 secs)>, method=PLAIN, rip=198.51.100.7, lip=10.0.0.1"
    )
    assert tries(Reader(), "dovecot: " + forged) == 2
