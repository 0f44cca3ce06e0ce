"""Agents of the roster: outside their shift, from where they may not, in two places at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.detect.verdicts import verdict
from ipwatchd.records.agent import is_among
from ipwatchd.records.shift import within_shift

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.records.agent import Agent
    from ipwatchd.records.event import AnyEvent, Auth
    from ipwatchd.records.finding import Finding
    from ipwatchd.records.place import Place

__all__ = ["AgentPlace"]

_PASSAGES: Final = ("vpn", "server", "link")
"""Zones one goes through: who comes over the VPN, or from one server to the next, is elsewhere."""
_QUIET: Final = 8 * 3_600_000_000_000  # ns: a shift


class _Seen:
    """Where an agent was last seen. `last` is epoch ns."""

    __slots__ = ("address", "growth", "last", "spot", "told", "ts", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1
        self.address = self.spot = ""
        self.ts = 0.0
        self.told: dict[str, Growth] = {}
        self.growth = Growth()


class AgentPlace(Rule):
    """Detector of the rule agent-out-of-place."""

    rule = "agent-out-of-place"
    section = "agent_place"
    about = About(
        "Agent out of shift or place",
        "unauthorised-use-of-resources",
        "An agent of the roster got in outside their shift, from an address, zone or country that "
        "the roster does not allow them, with another device, or from two places at once.",
        "Ask the team leader: overtime and a changed desk are entered into the roster. What "
        "nobody knows of is somebody else with the agent's password.",
        "`grace` seconds before and after a shift; `overlap` seconds within which two places are "
        "one time. Agents without shift, places or devices in the roster are not held to them.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        self._house = house or House()
        self._one = settings.agent_place
        self._agents = {name.lower(): agent for name, agent in self._house.agents.items()}
        self._seen = Sources(_Seen, settings.sources, settings.sources)
        self._strangers = 0

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take logins that succeeded; findings for each way in which one is out of place."""
        found: list[Finding] = []
        if not self._agents:
            return found
        for event in events:
            login = verdict(event)
            if login is None or login.result != "success" or not login.user:
                continue
            # maria, maria@ACME.EXAMPLE and ACME\\maria are one person.
            name = login.user.rpartition("\\")[2].partition("@")[0].lower()
            agent = self._agents.get(name)
            if agent is None:
                self._strangers += 1
                continue
            found += self._take(agent, login)
        self._seen.sweep(round(now * 1e9) - _QUIET)
        return found

    def counters(self) -> dict[str, int]:
        """Return agents seen, and logins of users who are not in the roster."""
        return {"agents": len(self._seen), "logins_of_no_agent": self._strangers,
                "agents_shed": self._seen.shed}  # fmt: skip

    def _take(self, agent: Agent, login: Auth) -> Iterator[Finding]:
        place = self._house.place(login.orig)
        seen = self._seen.active(agent.name, round(login.ts * 1e9))
        if agent.shift and not within_shift(
            agent.shift, agent.time_zone, login.ts, self._one.grace
        ):
            yield from self._told(agent, login, seen, "shift", f"outside the shift ({agent.shift})")
        if agent.places and not is_among(agent.places, login.orig, place):
            where = (place.country or place.zone) if place else ""
            yield from self._told(
                agent, login, seen, "place", f"from {login.orig} ({where}), not a place of theirs"
            )
        devices = {device.lower() for device in agent.devices}
        if devices and login.host and login.host.lower() not in devices:
            yield from self._told(
                agent, login, seen, "device", f"on {login.host}, not a device of theirs"
            )
        spot = _spot(place)
        if not spot:
            return
        before, seen_spot, ts = seen.address, seen.spot, seen.ts
        seen.address, seen.spot, seen.ts = login.orig, spot, login.ts
        if seen_spot and seen_spot != spot and abs(login.ts - ts) <= self._one.overlap:
            yield from self._told(
                agent, login, seen, "two places", f"from {seen_spot} and {spot} at once", before
            )

    def _told(
        self, agent: Agent, login: Auth, seen: _Seen, kind: str, what: str, other: str = ""
    ) -> Iterator[Finding]:
        growth = seen.told.setdefault(kind, Growth())
        if not growth.due(growth.count + 1, round(login.ts * 1e9)):
            return
        yield self.finding(
            agent.name, f"{agent.name} logged in {what}", detail=kind, seen=(login.ts, login.ts),
            count=1, severity="high" if kind == "two places" else "medium", value=1, threshold=1,
            score=0.7, targets=tuple(one for one in (login.orig, other) if one),
            evidence={
                "kind": kind, "team": agent.team, "client": agent.client, "shift": agent.shift,
                "time_zone": agent.time_zone, "allowed_places": list(agent.places),
                "service": login.service, "address": login.orig,
            },
        )  # fmt: skip


def _spot(place: Place | None) -> str:
    """Return where somebody sits: a country out there, a zone in here; "" for what one passes."""
    if place is None:
        return ""
    if place.zone == "internet":
        return place.country
    return "" if place.zone.startswith(_PASSAGES) else place.zone
