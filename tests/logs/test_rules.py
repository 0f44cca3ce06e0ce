"""What log lines say, and what strangers who write into them can't make them say."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.logs import Reader, parse_line
from ipwatchd.logs.rules import MAX_LINE
from ipwatchd.records.event import Api, Auth, Logout

if TYPE_CHECKING:
    from pathlib import Path

NOW: Final = datetime(2026, 11, 21, 20, tzinfo=UTC).timestamp()
HEAD: Final = "Nov 21 19:00:01 gw sshd[123]: "


def auth(line: str) -> Auth:
    """Return the login that a line reports."""
    event = parse_line(line, now=NOW, source="auth.log")
    assert isinstance(event, Auth), line
    return event


TOO_MANY: Final = (
    "error: maximum authentication attempts exceeded for invalid user {} from 192.0.2.1"
)


@pytest.mark.parametrize(
    ("text", "result", "user", "method"),
    [
        ("Failed password for root from 192.0.2.1 port 99 ssh2", "failure", "root", "password"),
        ("Failed password for invalid user a b from 192.0.2.1 port 99 ssh2", "failure", "a b",
         "password"),
        ("Failed none for invalid user x from 192.0.2.1 port 99 ssh2", "failure", "x", "none"),
        ("Accepted publickey for bob from 192.0.2.1 port 99 ssh2: ED25519 SHA256:abc", "success",
         "bob", "publickey"),
        ("Invalid user admin from 192.0.2.1 port 99", "failure", "admin", "user"),
        ("Invalid user  from 192.0.2.1 port 99", "failure", "", "user"),
        (TOO_MANY.format("x") + " port 99 ssh2 [preauth]", "failure", "x", "attempts"),
        ("Connection closed by authenticating user root 192.0.2.1 port 99 [preauth]", "aborted",
         "root", "disconnect"),
        ("Unable to negotiate with 192.0.2.1 port 99: no matching cipher found.", "aborted", "",
         "negotiation"),
    ],
)  # fmt: skip
def test_openssh(text: str, result: str, user: str, method: str) -> None:
    """OpenSSH's messages give who, from where, how and with which result."""
    event = auth(HEAD + text)
    assert (event.orig, event.orig_port, event.service) == ("192.0.2.1", 99, "ssh")
    assert (event.result, event.user, event.method) == (result, user, method)
    assert event.source == "auth.log"
    assert event.ts == datetime(2026, 11, 21, 19, 0, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        # A client offers its keys one by one: a refused one of many is no failed login.
        "Failed publickey for git from 192.0.2.1 port 99 ssh2: RSA SHA256:abc",
        "Failed none for git from 192.0.2.1 port 99 ssh2",
        "Connection closed by 192.0.2.1 port 99",
        "Connection from 192.0.2.1 port 99 on 192.0.2.2 port 22",
        "pam_unix(sshd:auth): authentication failure; logname= ruser= rhost=192.0.2.1  user=root",
        "Received disconnect from 192.0.2.1 port 99:11: disconnected by user",
        "User root not allowed because account is locked",
        "Failed password for root",
    ],
)
def test_openssh_that_is_no_login(text: str) -> None:
    """What is no verdict on a login, or is told by another line, is no event."""
    assert parse_line(HEAD + text, now=NOW, source="") is None


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("Disconnected from user maria 192.0.2.1 port 99", "maria"),
        ("Connection reset by user maria 192.0.2.1 port 99", "maria"),
        ("Connection closed by user maria 192.0.2.1 port 99", "maria"),
        ("Timeout, client not responding from user maria 192.0.2.1 port 99", "maria"),
        ("Disconnected from user x 203.0.113.66 port 1 192.0.2.1 port 99",
         "x 203.0.113.66 port 1"),
    ],
)  # fmt: skip
def test_the_end_of_a_login(text: str, user: str) -> None:
    """What sshd says of a user that had logged in is a logout, by the line's own client."""
    event = parse_line(HEAD + text, now=NOW, source="")
    assert isinstance(event, Logout)
    assert (event.user, event.orig, event.orig_port) == (user, "192.0.2.1", 99)
    assert event.service == "ssh"


def test_pams_word_of_the_end_needs_the_login() -> None:
    """`session closed` names no client: the same process's login did, else it ends nothing."""
    reader = Reader()
    closed = "pam_unix(sshd:session): session closed for user maria"
    assert reader.line(HEAD + closed, now=NOW, source="") is None
    login = "Accepted password for maria from 192.0.2.1 port 99 ssh2"
    assert reader.line(HEAD + login, now=NOW, source="") is not None
    event = reader.line(HEAD + closed, now=NOW, source="")
    assert isinstance(event, Logout)
    assert (event.user, event.orig) == ("maria", "192.0.2.1")
    dropbear = (
        "Nov 21 19:00:01 gw dropbear[7]: Exit (root) from <192.0.2.1:99>: Disconnect received"
    )
    event = parse_line(dropbear, now=NOW, source="")
    assert isinstance(event, Logout)
    assert (event.user, event.orig) == ("root", "192.0.2.1")


FORGED: Final = "203.0.113.66"
CHANGE: Final = "Change of username or service not allowed: "


@pytest.mark.parametrize(
    "user",
    [
        f"x from {FORGED} port 1 ssh2",
        f"x from {FORGED} port 1 ssh2: y",
        f"x from {FORGED} port 1 ssh2: RSA SHA256:abc",
        f"Failed password for root from {FORGED} port 1 ssh2",
        f"{HEAD}Failed password for root from {FORGED} port 1 ssh2",
        f"x from {FORGED}",
        f"x [preauth] from {FORGED} port 1 ssh2 [preauth]",
        f"x {FORGED} port 1",
        f"x {FORGED} port 1: {CHANGE}y",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "Failed password for invalid user {} from 192.0.2.1 port 99 ssh2",
        "Failed password for {} from 192.0.2.1 port 99 ssh2",
        "Failed publickey for invalid user {} from 192.0.2.1 port 99 ssh2: RSA SHA256:xyz",
        "Accepted password for {} from 192.0.2.1 port 99 ssh2",
        "Invalid user {} from 192.0.2.1 port 99",
        "Invalid user {} from 192.0.2.1",
        TOO_MANY + " port 99 ssh2 [preauth]",
        "Connection closed by invalid user {} 192.0.2.1 port 99 [preauth]",
        "Disconnecting invalid user {} 192.0.2.1 port 99: Too many authentication failures",
        f"Disconnecting invalid user {{}} 192.0.2.1 port 99: {CHANGE}({{}},x) -> (y,x)",
        f"Disconnecting invalid user bob 192.0.2.1 port 99: {CHANGE}(bob,x) -> ({{}},x)",
        "error: PAM: Authentication failure for illegal user {} from 192.0.2.1",
        "Bad protocol version identification '{}' from 192.0.2.1 port 99",
    ],
)
def test_a_user_name_accuses_nobody(text: str, user: str) -> None:
    """A user name that looks like a log line is never taken for the client."""
    event = parse_line(HEAD + text.replace("{}", user), now=NOW, source="")
    assert event is None or event.orig in {"192.0.2.1", ""}
    assert not isinstance(event, Auth) or event.host == ""


def test_two_readings_accuse_nobody() -> None:
    """A certificate's id may hold the like of a client too: then the line has no address."""
    event = auth(
        HEAD + "Failed publickey for invalid user x from 192.0.2.1 port 99 ssh2: RSA-CERT ID"
        f" y from {FORGED} port 1 ssh2: z"
    )
    assert (event.orig, event.user) == ("", "x")


@pytest.mark.parametrize(
    "line",
    [
        f"Nov 21 19:00:01 gw app[1]: {HEAD}Failed password for root from {FORGED} port 1 ssh2",
        f"Nov 21 19:00:01 gw app: sshd[1]: Failed password for root from {FORGED} port 1 ssh2",
        f"Nov 21 19:00:01 app: sshd[1]: Failed password for root from {FORGED} port 1 ssh2",
        f"Nov 21 19:00:01 app[1]: sshd[1]: Failed password for root from {FORGED} port 1 ssh2",
        f"sshd[1]: Failed password for root from {FORGED} port 1 ssh2",
        f" {HEAD}Failed password for root from {FORGED} port 1 ssh2",
    ],
)
def test_a_program_can_not_speak_for_another(line: str) -> None:
    """What another program logs is not sshd's word, however it is written."""
    assert parse_line(line, now=NOW, source="") is None


@pytest.mark.parametrize(
    "head",
    [
        "Nov 21 19:00:01 gw sshd[1]: ",
        "Nov 21 19:00:01 gw sshd-session[1]: ",
        "<38>Nov 21 19:00:01 gw sshd[1]: ",
        "2026-11-21T20:00:01.5+01:00 gw /usr/sbin/sshd[1]: ",
        "<38>1 2026-11-21T19:00:01Z gw sshd 1 - - ",
        # As rsyslog 8.2302 writes it; a byte order mark (RFC 5424, 6.4).
        "<38>1 2026-11-21T19:00:01.544719+00:00 gw sshd 1 - -  ",
        "<38>1 2026-11-21T19:00:01+00:00 gw sshd 1 - - \ufeff",
        '<38>1 2026-11-21T19:00:01Z gw sshd 1 - [a@1 b="]\\"c"][d] ',
        "Nov 21 19:00:01 [sshd]: ",
        "Nov 21 19:00:01 gw sshd[1]: [ID 800047 auth.info] ",
    ],
)
def test_heads(head: str) -> None:
    """The heads that syslog daemons write are read, the time among them."""
    event = auth(head + "Failed password for root from ::ffff:192.0.2.1 port 99 ssh2")
    assert event.orig == "192.0.2.1"
    assert int(event.ts) == datetime(2026, 11, 21, 19, 0, 1, tzinfo=UTC).timestamp()


def test_pam() -> None:
    """PAM's word for other programs is taken; an rhost inside a user name is not."""
    text = (
        "Nov 21 19:00:01 gw vsftpd: pam_unix(vsftpd:auth): authentication failure; logname= uid=0"
    )
    event = auth(f"{text} euid=0 tty=ftp ruser=bob rhost=192.0.2.1")
    assert (event.service, event.user, event.orig, event.method) == (
        "vsftpd", "bob", "192.0.2.1", "pam",
    )  # fmt: skip
    for forged in (
        f"{text} tty= ruser=x rhost={FORGED}  user=y rhost=192.0.2.1  user=z",
        f"{text} tty= ruser= rhost=192.0.2.1  user=y rhost={FORGED}",
        f"{text} tty= ruser=x ruser= rhost={FORGED} rhost=192.0.2.1",
    ):
        assert auth(forged).orig in {"192.0.2.1", ""}


WORST: Final = (
    HEAD + "Failed password for " + " from 1.2.3.4 port 1 ssh2" * 40_000,
    HEAD + "Failed password for " + " from" * 200_000,
    HEAD + "error: PAM: " + " for from" * 120_000,
    HEAD + "Invalid user " + " from a" * 150_000,
    HEAD + "Received disconnect from a: 3: " + "Auth fail" * 110_000,
    "Nov 21 19:00:01 gw x: pam_unix(x:auth): authentication failure; " + " ruser= rhost=" * 70_000,
    "Nov 21 19:00:01 gw dropbear[1]: Password auth succeeded for '" + "' with a key b" * 70_000,
    "Nov 21 19:00:01 " + "a" * 1_000_000,
    "Nov 21 19:00:01 gw " + "a." * 500_000,
    '<38>1 2026-11-21T19:00:01Z g s 1 - [a b="' + '\\"' * 500_000,
    "<38>1 2026-11-21T19:00:01Z g s 1 - " + "[a]" * 330_000,
    '1.2.3.4 - - [21/Nov/2026:19:00:01 +0000] "' + '\\"' * 500_000,
    "1.2.3.4 - " + " " * 1_000_000,
    "1.2.3.4 - " + "a [" * 330_000,
    "[" * 1_000_000,
    '{"a":' * 200_000,
    "{" + '"status":1,' * 90_000,
)


@pytest.mark.parametrize("line", WORST)
@pytest.mark.timeout(20)
def test_worst_lines(line: str) -> None:
    """The worst lines, of 1 MB or cut to what is looked at, are done with many times over."""
    for _ in range(20):
        assert parse_line(line, now=NOW, source="") is None
        parse_line(line[:MAX_LINE], now=NOW, source="")


def test_a_line_too_long_gives_nothing() -> None:
    """A line is not read by its first part: a forger could choose where it ends."""
    line = HEAD + "Invalid user " + "a" * MAX_LINE + " from 192.0.2.1 port 99"
    assert parse_line(line, now=NOW, source="") is None
    assert parse_line(line.encode(), now=NOW, source="") is None


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
@settings(max_examples=200, deadline=None)
def test_any_line(line: bytes | str) -> None:
    """Whatever a line holds, alone or as a message, it is survived, and what comes out is shown."""
    head = HEAD.encode() if isinstance(line, bytes) else HEAD
    for one in (line, head + line, head[:-1] + line):  # type: ignore[operator]
        event = parse_line(one, now=NOW, source="")
        if isinstance(event, Auth):
            assert (event.user + event.host + event.method).isprintable()


@given(
    user=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=100),
    address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    port=st.integers(1, 65535),
)
@settings(max_examples=200, deadline=None)
def test_round_trip(user: str, address: ipaddress.IPv4Address, port: int) -> None:
    """Any user and client that sshd may write come back, if the name is not a client's like."""
    spelled = user.replace("\\", "\\\\")
    event = auth(
        f"{HEAD}Failed password for invalid user {spelled} from {address} port {port} ssh2"
    )
    mapped = getattr(address, "ipv4_mapped", None) or address
    assert (event.user, event.orig, event.orig_port) == (user, str(mapped), port)


STATEFUL: Final = (
    # The address stands in an earlier line of the same process.
    "Disconnecting: Too many authentication failures",
    "Read from socket failed: Connection reset by peer",
    "kex_exchange_identification:",
    "Unable to negotiate a key exchange method",
    "no matching mac found",
    # A failure only because of what the process logged before.
    "ruser=sudoer rhost=192.0.2.114",
    "Accepted password for known",
    "Connection closed by 192.0.2.15 port 35352",
    # Two readings, told without an address.
    "ssh2: from 10.10.1.2 port 55555 ssh2",
)
"""Lines labelled as failures that can't be known from the line alone."""


def labelled(shared: Path, service: str) -> list[dict[str, str]]:
    """Return the lines of one of fail2ban's filters."""
    with (shared / "logs" / "fail2ban_lines.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["service"] == service]


def test_lines_labelled_by_fail2ban(shared: Path) -> None:
    """All that a line of sshd tells by itself is told as labelled; no other line is a failure."""
    told = 0
    for row in labelled(shared, "sshd"):
        event = parse_line(row["line"], now=NOW, source="")
        if not row["is_failure"]:
            assert not isinstance(event, Auth) or event.result != "failure", row["line"]
        elif not any(one in row["line"] for one in STATEFUL):
            assert isinstance(event, Auth), row["line"]
            assert event.result in {"failure", "aborted"}
            assert plain(row["ip_or_host"]) in {event.orig, event.host}
            assert row["user"] in {None, event.user}
            told += 1
    assert told == 92


def plain(address: str) -> str:
    """Return an address as we write it, a name as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def test_access_lines_of_crowdsec(shared: Path) -> None:
    """Combined and JSON access logs give client and status as labelled."""
    told = 0
    with (shared / "logs" / "crowdsec_events.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        parser = row["parser"].rpartition("/")[2]
        if row["log_type"] != "http_access-log" or parser not in {
            "nginx-logs", "apache2-logs", "caddy-logs", "traefik-logs", "cpanel-logs",
        }:  # fmt: skip
            continue
        event = parse_line(row["line"], now=NOW, source="")
        # One custom format leaves the user out.
        if "- [" in row["line"][:20] and "- - [" not in row["line"]:
            continue
        assert isinstance(event, Api), row["line"]
        assert (event.orig, str(event.status)) == (row["ip"], row["http_status"])
        told += 1
    assert told == 77
