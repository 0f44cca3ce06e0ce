"""Log lines → logins and API requests.

What lines look like stands in tables (`logins.LOGINS`, `access.FIELDS`); this applies them.
A line is read up to MAX_LINE characters by patterns of linear work.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ipwatchd.logs import access, syslog
from ipwatchd.logs.client import client, shown
from ipwatchd.logs.logins import LOGINS
from ipwatchd.records.event import Auth

if TYPE_CHECKING:
    from ipwatchd.logs.logins import Program
    from ipwatchd.records.event import Api

__all__ = ["MAX_LINE", "parse_line"]

MAX_LINE: Final = 16 * 1024
"""Characters of a line that is looked at; a longer one gives nothing. Stops a line without end, and
a forger who places words so that the cut makes them the end of the line."""

_JUDGED: Final = re.compile(r"(Failed|Accepted) ([^ ]{1,64}) for (invalid user |illegal user )?")
_CLIENT: Final = re.compile(r" from ([^ ]{1,255}) port ([0-9]{1,5}) ssh[12](?=: | \[preauth\]$|$)")
_BARE_CLIENT: Final = re.compile(r"(.*) from ([^ ]{1,255})(?: port ([0-9]{1,5}))?$")

_PAM: Final = re.compile(
    r"\(?pam_[a-z0-9_]{1,32}(?:\(([A-Za-z0-9_.-]{1,64})(?::auth)?\))?\)?:? authentication failure;"
)
_REMOTE: Final = re.compile(r"(.*?) rhost=([^ ]{0,255}) ?(?: {1,2}user=(.*))?$")
_REMOTE_LAST: Final = re.compile(r"(.*) rhost=([^ ]{0,255}) ?(?: {1,2}user=(.*))?$")


def parse_line(line: bytes | str, *, now: float, source: str) -> Auth | Api | None:
    """Return the login or API request that a line of a log reports, or None.

    `now` (epoch s) gives the year to a stamp without one, and the time to a line without a stamp;
    `source` is the file. A line over MAX_LINE gives None.
    """
    if len(line) > MAX_LINE:
        return None
    if isinstance(line, bytes):
        line = line.decode("utf-8", "backslashreplace")
    line = line.rstrip("\r\n")
    if line.startswith("{"):
        return access.from_json(line, now=now, source=source)
    head = syslog.split(line, now)
    if head is None:
        return access.from_combined(line, now=now, source=source)
    program = LOGINS.get(head.program)
    if program is None:
        return _pam(head, source)
    judged = _judged(head, program, source) if program.sshd else None
    return judged or _login(head, program, source)


def _login(head: syslog.Head, program: Program, source: str) -> Auth | None:
    """Return the event of the first pattern that a message matches."""
    for pattern, result, method, other in program.logins:
        found = pattern.match(head.text)
        if found is not None:
            groups = found.groupdict(default="")
            if other and any(one["from"] != groups["from"] for one in other.finditer(head.text)):
                groups["from"] = groups["port"] = ""
            return _auth(
                head.ts, source, program.service, result, method or groups["method"].lower(),
                groups.get("user", ""), groups["from"], groups.get("port", ""),
            )  # fmt: skip
    return None


def _judged(head: syslog.Head, program: Program, source: str) -> Auth | None:
    """Return the event of sshd's verdict: `Failed password for bob from 192.0.2.1 port 99 ssh2`.

    The name before the client and the comment behind it (a certificate's id) are the client's own
    words. Where they hold the like of a client there are two readings, and nobody is accused.
    """
    found = _JUDGED.match(head.text)
    if found is None:
        return None
    failed, method, unknown = found[1] == "Failed", found[2], bool(found[3])
    # A client offers its keys one by one, and "none" to ask for the methods (RFC 4252, 5.2, 7).
    if failed and not unknown and method in {"publickey", "none"}:
        return None
    rest = head.text[found.end() :]
    clients = list(_CLIENT.finditer(rest))
    if clients:
        last = clients[-1]
        user, address, port = rest[: last.start()], last[1], last[2]
        # All but the last are followed by ": ", behind which all may be comment.
        if any(one[1] != address for one in clients):
            user, address, port = rest[: clients[0].start()], "", ""
    elif bare := _BARE_CLIENT.match(rest):
        user, address, port = bare[1], bare[2], bare[3] or ""
    else:
        return None
    result = "failure" if failed else "success"
    return _auth(head.ts, source, program.service, result, method, user, address, port)


def _pam(head: syslog.Head, source: str) -> Auth | None:
    """Return a failure that PAM logs for a program; sshd tells its own in its own words."""
    found = _PAM.match(head.text)
    if found is None:
        return None
    rest = head.text[found.end() :].partition(" ruser=")[2]
    first, last = _REMOTE.match(rest), _REMOTE_LAST.match(rest)
    if first is None or last is None:
        return None
    # Two readings: a user name holds an "rhost=" of its own.
    address = first[2] if first[2] == last[2] else ""
    return _auth(
        head.ts, source, found[1] or head.program, "failure", "pam", first[3] or first[1], address
    )


def _auth(
    ts: float, source: str, service: str, result: str, method: str, user: str, who: str,
    port: str = "",
) -> Auth:  # fmt: skip
    address, own_port, name = client(who)
    return Auth(
        ts=ts,
        orig=address,
        orig_port=min(int(port or 0), 65535) or own_port,
        source=source,
        user=shown(user),
        result=result,
        service=service,
        method=shown(method, 64),
        host=name,
    )
