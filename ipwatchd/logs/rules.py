"""Log lines → logins and logouts, API requests and VPN addresses.

What lines mean stands in files of data (config/logs/*.toml, `ruleset`); this applies them. A line
is read up to MAX_LINE characters by templates of linear work (`template`).
"""

from __future__ import annotations

from datetime import UTC
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.logs import access, objects, syslog
from ipwatchd.logs.client import client, shown
from ipwatchd.logs.container import WRAPPED, unwrapped
from ipwatchd.logs.memory import Memory
from ipwatchd.logs.ruleset import ANY, load_rules
from ipwatchd.logs.told import Told
from ipwatchd.logs.torn import Torn
from ipwatchd.logs.when import stamp
from ipwatchd.records.event import Api, Auth, Logout, Vpn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo

    from ipwatchd.logs.program import Line, Program
    from ipwatchd.logs.ruleset import Ruleset

__all__ = ["ANY", "MAX_LINE", "LogEvent", "Reader", "parse_line"]

MAX_LINE: Final = 16 * 1024
"""Characters of a line that is looked at; a longer one gives nothing. Stops a line without end, and
a forger who places words so that the cut makes them the end of the line."""

_TRIES: Final = 10
"""Failed logins that one line counts as at most: it is one line of one session."""
_LOGINS: Final = frozenset({"success", "failure", "aborted"})
LogEvent = Auth | Api | Logout | Vpn


class Reader:
    """Reads the lines of many sources; remembers clients of sessions that go over several lines.

    A failed login that several lines tell is told once, where the server's own line is among them;
    `alone` takes each line by itself. `zone` is that of time stamps that name none. `fields` are a
    site's own names of facts in JSON logs, looked at before the rules'.
    """

    def __init__(
        self,
        rules: Ruleset | None = None,
        *,
        zone: tzinfo = UTC,
        fields: Mapping[str, Sequence[str]] | None = None,
        alone: bool = False,
    ) -> None:
        self._rules = rules or load_rules()
        self._zone = zone
        self._objects = objects.Objects(self._rules.shapes, fields or {})
        self._memory = Memory()
        self._torn = Torn()
        self._told = None if alone else Told()

    def line(self, line: bytes | str, *, now: float, source: str) -> LogEvent | None:
        """Return what a line of a log reports, or None.

        `now` (epoch s) gives the year to a stamp without one, and the time to a line without a
        stamp; `source` is the file or sender. A line over MAX_LINE gives None.
        """
        if len(line) > MAX_LINE:
            return None
        if isinstance(line, bytes):
            line = line.decode("utf-8", "backslashreplace")
        # A datagram may hold what a client put between two line feeds: it stays one line.
        line = line.rstrip("\r\n \0").replace("\n", "?")
        inner = unwrapped(line) if line[:1] in WRAPPED else None
        if inner is not None:
            line, now = inner[0].rstrip("\r\n \0"), now if inner[1] is None else inner[1]
        # Samba puts its objects two blanks behind.
        if line.startswith(("{", "  {")):
            return self._objects.read(line, now=now, source=source)
        head = syslog.split(line, now, self._zone)
        if head is not None:
            event = self.message(head, source=source)
            # With a process id it is syslog's own head: no file of a program starts like that.
            if event is not None or head.pid or self._program(head.program) is not None:
                return event
        elif self._torn and self._torn.covers(source, "", len(line)):
            return None
        else:
            event = self._request(line, now, source)
            if event is not None:
                return event
        return self._headed(line, now, source)

    def message(self, head: syslog.Head, *, source: str) -> LogEvent | None:
        """Return what a message of a program reports: syslog's or the journal's."""
        if head.text.startswith("{"):
            return self._objects.read(head.text, now=head.ts, source=source)
        for tagged in self._rules.tagged.get(head.program, ()):
            if self._torn and self._torn.covers(source, tagged.program, len(head.text)):
                return None
            found = tagged.split(head.text)
            if found is not None:
                inner = syslog.Head(head.ts, tagged.program, found[1], head.pid)
                event = self._said(inner, found[0], source)
                if event is not None:
                    return event
        event = self._said(head, {}, source)
        if event is None and head.program in access.TAGS:
            return self._request(head.text, head.ts, source)
        return event

    def _request(self, line: str, now: float, source: str) -> LogEvent | None:
        """Return what a line of an access log reports."""
        if access.COMBINED in line:
            event = access.from_combined(line, now=now, source=source, zone=self._zone)
            if event is not None:
                return event
        return access.from_squid(line, source=source) if access.SQUID in line else None

    def _headed(self, line: str, now: float, source: str) -> LogEvent | None:
        """Return what a line of a program's own file reports: of the first head that tells."""
        hour = int(now // 3600)
        for head, opened, rest in self._rules.begun(line):
            found = head.follow(opened, rest)
            if found is not None:
                facts, text = found
                ts = stamp(head.time, facts.pop("time", ""), hour, self._zone)
                program = facts.pop("program", "") or head.program
                inner = syslog.Head(now if ts is None else ts, program, text)
                event = self._said(inner, facts, source)
                if event is not None:
                    return event
        return None

    def _said(self, head: syslog.Head, facts: dict[str, str], source: str) -> LogEvent | None:
        """Return what a program's own lines report, else what PAM says in its name."""
        for program in (self._program(head.program), self._rules.programs.get(ANY)):
            found = program.read(head.text) if program is not None else None
            if found is not None and program is not None:
                line, told = found
                return self._event(head, program, line, facts | told if facts else told, source)
        return None

    def _program(self, tag: str) -> Program | None:
        """Return the rules of a tag: /usr/sbin/sshd, postfix/smtpd, httpd/backend1."""
        found = self._rules.programs.get(tag)
        if found is None and "/" in tag:
            last, first = tag.rpartition("/")[2], tag.partition("/")[0]
            found = self._rules.programs.get(last) or self._rules.programs.get(first)
        return found

    def _event(
        self, head: syslog.Head, program: Program, line: Line, facts: dict[str, str], source: str
    ) -> LogEvent | None:
        result = line.result
        if result == "nothing":
            return None
        if result == "torn":
            self._torn.note(source, head.program, len(head.text))
            return None
        service = program.service or facts.get("program", "") or head.program.rpartition("/")[2]
        session = facts.get("session") or facts.get("thread") or head.pid
        if program.spelled and (user := facts.get("user")):
            spelled = program.spelled(user, head)
            facts = facts if spelled == user else {**facts, "user": spelled}
        if session and program.remembers:
            anew = "thread" in facts and not facts.get("session")
            facts = self._recalled(facts, (source, service, session), head.ts, anew=anew)
        if result == "remember":
            return None
        event = _event_of(head.ts, source, service, line, facts)
        if result != "failure" or self._told is None or event is None or not event.orig:
            return event
        if self._told.again(service, event.orig, event.ts, echo=line.echo):
            return None
        return _without(event, self._told.echoed(service, event.orig)) if _several(event) else event

    def _recalled(
        self, facts: dict[str, str], session: tuple[str, str, str], now: float, *, anew: bool
    ) -> dict[str, str]:
        """Return the facts with what the session's earlier lines told; remember what is told.

        `anew`: a client that is named begins another session (threads serve one after another).
        """
        user, named = facts.get("user", ""), bool(facts.get("from"))
        known = None if named and (user or anew) else self._memory.get(session, now)
        if known and not user:
            user = known.user
        if named:
            self._memory.put(session, facts["from"], facts.get("port", ""), user, now)
        elif known and user:
            self._memory.put(session, known.client, known.port, user, now)
        if "claimed" in facts:
            return {**facts, "user": user or facts["claimed"]}
        if "from" in facts or known is None:
            return facts
        said = facts if "address" in facts else {"user": known.user, **facts}
        return {**said, "from": known.client, "port": known.port}


def _several(event: LogEvent) -> bool:
    return isinstance(event, Auth) and event.tries > 1


def _without(event: LogEvent, echoed: int) -> LogEvent:
    """Return failed logins without those that their echoes told of."""
    tries = max(1, event.tries - echoed) if isinstance(event, Auth) else 1
    return msgspec.structs.replace(event, tries=tries)


def _event_of(
    ts: float, source: str, service: str, line: Line, facts: Mapping[str, str]
) -> LogEvent | None:
    """Return the event of a line that was matched; None where it says of nobody."""
    address, own_port, host = client(facts.get("from", ""))
    port = (min(int(named), 65535) if (named := facts.get("port")) else 0) or own_port
    user = shown(facts.get("user", ""))
    if line.result in _LOGINS:
        if not (address or host or user):
            return None
        return Auth(
            ts=ts, orig=address, orig_port=port, source=source, user=user, result=line.result,
            service=shown(service, 64), host=host,
            method=line.method or shown(facts.get("method", ""), 64).lower(),
            tries=min(max(int(tries), 1), _TRIES) if (tries := facts.get("tries")) else 1,
        )  # fmt: skip
    if line.result in {"assigned", "released"}:
        inner = client(facts.get("address", ""))[0]
        return Vpn(
            ts=ts, orig=address, orig_port=port, source=source, message=line.result, user=user,
            address=inner, service=service,
        )  # fmt: skip
    if line.result == "request":
        status = line.status or min(int(facts.get("status") or 0), 999)
        method = shown(facts.get("method", ""), 24)
        return Api(
            ts=ts, orig=address, orig_port=port, source=source, method=method, status=status,
            name=shown(facts.get("name", "").lower()), key=shown(facts.get("key", "")),
        )  # fmt: skip
    # A logout without its client ends nothing that can be named.
    return Logout(
        ts=ts, orig=address, orig_port=port, source=source, user=user, service=shown(service, 64),
    ) if address else None  # fmt: skip


@cache
def _reader() -> Reader:
    return Reader(alone=True)


def parse_line(line: bytes | str, *, now: float, source: str) -> LogEvent | None:
    """Return what a line reports by the shipped rules, in UTC; see `Reader.line`."""
    return _reader().line(line, now=now, source=source)
