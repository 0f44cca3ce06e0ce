"""A login from a country or network that the user never came from, or not for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Sources
from ipwatchd.detect.verdicts import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.records.event import AnyEvent, Auth
    from ipwatchd.records.finding import Finding
    from ipwatchd.records.place import Place

__all__ = ["UnfamiliarLogin"]

_KEPT: Final = 16  # countries and networks of one user


class _User:
    """Where a user logs in from: value → last time. Times are epoch ns."""

    __slots__ = ("countries", "last", "logins", "networks", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1
        self.logins = 0
        self.countries: dict[str, int] = {}
        self.networks: dict[str, int] = {}


class UnfamiliarLogin(Rule):
    """Detector of the rule unfamiliar-login."""

    rule = "unfamiliar-login"
    section = "unfamiliar_login"
    about = About(
        "Login from an unfamiliar place",
        "unprivileged-account-compromise",
        "A user got in from a country they never came from, or not for as long as `forget`, or "
        "from a network operator that is new to them.",
        "Ask the person on another way than the account. If it was not them: lock the account, "
        "end its sessions, see what it did.",
        "`enough` logins before a country counts as new, `enough_networks` before an operator "
        "does; `networks = false` leaves operators out (mobile users).",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        self._house = house or House()
        self._one = settings.unfamiliar_login
        self._forget = round(self._one.forget * 1e9)
        self._users = Sources(_User, settings.sources, settings.sources * _KEPT)
        self._learning = 0

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take logins that succeeded; a finding for each from where the user is not known."""
        found = []
        for event in events:
            login = verdict(event)
            if login is None or login.result != "success" or not login.user:
                continue
            place = self._house.place(login.orig)
            if place is None or not (place.country or place.asn):
                continue
            finding = self._take(login, place)
            if finding is not None:
                found.append(finding)
        self._users.sweep(round(now * 1e9) - 12 * self._forget)
        return found

    def counters(self) -> dict[str, int]:
        """Return users held, logins of users not known enough, users that had to make room."""
        return {
            "users": len(self._users), "not_enough_seen": self._learning,
            "users_shed": self._users.shed,
        }  # fmt: skip

    def remember(self) -> Any:
        """Return where each user comes from."""
        return [
            [key, one.logins, one.last, one.countries, one.networks]
            for key, one in self._users.items() if isinstance(key, str)
        ]  # fmt: skip

    def recall(self, learned: Any) -> None:
        """Take back what was learned."""
        for user, logins, last, countries, networks in learned:
            one = self._users.active(str(user), int(last))
            one.logins = int(logins)
            one.countries = {str(name): int(time) for name, time in countries.items()}
            one.networks = {str(name): int(time) for name, time in networks.items()}

    def _take(self, login: Auth, place: Place) -> Finding | None:
        time = round(login.ts * 1e9)
        one = self._users.active(login.user[:64], time)
        one.logins += 1
        network = f"AS{place.asn}" if place.asn else ""
        finding = None
        for kind, value, known, enough in (
            ("country", place.country, one.countries, self._one.enough),
            ("network", network, one.networks, self._one.enough_networks),
        ):
            if not value:
                continue
            before = known.get(value)
            others = dict(known)
            known.pop(value, None)
            known[value] = max(time, before or time)
            while len(known) > _KEPT:
                del known[next(iter(known))]
            away = before is not None and time - before > self._forget
            if before is not None and not away:
                continue
            if one.logins <= enough:
                self._learning += 1
            elif finding is None and (kind == "country" or self._one.networks):
                finding = self._found(login, place, kind, value, others, before)
        self._users.weigh(one, 1 + len(one.countries) + len(one.networks))
        return finding

    def _found(
        self, login: Auth, place: Place, kind: str, value: str, others: dict[str, int],
        before: int | None,
    ) -> Finding:  # fmt: skip
        shown = f"{value} ({place.operator})" if kind == "network" and place.operator else value
        how = "not seen for long" if before is not None else "never seen before"
        return self.finding(
            login.user, f"{login.user} logged in from {shown}, {how}", detail=f"{kind}|{value}",
            seen=(login.ts, login.ts), count=1, severity="medium" if kind == "country" else "low",
            value=1, threshold=1, score=0.7 if kind == "country" else 0.4, targets=(login.orig,),
            evidence={
                "address": login.orig, "service": login.service, "kind": kind, "value": value,
                "known": sorted(others), "last_seen_from_there": (before or 0) / 1e9,
            },
        )  # fmt: skip
