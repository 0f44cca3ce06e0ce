"""A failed login that several lines tell is told once."""

from __future__ import annotations

from typing import Final

from ipwatchd.logs import Reader
from ipwatchd.logs.told import CLIENTS, SECONDS, Told

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
