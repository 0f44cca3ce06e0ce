"""A login from a country, network or device, or at an hour, that is new to the user."""

from __future__ import annotations

from datetime import UTC, datetime
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

_KEPT: Final = 16  # countries, networks and devices of one user
_DEVICES: Final = 3
_AROUND: Final = 2  # hours to both sides: overtime, and a change of the clock
_DAYS: Final = 60


class _User:
    """Where a user logs in from: value → last time. Times are epoch ns."""

    __slots__ = ("countries", "days", "devices", "hours", "last", "logins", "networks", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1
        self.logins = 0
        self.countries: dict[str, int] = {}
        self.networks: dict[str, int] = {}
        self.devices: dict[str, int] = {}
        self.hours = [0] * 24
        self.days: dict[str, int] = {}
        """Days (UTC) with logins, the latest: an hour counts once a day."""


class UnfamiliarLogin(Rule):
    """Detector of the rule unfamiliar-login."""

    rule = "unfamiliar-login"
    section = "unfamiliar_login"
    about = About(
        "Login from an unfamiliar place",
        "unprivileged-account-compromise",
        "A user got in from a country they never came from, or not for as long as `forget`, from "
        "a network operator or on a device that is new to them, or at an hour (UTC) at which, and "
        "around which, they never log in.",
        "Ask the person on another way than the account. If it was not them: lock the account, "
        "end its sessions, see what it did.",
        "`enough` logins before a country counts as new, `enough_networks` before an operator "
        "does; `networks = false` leaves operators out (mobile users). `enough_devices` logins "
        "before a device counts as new, of users with at most three (who share desks have more); "
        "`enough_days` with logins before an hour does. Agents with a shift in the roster are held "
        "to that instead.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        self._house = house or House()
        self._one = settings.unfamiliar_login
        self._forget = round(self._one.forget * 1e9)
        self._users = Sources(_User, settings.sources, settings.sources * _KEPT)
        self._agents = {name.lower(): agent for name, agent in self._house.agents.items()}
        self._learning = 0

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take logins that succeeded; a finding for each from where the user is not known."""
        found = []
        for event in events:
            login = verdict(event)
            if login is None or login.result != "success" or not login.user:
                continue
            place = self._house.place(login.orig)
            one = self._users.active(login.user[:64], round(login.ts * 1e9))
            one.logins += 1
            abroad = place is not None and (place.country or place.asn)
            finding = self._take(login, place, one) if place is not None and abroad else None
            others = (finding, self._device(login, one), self._hour(login, one))
            found += [other for other in others if other is not None]
            self._users.weigh(one, 1 + len(one.countries) + len(one.networks) + len(one.devices))
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
            [
                key, one.logins, one.last, one.countries, one.networks, one.devices, one.hours,
                one.days,
            ]
            for key, one in self._users.items() if isinstance(key, str)
        ]  # fmt: skip

    def recall(self, learned: Any) -> None:
        """Take back what was learned."""
        for user, logins, last, countries, networks, *more in learned:
            one = self._users.active(str(user), int(last))
            one.logins = int(logins)
            one.countries = {str(name): int(time) for name, time in countries.items()}
            one.networks = {str(name): int(time) for name, time in networks.items()}
            if more:  # files from before devices and hours were learned have none
                devices, hours, days = more
                one.devices = {str(name): int(time) for name, time in devices.items()}
                one.hours = [*map(int, hours), *[0] * 24][:24]
                one.days = {str(day): int(bits) for day, bits in days.items()}

    def _device(self, login: Auth, one: _User) -> Finding | None:
        """Judge the client's name; who has many devices has none that is strange."""
        device, time = login.host.lower()[:64], round(login.ts * 1e9)
        if not device:
            return None
        new, known = device not in one.devices, sorted(one.devices)
        one.devices.pop(device, None)
        one.devices[device] = time
        while len(one.devices) > _KEPT:
            del one.devices[next(iter(one.devices))]
        if not new or not known or len(known) > _DEVICES or one.logins <= self._one.enough_devices:
            return None
        return self.finding(
            login.user, f"{login.user} logged in on {device}, new to them",
            detail=f"device|{device}", seen=(login.ts, login.ts), count=1, severity="low", value=1,
            threshold=1, score=0.4,
            targets=(login.orig,) if login.orig else (),
            evidence={"kind": "device", "value": device, "known": known, "address": login.orig,
                      "service": login.service, "logins_seen": one.logins},
        )  # fmt: skip

    def _hour(self, login: Auth, one: _User) -> Finding | None:
        """Judge the hour; a day's logins at one hour count once, so that scripts weigh no more."""
        moment = datetime.fromtimestamp(login.ts, UTC)
        day, hour = moment.strftime("%Y-%m-%d"), moment.hour
        days = len(one.days) - (day in one.days)
        around = sum(one.hours[(hour + away) % 24] for away in range(-_AROUND, _AROUND + 1))
        before = one.hours.copy()
        if not one.days.get(day, 0) >> hour & 1:
            one.hours[hour] += 1
        one.days[day] = one.days.get(day, 0) | 1 << hour
        while len(one.days) > _DAYS:
            del one.days[next(iter(one.days))]
        agent = self._agents.get(login.user.rpartition("\\")[2].partition("@")[0].lower())
        if around or days < self._one.enough_days or (agent is not None and agent.shift):
            return None
        return self.finding(
            login.user, f"{login.user} logged in at {hour:02}:00 UTC, an hour new to them",
            detail=f"hour|{hour}", seen=(login.ts, login.ts), count=1, severity="low", value=1,
            threshold=1, score=0.4, targets=(login.orig,) if login.orig else (),
            evidence={
                "kind": "hour", "value": hour, "days_seen": days, "address": login.orig,
                "usual": [at for at, times in enumerate(before) if times],
                "service": login.service,
            },
        )  # fmt: skip

    def _take(self, login: Auth, place: Place, one: _User) -> Finding | None:
        time = round(login.ts * 1e9)
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
