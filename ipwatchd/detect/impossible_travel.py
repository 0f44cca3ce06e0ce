"""Two logins of one user farther apart than anybody travels in the time between."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Sources
from ipwatchd.detect.verdicts import verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.records.event import AnyEvent, Auth
    from ipwatchd.records.finding import Finding

__all__ = ["ImpossibleTravel", "kilometres"]

_EARTH: Final = 6371.0
_MOMENT: Final = 1.0  # s; two logins at the same second are no division by zero


class _Seen:
    """The last login of a user. `last` is epoch ns."""

    __slots__ = ("address", "last", "latitude", "longitude", "shown", "ts", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1
        self.address = self.shown = ""
        self.ts = self.latitude = self.longitude = 0.0


class ImpossibleTravel(Rule):
    """Detector of the rule impossible-travel."""

    rule = "impossible-travel"
    section = "impossible_travel"
    about = About(
        "Impossible travel",
        "unprivileged-account-compromise",
        "One user got in from two places farther apart than the time between allows at the speed "
        "of an airliner. Somebody else has the password, or one of the two was a VPN.",
        "Ask the person which login was theirs. Lock the account if one was not.",
        "`speed` in km/h, `distance` in km below which the databases' errors are larger, `window` "
        "between the two. It needs a city database ([geo] city).",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        self._house = house or House()
        self._one = settings.impossible_travel
        self._users = Sources(_Seen, settings.sources, settings.sources)
        self._nowhere = 0

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take logins that succeeded; a finding for each that nobody could have travelled to."""
        found = []
        for event in events:
            login = verdict(event)
            if login is not None and login.result == "success" and login.user:
                finding = self._take(login)
                if finding is not None:
                    found.append(finding)
        self._users.sweep(round((now - self._one.window) * 1e9))
        return found

    def counters(self) -> dict[str, int]:
        """Return users held, logins without a place, users that had to make room."""
        return {
            "users": len(self._users), "logins_without_place": self._nowhere,
            "users_shed": self._users.shed,
        }  # fmt: skip

    def _take(self, login: Auth) -> Finding | None:
        place = self._house.place(login.orig)
        if place is None or place.latitude is None or place.longitude is None:
            self._nowhere += 1
            return None
        one = self._users.active(login.user[:64], round(login.ts * 1e9))
        here = place.city or place.country
        before = (one.address, one.ts, one.shown)
        far = kilometres(one.latitude, one.longitude, place.latitude, place.longitude)
        one.address, one.ts, one.shown = login.orig, login.ts, here
        one.latitude, one.longitude = place.latitude, place.longitude
        apart = abs(login.ts - before[1])
        if not before[0] or apart > self._one.window or far < self._one.distance:
            return None
        speed = far / (max(apart, _MOMENT) / 3600)
        if speed < self._one.speed:
            return None
        return self.finding(
            login.user,
            f"{login.user} logged in from {before[2]} and {here}, {far:,.0f} km, "
            f"{apart / 60:,.0f} minutes apart",
            seen=(min(before[1], login.ts), max(before[1], login.ts)), count=2, severity="high",
            value=round(speed), threshold=self._one.speed, score=0.8,
            targets=(before[0], login.orig),
            evidence={
                "kilometres": round(far), "seconds": apart, "speed": round(speed),
                "from": before[2], "to": here, "service": login.service,
            },
        )  # fmt: skip


def kilometres(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Return the great-circle distance (haversine)."""
    a, b = math.radians(latitude), math.radians(to_latitude)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(to_longitude - longitude) / 2) ** 2
    return 2 * _EARTH * math.asin(math.sqrt(min(1.0, half)))
