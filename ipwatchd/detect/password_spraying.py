"""Guessing that stays under the line for one user: many users, or many sources, few tries each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Sources
from ipwatchd.detect.tally import Tallies
from ipwatchd.detect.verdicts import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.tally import Tally
    from ipwatchd.records.event import AnyEvent, Auth
    from ipwatchd.records.finding import Finding

__all__ = ["PasswordSpraying"]

_VALUES: Final = 512
_OTHERS: Final = 2  # users that only failed for each that got in: behind NAT people slip


class _User:
    """An account that has logged in: it is a real one. `last` is epoch ns."""

    __slots__ = ("last", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1


class PasswordSpraying(Rule):
    """Detector of the rule password-spraying."""

    rule = "password-spraying"
    section = "password_spraying"
    about = About(
        "Password spraying, distributed guessing",
        "brute-force",
        "One source failed for many users with few tries each, or one real account was tried from "
        "many sources: each alone stays under the line of password-guessing and of lock-outs. A "
        "success among them is told apart.",
        "Deny the source; ask for a second factor; after a success lock the account and end its "
        "sessions. Who sits behind a shared address slips too: see who got in besides.",
        "`users` (with at most `tries` each in the mean) or `sources` within `window`.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.password_spraying
        self._one = one
        window, quiet = round(one.window * 1e9), round(settings.quiet * 1e9)
        self._sources = Tallies(settings.sources, _VALUES, window, quiet)
        self._accounts = Tallies(settings.sources, _VALUES, window, quiet)
        self._good = Tallies(settings.sources, _VALUES, window, quiet)
        self._real = Sources(_User, settings.sources, settings.sources)

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take logins; a finding for each source or account that crosses."""
        found = []
        for event in events:
            login = verdict(event)
            if login is None or not login.orig or not login.user:
                continue
            finding = self._take(login)
            if finding is not None:
                found.append(finding)
        for table in (self._sources, self._accounts, self._good):
            table.end(now)
        return found

    def counters(self) -> dict[str, int]:
        """Return sources and accounts held, and those that had to make room."""
        return {
            "sources": len(self._sources), "accounts": len(self._accounts),
            "sources_shed": self._sources.shed, "accounts_shed": self._accounts.shed,
        }  # fmt: skip

    def _take(self, login: Auth) -> Finding | None:
        time, user = round(login.ts * 1e9), login.user[:64]
        if login.result == "success":
            return self._success(login, user, time)
        if login.result != "failure":
            return None
        tally = self._sources.note(login.orig, user, time)
        if self._sprays(login.orig, tally) and tally.growth.due(tally.count, time):
            return self._spray(login, tally)
        if self._real.get(user) is None:
            return None
        tally = self._accounts.note(user, login.orig, time)
        if len(tally.values) >= self._one.sources and tally.growth.due(tally.count, time):
            return self._distributed(login, tally)
        return None

    def _success(self, login: Auth, user: str, time: int) -> Finding | None:
        """Note that an account is real; who sprayed before and gets in now is the worst."""
        tally = self._sources.get(login.orig)
        sprayed = tally is not None and self._sprays(login.orig, tally)
        self._real.active(user, time)
        self._good.note(login.orig, user, time)
        if sprayed and tally and user in tally.values and not tally.marks.get("in"):
            tally.mark("in")
            return self._spray(login, tally, success=user)
        return None

    def _sprays(self, source: str, tally: Tally) -> bool:
        good = self._good.get(source)
        others = len(tally.values)
        if good is not None:
            others -= sum(user in good.values for user in tally.values)
        if others < self._one.users or tally.count > self._one.tries * len(tally.values):
            return False
        return good is None or others >= _OTHERS * len(good.values)

    def _spray(self, login: Auth, tally: Tally, success: str = "") -> Finding:
        users = len(tally.values)
        title = f"{login.orig} failed for {users} users with few tries each"
        evidence = {
            "users": list(tally.values)[:16], "user_count": users, "failures": tally.count,
            "service": login.service, "window": self._one.window, "at_least": users >= _VALUES,
        }  # fmt: skip
        if success:
            title = f"{login.orig} got in as {success} after failing for {users} users"
            evidence["compromised"] = success
        return self.finding(
            login.orig, title, seen=(tally.started / 1e9, login.ts), count=tally.count,
            severity="critical" if success else "medium", value=users, threshold=self._one.users,
            targets=(login.resp,) if login.resp else (), evidence=evidence,
        )  # fmt: skip

    def _distributed(self, login: Auth, tally: Tally) -> Finding:
        sources = len(tally.values)
        return self.finding(
            login.user, f"{login.user} was tried from {sources} addresses", detail="distributed",
            seen=(tally.started / 1e9, login.ts), count=tally.count, severity="medium",
            value=sources, threshold=self._one.sources, targets=list(tally.values)[:20],
            evidence={
                "sources": sources, "failures": tally.count, "service": login.service,
                "window": self._one.window,
            },
        )  # fmt: skip
