"""DHCP servers and routers nobody appointed, and a client that drains or floods the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.detect.tally import Tallies
from ipwatchd.records.event import Dhcp, Ndp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["RogueDhcp"]

_ANSWERS: Final = frozenset({"OFFER", "ACK", "NAK"})
_VALUES: Final = 512
_FORGET: Final = 30 * 86_400_000_000_000
_FORGED: Final = 8  # unknown ones of a kind; more are one sender that forges them (flood_router6)
_SERVERS: Final = 1024  # a forger may use a new server address in each offer


class _Server:
    """One server or router. Times are epoch ns."""

    __slots__ = ("growth", "last", "seen", "started", "trusted", "weight")

    def __init__(self, time: int) -> None:
        self.started = self.last = time
        self.weight = 1
        self.seen = 0
        self.trusted = False
        self.growth = Growth()


class _Machine:
    """A machine that was given a lease, or asks for one. `last` is epoch ns."""

    __slots__ = ("last", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 1


class RogueDhcp(Rule):
    """Detector of the rule rogue-dhcp."""

    rule = "rogue-dhcp"
    section = "rogue_dhcp"
    about = About(
        "Rogue DHCP server or router, DHCP flood",
        "masquerade",
        "A DHCP server or an IPv6 router answered that is not in `servers` (empty: that was not "
        "the first one here), or clients asked for leases at a rate that drains a server.",
        "Find the switch port; a visitor's wireless router is the usual cause. Turn on DHCP "
        "snooping and RA guard at the switches. If the server is right, enter it.",
        "`servers` are addresses of the right ones, routers' link-local addresses too; "
        "`requests` of one segment within `window`.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.rogue_dhcp
        self._one = one
        self._window = round(one.window * 1e9)
        self._servers = Sources(_Server, _SERVERS, _SERVERS)
        # A drainer that takes what it is offered fills this with forged ones: the oldest go.
        self._leased = Sources(_Machine, settings.sources, settings.sources)
        self._asking = Sources(_Machine, settings.sources, settings.sources)
        self._floods: dict[str, Growth] = {}
        self._first = {"DHCP server": "", "router": ""}
        self._clients = Tallies(
            settings.sources, _VALUES, self._window, round(settings.quiet * 1e9)
        )

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take DHCP and router advertisements; a finding for each server that is not ours."""
        found = []
        for event in events:
            finding = None
            if isinstance(event, Dhcp):
                server = event.server or event.resp
                if event.message == "ACK" and event.mac:
                    self._leased.active(event.mac, round(event.ts * 1e9))
                if event.message in _ANSWERS and server:
                    finding = self._answer("DHCP server", server, event.ts)
                elif event.message in {"DISCOVER", "REQUEST", "INFORM"}:
                    finding = self._request(event)
            elif isinstance(event, Ndp) and event.operation == "router-advertisement":
                finding = self._answer("router", event.address or event.orig, event.ts)
            if finding is not None:
                found.append(finding)
        self._servers.sweep(round(now * 1e9) - _FORGET)
        self._clients.end(now)
        self._leased.sweep(round(now * 1e9) - _FORGET)
        self._asking.sweep(round(now * 1e9) - self._window)
        return found

    def counters(self) -> dict[str, int]:
        """Return servers and clients held, and those that had to make room."""
        return {
            "servers": len(self._servers), "clients": len(self._clients),
            "servers_shed": self._servers.shed, "clients_shed": self._clients.shed,
        }  # fmt: skip

    def remember(self) -> Any:
        """Return the first ones seen."""
        return dict(self._first)

    def recall(self, learned: Any) -> None:
        """Take back the first ones seen."""
        self._first = {kind: str(learned[kind]) for kind in self._first}

    def _answer(self, kind: str, server: str, ts: float) -> Finding | None:
        appointed = self._one.servers
        first = self._first[kind] = self._first[kind] or server
        known = server in appointed if appointed else server == first
        if known or not server:
            return None
        one = self._servers.active((kind, server), round(ts * 1e9))
        one.seen += 1
        known_of_kind = sum(isinstance(key, tuple) and key[0] == kind for key in self._servers)
        if known_of_kind > _FORGED:
            return self._forged(kind, known_of_kind, ts)
        if not one.growth.due(one.seen, one.last):
            return None
        right = ", ".join(appointed) if appointed else first
        return self.finding(
            server, f"{kind} {server} answers beside {right}", detail=kind,
            seen=(one.started / 1e9, ts), count=one.seen,
            severity="high" if appointed else "medium", value=one.seen, threshold=1,
            score=0.9 if appointed else 0.6,
            evidence={
                "kind": kind, "answers": one.seen, "right": right,
                "appointed": bool(appointed), "direction": "internal",
                "note": "" if appointed else "the first one seen is taken for the right one",
            },
        )  # fmt: skip

    def _forged(self, kind: str, several: int, ts: float) -> Finding | None:
        """Tell of many at once, which nobody has: one finding for the segment, and not one each."""
        growth = self._floods.setdefault(kind, Growth())
        if not growth.due(several, round(ts * 1e9)):
            return None
        return self.finding(
            kind, f"{several} {kind}s nobody appointed answer: somebody forges them",
            detail="forged", seen=(ts, ts), count=several, severity="high", value=several,
            threshold=_FORGED, score=0.9, classification="dos",
            evidence={"kind": kind, "distinct": several, "at_least": several >= _SERVERS - 1,
                      "right": self._first[kind], "direction": "internal"},
        )  # fmt: skip

    def _request(self, event: Dhcp) -> Finding | None:
        time = round(event.ts * 1e9)
        if event.message == "DISCOVER":
            self._asking.active(event.mac, time)
        elif event.message == "REQUEST" and self._asking.get(event.mac) is not None:
            return None  # it takes what it was offered: the same asking
        # A shift that sits down has leases of before: each of these machines counts by itself.
        segment = event.mac if self._leased.get(event.mac) is not None else "segment"
        # Drainers forge a MAC for each request, floods do not: the segment's requests count.
        tally = self._clients.note(segment, f"{event.mac}|{event.orig}|{_moment(time)}", time)
        asks = len(tally.values)
        if asks < self._one.requests or not tally.growth.due(tally.count, time):
            return None
        macs: dict[str, int] = {}
        for value in tally.values:
            mac = value.partition("|")[0]
            macs[mac] = macs.get(mac, 0) + 1
        top = max(macs, key=lambda mac: macs[mac])
        single = 2 * macs[top] > asks
        who = top if single else f"{len(macs)} hardware addresses"
        return self.finding(
            top if single else "dhcp",
            f"{who} asked DHCP {asks} times within {self._one.window:g} s",
            detail="flood", seen=(tally.started / 1e9, event.ts), count=tally.count,
            severity="medium", value=asks, threshold=self._one.requests, classification="dos",
            evidence={
                "requests_in_window": asks, "macs": len(macs), "window": self._one.window,
                "at_least": asks >= _VALUES, "direction": "internal",
            },
        )  # fmt: skip


def _moment(time: int) -> int:
    """Return the time in ms: a client that asks again is another request."""
    return time // 1_000_000
