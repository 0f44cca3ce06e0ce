"""What programs write when somebody logs in or fails to: a table of patterns by program.

Every pattern is anchored at the start of the message and repeats no repetition: its work is linear.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["LOGINS", "Login", "Program"]


class Login(NamedTuple):
    """One kind of message. Groups: user, from (the client), port, method.

    `result` is success, failure or aborted: the client went before its credentials were judged, as
    scanners, health checks and clients with old ciphers do. `other` finds what else may
    be the client, where the client's own words stand on both sides of it: if that is another,
    nobody is accused.
    """

    pattern: re.Pattern[str]
    result: str
    method: str
    other: re.Pattern[str] | None = None


class Program(NamedTuple):
    """A program's messages, the first that matches counts; `sshd` also has sshd's verdicts."""

    service: str
    logins: tuple[Login, ...]
    sshd: bool = False


def _login(result: str, method: str, *pattern: str) -> Login:
    return Login(re.compile("".join(pattern)), result, method)


# A user name is whatever the client sent: it ends at the LAST client of the line.
_USER = "(?P<user>.*)"
_FROM = "(?P<from>[^ ]{1,255})"
_PORT = " port (?P<port>[0-9]{1,5})"
_MAYBE_PORT = f"(?:{_PORT})?"
_END = r"(?: \[preauth\])? ?$"
_LEFT = "(?:Connection (?:closed|reset) by|Disconnected from)"
_NAMED = "(?:authenticating|invalid) user"

_SSHD: Final = (
    _login("failure", "user", f"(?:Invalid|Illegal) user {_USER} from {_FROM}{_MAYBE_PORT}{_END}"),
    _login("failure", "policy", f"User {_USER} from {_FROM} not allowed because "),
    _login("failure", "policy", f"ROOT LOGIN REFUSED FROM {_FROM}{_MAYBE_PORT}{_END}"),
    _login("failure", "policy", r"refused connect from .* \((?P<from>[^ ()]{1,255})\)$"),
    _login(
        "failure", "pam", "(?:error: )?PAM: .{1,128}? for (?:(?:illegal|invalid) user )?",
        f"{_USER} from {_FROM}(?: via [^ ]{{1,255}})? ?$",
    ),
    _login(
        "failure", "attempts", "(?:error: )?maximum authentication attempts exceeded for ",
        f"(?:invalid user )?{_USER} from {_FROM}{_MAYBE_PORT}(?: ssh[12])?{_END}",
    ),
    Login(
        re.compile(
            f"Disconnecting {_NAMED} {_USER} {_FROM}{_PORT}:"
            " Change of username or service not allowed: "
        ),
        "failure", "attempts", re.compile(f" {_FROM}{_PORT}: "),
    ),
    _login(
        "failure", "disconnect", f"(?:error: )?Received disconnect from {_FROM}{_MAYBE_PORT}:",
        r" ?(?:3: .*Auth fail$|(?:3|11): .*\[preauth\]$)",
    ),
    _login(
        "aborted", "negotiation",
        f"(?:error: )?Received disconnect from {_FROM}{_MAYBE_PORT}: ?14: ",
    ),
    _login("aborted", "disconnect", rf"{_LEFT} {_NAMED} {_USER} {_FROM}{_PORT} \[preauth\]$"),
    Login(
        re.compile(
            f"Disconnecting {_NAMED} {_USER} {_FROM}{_PORT}: Too many authentication failures"
        ),
        "aborted", "attempts", re.compile(f" {_FROM}{_PORT}: "),
    ),
    _login("aborted", "disconnect", rf"{_LEFT} {_FROM}{_MAYBE_PORT} \[preauth\]$"),
    _login(
        "aborted", "probe", "Did not receive identification string from ",
        f"{_FROM}{_MAYBE_PORT}{_END}",
    ),
    _login(
        "aborted", "probe", "Bad protocol version identification '.*' from ",
        f"{_FROM}{_MAYBE_PORT}{_END}",
    ),
    _login(
        "aborted", "probe", "(?:banner exchange|ssh_dispatch_run_fatal): Connection from ",
        f"{_FROM}{_PORT}: ",
    ),
    _login(
        "aborted", "timeout", "(?:fatal: )?Timeout before authentication for (?:connection from )?",
        f"{_FROM}{_MAYBE_PORT}(?: to |$)",
    ),
    _login("aborted", "negotiation", f"(?:fatal: )?Unable to negotiate with {_FROM}{_PORT}: "),
)  # fmt: skip
"""OpenSSH (auth.c, auth-pam.c, packet.c, sshd.c) beside its verdicts (Failed, Accepted)."""

_DROPBEAR: Final = (
    _login("failure", "password", f"Bad (?:PAM )?password attempt for '{_USER}' from {_FROM}$"),
    _login("failure", "user", f"Login attempt for nonexistent user (?:'{_USER}' )?from {_FROM}$"),
    _login("aborted", "disconnect", "Exit before auth from <(?P<from>[^ <>]{1,255})>: "),
    _login(
        "success", "", f"(?P<method>Password|PAM password|Pubkey) auth succeeded for '{_USER}'",
        f"(?: with [^ ]{{1,64}} key [^ ]{{1,128}})? from {_FROM}$",
    ),
)  # fmt: skip
"""Dropbear (svr-authpasswd.c, svr-authpam.c, svr-authpubkey.c, svr-session.c)."""

_OPENSSH: Final = Program("ssh", _SSHD, sshd=True)

LOGINS: Final[dict[str, Program]] = {
    "sshd": _OPENSSH,
    "sshd-session": _OPENSSH,
    "sshd-auth": _OPENSSH,
    "dropbear": Program("ssh", _DROPBEAR),
}
"""Programs as syslog names them."""
