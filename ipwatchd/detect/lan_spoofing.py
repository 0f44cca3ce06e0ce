"""ARP and NDP spoofing: one address claimed by two machines, or answers that nobody asked for.

Ramachandran, Nandi: Detecting ARP Spoofing: An Active Technique (2005); arpwatch(8)'s flip-flop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.detect.tally import Tallies
from ipwatchd.records.event import Arp, Dhcp, Ndp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["LanSpoofing"]

_ASKED: Final = 10_000_000_000  # ns that a question may be answered after
_OWNERS: Final = 8  # MACs remembered of one address
_TOO_SOON: Final = 950_000_000
"""ns after its question in which a machine does not yet announce a free address as its own: RFC
4862 (5.4) waits a second for an answer, RFC 5227 (1.1) longer."""
_TAKEN: Final = 64  # addresses refused that are counted; who refuses all is told of long before
_NO_ADDRESS: Final = "0.0.0.0"  # noqa: S104  RFC 5227's probe asks in no one's name
_ROUTERS: Final = 16
"""Routers that DHCP named, the first ones: a forger who names others gains nothing."""
_SHARED: Final = (
    "00:00:5e:00:01:", "00:00:5e:00:02:", "00:00:0c:07:ac:", "00:00:0c:9f:f", "00:07:b4:00:",
)  # fmt: skip
"""VRRP (RFC 9568, 7.3), HSRP, GLBP: a router's address moves between machines with its MAC."""
_NOBODY: Final = ("", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")


class _Address:
    """Who claimed an address. Times are epoch ns."""

    __slots__ = ("changes", "growth", "last", "macs", "owner", "since", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.since = time
        self.weight = 1
        self.owner = ""
        self.macs: dict[str, int] = {}
        self.changes: list[int] = []
        self.growth = Growth()


class _Machine:
    """Which addresses a MAC speaks for, and answers it gave that nobody asked for."""

    __slots__ = ("between", "growth", "last", "own", "unasked", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1
        self.own = ""
        self.unasked: dict[str, int] = {}
        self.between: tuple[str, str] | None = None
        self.growth = Growth()


class LanSpoofing(Rule):
    """Detector of the rule lan-spoofing."""

    rule = "lan-spoofing"
    section = "lan_spoofing"
    about = About(
        "ARP or NDP spoofing, duplicate address",
        "masquerade",
        "Two hardware addresses claim one IP address in turn, a gateway's hardware address "
        "changed, or a machine tells others unasked that somebody else's address is its own: "
        "traffic goes through it. Or somebody says of every new address that it is taken, so that "
        "nobody gets one (dos-new-ip6).",
        "Find the switch port of the MAC; compare with the real owner's. Two machines with one "
        "address set by hand look the same and are mended the same way: find the port.",
        "Gateways are told of at their first change; others after `claims` changes within "
        "`window`. Gateways are those of the kernel's default routes, this machine's own "
        "addresses, the routers that DHCP names, and `gateways`. VRRP, HSRP and GLBP addresses "
        "are left alone.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        self._house = house or House()
        self._routers: dict[str, int] = {}
        one = settings.lan_spoofing
        self._one = one
        self._window = round(one.window * 1e9)
        self._forget = round(one.forget * 1e9)
        self._addresses = Sources(_Address, settings.sources, settings.sources * 4)
        self._machines = Sources(_Machine, settings.sources, settings.sources * 4)
        self._taken, self._who = (Tallies(1, _TAKEN, self._window, self._window) for _ in "ab")
        self._asked: Sources[_Question] = Sources(_Question, settings.sources, settings.sources)

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take claims; a finding for each address that is fought for."""
        found = []
        for event in events:
            if isinstance(event, Dhcp) and event.routers:
                self._name_routers(event)
            elif isinstance(event, (Arp, Ndp)):
                finding = self._claim(event)
                if finding is not None:
                    found.append(finding)
        before = round(now * 1e9) - self._forget
        for table in (self._addresses, self._machines):
            table.sweep(before)
        self._asked.sweep(round(now * 1e9) - _ASKED)
        return found

    def counters(self) -> dict[str, int]:
        """Return addresses held, and those that had to make room."""
        return {
            "addresses": len(self._addresses),
            "addresses_shed": self._addresses.shed + self._machines.shed,
        }

    def remember(self) -> Any:
        """Return who owns which address."""
        return [
            [key, one.owner, one.since, one.last, self._routers.get(key, 0)]
            for key, one in self._addresses.items() if isinstance(key, str)
        ]  # fmt: skip

    def recall(self, learned: Any) -> None:
        """Take back who owned what."""
        for address, owner, since, last, *named in learned:
            if named and named[0]:
                self._routers[str(address)] = int(named[0])
            one = self._addresses.active(str(address), int(last))
            one.owner, one.since, one.macs = str(owner), int(since), {str(owner): int(last)}

    def _name_routers(self, event: Dhcp) -> None:
        """Note who DHCP says is a router, until it was not said for `forget`."""
        time = round(event.ts * 1e9)
        for old in [one for one, last in self._routers.items() if last < time - self._forget]:
            del self._routers[old]
        for address in event.routers:
            if address in self._routers or len(self._routers) < _ROUTERS:
                self._routers[address] = time

    def _gateway(self, address: str) -> tuple[tuple[str, ...], str]:
        """Return the MACs that a gateway has for sure, and why it is one; "" of others."""
        known = self._house.gateways().get(address)
        if known:
            return known
        if address in self._one.gateways:
            return (), "[lan_spoofing] gateways"
        return (), "named as router by DHCP" if address in self._routers else ""

    def _claim(self, event: Arp | Ndp) -> Finding | None:
        time = round(event.ts * 1e9)
        asking = event.operation in {"request", "solicitation"}
        if asking:
            self._asked.active((event.address, event.target), time)
        if event.mac in _NOBODY or event.address in {"", _NO_ADDRESS}:
            return None
        if event.mac.startswith(_SHARED):
            return None
        return (
            self._refused_address(event, time)
            or self._fought(event, time)
            or self._unasked(event, time, asking=asking)
        )

    def _fought(self, event: Arp | Ndp, time: int) -> Finding | None:
        sure, known_as = self._gateway(event.address)
        if event.mac in sure:
            return None
        one = self._addresses.active(event.address, time)
        if sure:
            one.owner = sure[0]
            one.macs.setdefault(sure[0], time)
        before = one.owner
        one.macs[event.mac] = time
        while len(one.macs) > _OWNERS:
            del one.macs[next(iter(one.macs))]
        if before in {"", event.mac}:
            one.owner = event.mac
            return None
        one.owner, old = event.mac, one.since
        one.since = time
        one.changes = [change for change in one.changes if time - change <= self._window][-64:]
        one.changes.append(time)
        # One change is a new card or a new lease: the old owner falls silent.
        least = 1 if known_as else self._one.claims
        if len(one.changes) < least or (not known_as and self._is_told(one, event.address)):
            return None
        if not one.growth.due(len(one.changes), time):
            return None
        what = "gateway " if known_as else ""
        return self.finding(
            event.address,
            f"{what}{event.address} moved from {before} to {event.mac}"
            if len(one.changes) == 1 else
            f"{what}{event.address} is claimed by {' and '.join(one.macs)} in turn",
            seen=(one.changes[0] / 1e9, time / 1e9), count=len(one.changes), severity="high",
            value=len(one.changes), threshold=least, score=0.9, targets=tuple(one.macs),
            evidence={
                "macs": list(one.macs), "before": before, "now": event.mac,
                "gateway": bool(known_as),
                "held_since": old / 1e9, "changes_in_window": len(one.changes),
                "window": self._one.window, "direction": "internal",
                **({"gateway_by": known_as} if known_as else {}),
            },
        )  # fmt: skip

    def _is_told(self, one: _Address, address: str) -> bool:
        """Tell whether a machine among the owners was told to claim this address: it is that."""
        machines = [self._machines.get(mac) for mac in one.macs]
        return any(each and each.growth.count and address in each.unasked for each in machines)

    def _refused_address(self, event: Arp | Ndp, time: int) -> Finding | None:
        """Tell of somebody who says of each new address that it is taken (RFC 4862, 5.4; RFC 5227).

        One is a duplicate; of several machines each finds its address free.
        """
        if event.operation not in {"advertisement", "reply"}:
            return None
        probe = self._asked.get(("", event.address)) or self._asked.get(
            (_NO_ADDRESS, event.address)
        )
        if probe is None or not 0 <= time - probe.last <= _TOO_SOON:
            return None
        tally = self._taken.note("lan", event.address, time)
        self._who.note("lan", event.mac, time)
        if len(tally.values) < self._one.claims or not tally.growth.due(len(tally.values), time):
            return None
        macs = self._who.note("lan", event.mac, time).values
        subject = event.mac if len(macs) == 1 else "lan"
        return self.finding(
            subject, f"{len(tally.values)} addresses in a row were refused to new machines by "
            f"{event.mac if len(macs) == 1 else f'{len(macs)} hardware addresses'}",
            detail="taken", seen=(tally.started / 1e9, time / 1e9), count=tally.count,
            severity="high", value=len(tally.values), threshold=self._one.claims, score=0.8,
            classification="dos", targets=list(tally.values)[:_OWNERS],
            evidence={"addresses": list(tally.values)[:_OWNERS], "macs": list(macs)[:_OWNERS],
                      "window": self._one.window, "direction": "internal"},
        )  # fmt: skip

    def _unasked(self, event: Arp | Ndp, time: int, *, asking: bool) -> Finding | None:
        machine = self._machines.active(event.mac, time)
        if asking or event.address == event.target:
            # It asks in its own name, sooner or later; who announces itself does as well.
            machine.own = event.address
        elif isinstance(event, Arp) and event.operation == "reply":
            question = self._asked.get((event.target, event.address))
            if question is None or time - question.last > _ASKED:
                machine.unasked[event.address] = time
                if event.target in machine.unasked and event.target != event.address:
                    machine.between = (event.address, event.target)
                while len(machine.unasked) > _OWNERS:
                    del machine.unasked[next(iter(machine.unasked))]
        if machine.between and not machine.own:
            # It tells each of two machines that it is the other one: nobody does by mistake.
            machine.own = event.mac
        others = [address for address in machine.unasked if address != machine.own]
        if not machine.own or not others or not machine.growth.due(len(others), time):
            return None
        return self.finding(
            machine.own,
            f"{machine.own} ({event.mac}) says unasked that {', '.join(others)} is at its own MAC",
            detail=event.mac, seen=(min(machine.unasked.values()) / 1e9, time / 1e9),
            count=len(others), severity="high", value=len(others), threshold=1, score=0.8,
            targets=others,
            evidence={"mac": event.mac, "own": machine.own, "claimed": others,
                      "direction": "internal"},
        )  # fmt: skip


class _Question:
    """When somebody asked (epoch ns)."""

    __slots__ = ("last", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1
