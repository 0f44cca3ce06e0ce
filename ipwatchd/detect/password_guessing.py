"""Password guessing: failed logins that logs report, and on the wire sessions that look like them.

A log is sure, the wire is a guess: encrypted sessions as short and small as a refused login
(`sessions`). Both go to one finding a source, so that they grow into one incident.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.attempts import (
    SHOWN,
    SLIPS,
    Attempts,
    likelihood,
    note,
    note_user,
    readable,
    severity_of,
)
from ipwatchd.detect.batch import Groups, by_address, direction_name, slices
from ipwatchd.detect.sessions import TIMES, attempts, lasting, services_of, tries
from ipwatchd.detect.sources import Sources
from ipwatchd.detect.verdicts import verdict
from ipwatchd.detect.web_logins import WebLogins, WebTries
from ipwatchd.records.address import address_text, split
from ipwatchd.records.event import Http, Ssh
from ipwatchd.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.event import AnyEvent, Auth

__all__ = ["PasswordGuessing"]

_UNNAMED: Final = "an unnamed user"
_PROMPTS: Final = 3
"""Tries of one SSH session that count (ssh_config: NumberOfPasswordPrompts); keys are tries too."""
_WEIGHT: Final = 64  # user names and times kept of a source in the mean


class PasswordGuessing(Rule):
    """Detector of the rule password-guessing."""

    rule = "password-guessing"
    section = "password_guessing"
    about = About(
        "Password guessing",
        "brute-force",
        "One source failed to log in again and again: as logs say, as SIP, Kerberos, LDAP and "
        "RADIUS answers and web servers (401, 403) say, as SSH shows, or as sessions of the "
        "size of refusals make likely (SSH, FTP, Telnet, RDP, VNC; mail, with less confidence). "
        "With a success at the end somebody got in.",
        "Deny the source. After a success: lock the account, end its sessions, see what it did. "
        "A machine of ours as source is infected or has an old password stored.",
        "`failures` within `window`, or, as logs say, `burst` within `burst_window` of a source "
        "that did not get in before: faster than anybody types. On the wire three times as many "
        "for the web and SMTP, six times for IMAP and POP3. A user's own slips are forgiven by "
        "their success.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        self._least = settings.password_guessing.failures
        self._window = round(settings.password_guessing.window * 1e9)
        self._burst = settings.password_guessing.burst
        self._burst_window = round(settings.password_guessing.burst_window * 1e9)
        self._quiet = max(round(settings.quiet * 1e9), 2 * self._window)
        self._sources = Sources(Attempts, settings.sources, settings.sources * _WEIGHT)
        self._web = WebLogins(settings.sources, self._least, self._window)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; a finding for each source with many sessions small as refusals."""
        flows = batch.flows
        found: list[Finding] = []
        for part in slices(flows, self._window // 2):
            self._note_lasting(part)
            rows = np.flatnonzero(attempts(part))
            some = part.take(rows)
            held = tries(some)
            for source, places in by_address(some["orig_hi"], some["orig_lo"]):
                finding = self._sessions(source, some.take(places), int(held[places].sum()))
                if finding is not None:
                    found.append(finding)
        self._sources.sweep(round(now * 1e9) - self._quiet)
        return found

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take logins; a finding for each failure that crosses, grows, or ends in a success."""
        found: list[Finding] = []
        for event in events:
            if isinstance(event, Http):
                tries = self._web.take(event) if event.status and event.orig else None
                if tries is not None:
                    found.append(self._web_finding(event, tries))
                continue
            login = verdict(event)
            if login is None or not login.orig:
                continue
            try:
                hi, lo = split(login.orig)
            except ValueError:  # a host name: the log's resolver spoke, not the wire
                continue
            tried = min(event.tries, _PROMPTS) if isinstance(event, Ssh) else login.tries
            finding = self._login(hi << 64 | lo, login, max(tried, 1))
            if finding is not None:
                found.append(finding)
        self._sources.sweep(round(now * 1e9) - self._quiet)
        self._web.end(round(now * 1e9) - self._quiet)
        return found

    def counters(self) -> dict[str, int]:
        """Return sources held, and sources that had to make room."""
        return {
            "sources": len(self._sources), "web_clients": len(self._web),
            "sources_shed": self._sources.shed + self._web.shed,
        }  # fmt: skip

    def _active(self, source: int, time: int) -> Attempts:
        old = self._sources.get(source)
        if old is not None and time - old.last > self._quiet:
            self._sources.drop(source)
        record = self._sources.active(source, time)
        record.turn(time, self._window)
        return record

    def _login(self, source: int, event: Auth, tried: int = 1) -> Finding | None:
        time = round(event.ts * 1e9)
        user = readable(event.user)
        if event.result == "success":
            return self._success(source, user, time, event)
        if event.result != "failure":
            return None
        record = self._active(source, time)
        record.failures += tried
        record.seen += tried
        record.origin = "log" if event.source else "wire"
        note_user(record, user, event.tries)
        note(record.services, event.service)
        note(record.targets, event.resp or event.host)
        self._sources.weigh(record, len(record.users) + len(record.targets))
        if record.failures_within(self._window) < self._least:
            return self._hasty(source, record, time) if event.source else None
        return self._log_finding(source, record) if record.growth.due(record.seen, time) else None

    def _hasty(self, source: int, record: Attempts, time: int) -> Finding | None:
        """Return, once, that a log's failures came faster than anybody types.

        The wire has no such line: each SIP phone of a house is challenged when the power is back.
        """
        if record.recent is None:
            record.recent = deque(maxlen=self._burst)
        record.recent.append(time)
        full = len(record.recent) == self._burst
        if not full or time - record.recent[0] > self._burst_window:
            return None
        if record.hasty or record.known(self._window):
            return None
        record.hasty = True
        return self._log_finding(source, record)

    def _success(self, source: int, user: str, time: int, event: Auth) -> Finding | None:
        """Forgive a user's own slips; after guessing, a success is the worst there is."""
        record = self._active(source, time)
        slips = record.users.get(user, 0)
        if record.failures_within(self._window) >= self._least:
            # Behind an address that many share, somebody who never failed just logs in.
            # So does somebody behind it whom the wire gives no name.
            if record.success or ((not slips or not user) and record.known(self._window)):
                return None
            record.success = user or _UNNAMED
            note(record.services, event.service)
            return self._log_finding(source, record)
        record.known_at = time
        if 0 < slips <= SLIPS:
            del record.users[user]
            record.failures = max(0, record.failures - slips)
        return None

    def _log_finding(self, source: int, record: Attempts) -> Finding:
        value = record.failures_within(self._window)
        under = value < self._least and not record.success
        named = [user for user in record.users if user]
        users = len(named) + record.more_users
        subject = _text(source)
        evidence: dict[str, Any] = {
            "from": record.origin,
            "failures": record.seen,
            "failures_in_window": value,
            "user_count": users,
            "users": named[:SHOWN],
            "services": list(record.services),
            "window": self._window / 1e9,
        }
        whom = f" for {users} user{'s'[: users != 1]}" if users else ""
        title = f"{subject} failed {record.seen} logins{whom}"
        if record.success:
            evidence["compromised"] = record.success
            title = f"{subject} got in as {record.success} after {record.seen} failed logins"
        if under:
            evidence |= {
                "burst": self._burst, "window": self._burst_window / 1e9,
                "note": "a program with an old password stored looks the same",
            }  # fmt: skip
        return self._finding(
            source, record, evidence, title=title, count=record.seen, value=value,
            severity="low" if under else severity_of(record, users),
            threshold=self._burst if under else 0,
            score=likelihood(value, self._least, success=bool(record.success)),
        )  # fmt: skip

    def _note_lasting(self, flows: NDArray[np.void]) -> None:
        """Note who also has sessions that no refused login would have: they can log in."""
        rows = np.flatnonzero(lasting(flows))
        groups = Groups(flows["orig_hi"][rows], flows["orig_lo"][rows])
        for source, time in zip(groups.sources, groups.latest(flows["end"][rows]), strict=True):
            self._active(source, time).known_at = time

    def _sessions(self, source: int, flows: NDArray[np.void], tried: int) -> Finding | None:
        time = int(flows["end"].max())
        record = self._active(source, time)
        if not record.wire_seen and not record.seen:
            record.started = int(flows["start"].min())
        record.sessions += tried
        record.wire_seen += tried
        for place in range(min(len(flows), SHOWN)):
            row = flows[place]
            note(record.targets, address_text(int(row["resp_hi"]), int(row["resp_lo"])))
        for service in services_of(flows):
            note(record.services, service)
        self._sources.weigh(record, len(record.users) + len(record.targets))
        direction = direction_name(flows)
        inside = direction in {"internal", "outgoing"}
        if record.times is None:
            record.times = deque(maxlen=self._least)
        record.times.extend(flows["end"].tolist())
        value = record.sessions_within(self._window)
        least = self._least * max(map(TIMES.__getitem__, services_of(flows)))
        # Inside, scripts and monitors log in all day: there it takes twice as many, or as many in
        # half the time.
        hasty = len(record.times) == least and time - record.times[0] <= self._window // 2
        if inside and not hasty:
            least *= 2
        if record.known(self._window) or value < least:
            return None
        if not record.wire_growth.due(record.wire_seen, time):
            return None
        subject = _text(source)
        services = "/".join(record.services)
        evidence: dict[str, Any] = {
            "from": "wire",
            "sessions": value,
            "services": list(record.services),
            "window": self._window / 1e9,
            "direction": direction,
            "note": "sessions as short and small as refused logins; automation may look the same",
        }
        title = f"{subject} made {value} {services} logins as short as refused ones"
        score = round(
            0.6 / max(1, least // self._least) ** 0.5 * (1 - math.exp2(-value / least)), 3
        )
        return self._finding(
            source, record, evidence, title=title, count=record.wire_seen, value=value,
            threshold=least,
            severity="medium" if not inside else "low", score=score,
        )  # fmt: skip

    def _web_finding(self, event: Http, tries: WebTries) -> Finding:
        return self.finding(
            event.orig,
            f"{event.orig} was refused {tries.refused} times by the web server {event.resp}",
            detail=f"web|{event.resp}", seen=(tries.started / 1e9, event.ts), count=tries.seen,
            severity="medium", value=tries.refused, threshold=self._web.least,
            score=round(0.5 * (1 - math.exp2(-2 * tries.refused / self._web.least)), 3),
            targets=(event.resp,),
            evidence={
                "from": "wire", "service": "http", "refused": tries.refused,
                "answers": tries.answers, "last_status": event.status,
                "name": readable(event.name), "window": self._window / 1e9,
                "note": "a program with an old password stored looks the same",
            },
        )  # fmt: skip

    def _finding(
        self, source: int, record: Attempts, evidence: dict[str, Any], *, title: str, count: int,
        value: int, severity: str, score: float, threshold: int = 0,
    ) -> Finding:  # fmt: skip
        subject = _text(source)
        return Finding(
            rule=self.rule, subject=subject, key=f"{self.rule}|{subject}", title=title,
            first_seen=record.started / 1e9, last_seen=record.last / 1e9, count=count,
            severity=severity, classification="brute-force", score=score, value=value,
            threshold=threshold or self._least, targets=tuple(record.targets), evidence=evidence,
        )  # fmt: skip


def _text(source: int) -> str:
    return address_text(source >> 64, source & ((1 << 64) - 1))
