"""Who was at an address, from when to when: agents bound to addresses by what is seen. Pure.

A login, a ticket, an accounting record or a registration is evidence that an agent is at an
address; who hands an address on (a DHCP lease, a network card, RADIUS, a VPN) ends what was known
of it, so that nobody inherits another's history.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ipwatchd.enrich.evidence import SOURCES, agent_name, is_person
from ipwatchd.enrich.tunnels import Tunnels
from ipwatchd.records.agent import Agent, Binding
from ipwatchd.records.event import Arp, Auth, Bound, Dhcp, Kerberos, Ndp, Radius, Sip, Vpn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ipwatchd.records.event import AnyEvent

__all__ = ["SOURCES", "Presence", "agent_name"]

ADDRESSES: Final = 65_536
"""Addresses whose agents are known: logins from ever new addresses push out the oldest. As many
network cards of addresses without an agent."""
_MOST: Final = 16
"""Bindings of one address: beyond, a terminal server's agents are nobody in particular."""


_NOBODY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what a probe for an address claims


class _Card(NamedTuple):
    """The network card of an address where nobody is known: since when, last seen (epoch s)."""

    mac: str
    since: float
    seen: float


class _Place(msgspec.Struct):
    """One address: whose card it is, since when, and who is there."""

    mac: str = ""
    mac_seen: float = 0.0
    latest: float = 0.0
    bindings: list[Binding] = []
    gone: list[str] = []
    """agents who were here before the address was handed on, the last ones"""


class Presence:
    """Takes events in the order of arrival.

    Evidence older than the last change of an address is not taken: it can't be told whose time it
    was.
    """

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._cards: dict[str, _Card] = {}
        self._soonest = -math.inf
        """No binding ends by itself before."""
        self._tunnels = Tunnels()
        self.shed = 0
        self.adopt(agents)

    def adopt(self, agents: Mapping[str, Agent]) -> None:
        """Take another roster: names, extensions and devices."""
        self._extensions = {one.extension: one.name for one in agents.values() if one.extension}
        self._names = {one.name.lower(): one.name for one in agents.values()}
        owners: dict[str, set[str]] = {}
        for one in agents.values():
            for device in one.devices:
                owners.setdefault(device.lower(), set()).add(one.name)
        # At a device that several may use it says nothing of who sits there.
        self._devices = {device: names.pop() for device, names in owners.items() if len(names) == 1}

    def take(self, events: Iterable[AnyEvent]) -> list[Bound]:
        """Return what began and what ended with these events."""
        changes: list[Bound] = []
        for event in events:
            match event:
                case Auth(result="success") if event.user:
                    changes += self._login(event)
                case Kerberos(message="AS-REP") if is_person(event.user):
                    changes += self._seen(event.orig, event.user, "kerberos", event.ts)
                case Sip(method="REGISTER", status=200) if event.user:
                    changes += self._phone(event.orig, event.user, event.ts)
                case Radius() if event.address and event.accounting:
                    changes += self._accounting(event)
                case Vpn():
                    changes += self._vpn(event)
                case Dhcp():
                    changes += self._lease(event)
                case Arp() | Ndp() if event.address and event.mac:
                    changes += self._card(event.address, event.mac, event.ts)
                case _:
                    pass
        return changes

    def expire(self, now: float) -> list[Bound]:
        """Return what ended because nothing was seen of it for too long."""
        if now < self._soonest:
            return []
        ended = [
            _bound("end", binding, binding.until)
            for place in self._places.values()
            for binding in _let_go(place, [one for one in place.bindings if one.until <= now])
        ]
        left = (one.until for place in self._places.values() for one in place.bindings)
        self._soonest = min(left, default=math.inf)
        return ended

    def at(self, address: str, now: float) -> tuple[Binding, ...]:
        """Return who is at an address now, the surest first."""
        place = self._places.get(address)
        there = [one for one in place.bindings if one.since <= now < one.until] if place else []
        return tuple(sorted(there, key=lambda one: (-one.confidence, -one.since)))

    def handed_on(self, address: str, agent: str) -> bool:
        """Tell whether an address was an agent's and is somebody else's, or nobody's, now."""
        place, name = self._places.get(address), agent_name(agent)
        if place is None or any(one.agent.lower() == name for one in place.bindings):
            return False
        return name in place.gone

    def now(self, now: float) -> tuple[Binding, ...]:
        """Return everybody who is anywhere now."""
        return tuple(one for address in self._places for one in self.at(address, now))

    def restore(self, told: Iterable[Bound]) -> None:
        """Take what began and ended before a restart, oldest first."""
        self._soonest = -math.inf
        for event in told:
            place = self._place(event.orig)
            place.mac, place.latest = event.mac or place.mac, max(place.latest, event.ts)
            over = [
                one
                for one in place.bindings
                if (one.agent, one.source) == (event.user, event.method)
            ]
            _let_go(place, over)
            if event.message == "begin":
                _came_back(place, event.user)
            elif any(event.until < one.until for one in over):  # it did not end by itself
                _left(place, over)
            if event.message == "begin" and len(place.bindings) < _MOST:
                place.bindings.append(
                    Binding(
                        address=event.orig, agent=event.user, since=event.since, until=event.until,
                        source=event.method, confidence=event.confidence, mac=event.mac,
                    )
                )  # fmt: skip

    def forget(self, without: Callable[[Any], Any]) -> None:
        """Forget somebody: `without` takes out of a list the lists that name them."""
        self._tunnels.forget(without)
        for address, place in list(self._places.items()):
            place.bindings = [
                one for one in place.bindings if without([[address, one.agent, one.mac]])
            ]
            place.gone = [one for one in place.gone if without([[address, one]])]
            if not without([[address, place.mac]]):
                del self._places[address]
        for address, card in list(self._cards.items()):
            if not without([[address, card.mac]]):
                del self._cards[address]

    def _place(self, address: str) -> _Place:
        place = self._places.get(address)
        if place is None:
            card = self._cards.pop(address, _Card("", 0.0, 0.0))
            place = _Place(mac=card.mac, mac_seen=card.seen, latest=card.since)
            self._places[address] = place
            if len(self._places) > ADDRESSES:
                self._places.popitem(last=False)
                self.shed += 1
        self._places.move_to_end(address)
        return place

    def _seen(self, address: str, user: str, source: str, ts: float) -> list[Bound]:
        """Take evidence that a user is at an address."""
        if not address:
            return []
        name = agent_name(user)
        agent, kind = self._names.get(name, name), SOURCES[source]
        place = self._place(address)
        same = next(
            (one for one in place.bindings if (one.agent, one.source) == (agent, source)), None
        )
        if same is not None and same.since <= ts < same.until:
            place.bindings[place.bindings.index(same)] = msgspec.structs.replace(
                same, until=max(same.until, ts + kind.seconds)
            )
            return []
        if ts < place.latest:
            return []
        return self._begin(place, agent, source, address, ts)

    def _begin(
        self, place: _Place, agent: str, source: str, address: str, ts: float
    ) -> list[Bound]:
        kind = SOURCES[source]
        over = [
            one for one in place.bindings
            if one.until <= ts or (one.agent, one.source) == (agent, source)
            or (one.agent != agent and (kind.alone or one.confidence == kind.confidence))
        ]  # fmt: skip
        changes = _end(place, over, ts)
        if len(place.bindings) >= _MOST:
            self.shed += 1
            return changes
        place.latest = max(place.latest, ts)
        binding = Binding(
            address=address, agent=agent, since=ts, until=ts + kind.seconds, source=source,
            confidence=kind.confidence, mac=place.mac,
        )  # fmt: skip
        place.bindings.append(binding)
        _came_back(place, agent)
        self._soonest = min(self._soonest, binding.until)
        return [*changes, _bound("begin", binding, ts)]

    def _login(self, event: Auth) -> list[Bound]:
        """Take a login of a log: what proves it says how much it proves."""
        # Of a domain controller too: Windows' 4768 and Samba's KDC say it as the method.
        if "kerberos" in (event.service, event.method.partition(" ")[0]):
            person = is_person(event.user)
            return self._seen(event.orig, event.user, "kerberos", event.ts) if person else []
        if event.service == "sip" and event.method != "manager":
            return self._phone(event.orig, event.user, event.ts)
        return self._seen(event.orig, event.user, "login", event.ts)

    def _phone(self, address: str, user: str, ts: float) -> list[Bound]:
        extension = agent_name(user)
        agent = self._extensions.get(extension)
        # The answer goes to the phone: its address is the responder's where the server spoke.
        return self._seen(address, agent or f"ext {extension}", "sip", ts)

    def _accounting(self, event: Radius) -> list[Bound]:
        if event.accounting.lower() == "stop":
            return self._ended(event.address, event.ts, {"radius"}, event.user)
        if not event.user:
            return []
        return self._seen(event.address, event.user, "radius", event.ts)

    def _vpn(self, event: Vpn) -> list[Bound]:
        """Take what a VPN server, or RADIUS in a log, says of an inner address."""
        source = "radius" if event.service == "radius" else "vpn"
        if event.message == "assigned" and event.address and event.user:
            self._tunnels.opened(event)
            return self._seen(event.address, event.user, source, event.ts)
        if event.message != "released":
            return []
        had = self._tunnels.closed(event)
        if event.address:
            had = [event.address]
        agent = self._names.get(agent_name(event.user), agent_name(event.user))
        # Of a connection from before a restart it is not known what it had: all that is theirs.
        addresses = had or [
            address for address, place in self._places.items()
            if any(one.agent == agent and one.source == source for one in place.bindings)
        ]  # fmt: skip
        return [
            change for address in addresses
            for change in self._ended(address, event.ts, {source}, event.user)
        ]  # fmt: skip

    def _lease(self, event: Dhcp) -> list[Bound]:
        message = event.message.upper()
        if not event.address:
            return []
        if message == "RELEASE":
            place = self._places.get(event.address)
            # Only whose lease it is can give it back: anybody may send the message.
            if place is None or place.mac not in {"", event.mac.lower()}:
                return []
            return self._ended(event.address, event.ts, set(SOURCES))
        if message != "ACK":
            return []
        changes = self._card(event.address, event.mac, event.ts)
        owner = self._devices.get(event.mac.lower()) or self._devices.get(event.hostname.lower())
        card = self._places.get(event.address) or self._cards.get(event.address)
        if owner is None or card is None or card.mac != event.mac.lower():
            return changes
        return [*changes, *self._seen(event.address, owner, "device", event.ts)]

    def _card(self, address: str, mac: str, ts: float) -> list[Bound]:
        """Take whose network card an address is: another one ends what was known of it."""
        if address in _NOBODY:
            return []
        place, mac = self._places.get(address), mac.lower()
        if place is None:
            self._note_card(address, mac, ts)
            return []
        if ts < place.mac_seen or (place.mac != mac and ts < place.latest):
            return []
        changes: list[Bound] = []
        if place.mac and place.mac != mac:
            changes = _end(place, list(place.bindings), ts)
            place.latest = ts
        place.mac, place.mac_seen = mac, ts
        return changes

    def _note_card(self, address: str, mac: str, ts: float) -> None:
        """Remember the card of an address apart: who claims all addresses pushes out no agent."""
        before = self._cards.pop(address, None)
        if before is not None and ts < before.seen:
            self._cards[address] = before
            return
        # Of the first card it is not known since when.
        since = 0.0 if before is None else before.since if before.mac == mac else ts
        self._cards[address] = _Card(mac, since, ts)
        if len(self._cards) > ADDRESSES:
            del self._cards[next(iter(self._cards))]

    def _ended(self, address: str, ts: float, sources: set[str], user: str = "") -> list[Bound]:
        """Let go what sources said of an address; of one user where that is told."""
        place = self._places.get(address)
        if place is None or ts < place.latest:
            return []
        name = agent_name(user)
        over = [
            one for one in place.bindings
            if one.source in sources and (not name or one.agent.lower() == name)
        ]  # fmt: skip
        if over or not name:
            place.latest = ts
        return _end(place, over, ts)


def _let_go(place: _Place, over: list[Binding]) -> list[Binding]:
    place.bindings = [one for one in place.bindings if one not in over]
    return over


def _left(place: _Place, over: Iterable[Binding]) -> None:
    """Note who was at an address before it was handed on."""
    place.gone = [*place.gone, *(one.agent.lower() for one in over)][-_MOST:]


def _came_back(place: _Place, agent: str) -> None:
    """Note that an address is an agent's again: what ends by itself later was not handed on."""
    place.gone = [one for one in place.gone if one != agent.lower()]


def _end(place: _Place, over: list[Binding], ts: float) -> list[Bound]:
    """Let bindings end now, or when they had ended by themselves."""
    _left(place, over)
    ended = [
        msgspec.structs.replace(one, until=max(min(one.until, ts), one.since))
        for one in _let_go(place, over)
    ]
    return [_bound("end", one, ts) for one in ended]


def _bound(message: str, binding: Binding, ts: float) -> Bound:
    return Bound(
        ts=ts, orig=binding.address, message=message, user=binding.agent, method=binding.source,
        confidence=binding.confidence, since=binding.since, until=binding.until, mac=binding.mac,
    )  # fmt: skip
