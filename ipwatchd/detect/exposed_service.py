"""A service of ours that answers the internet and did not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.contact import TCP, UDP
from ipwatchd.detect.sources import Sources
from ipwatchd.records.address import address_text
from ipwatchd.records.flow import SERVICE_PORTS, SERVICES, Direction, protocol_name

if TYPE_CHECKING:
    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.finding import Finding

__all__ = ["ExposedService"]

_EPHEMERAL: Final = 32768
_DELICATE: Final = frozenset({
    "rdp", "smb", "telnet", "vnc", "ldap", "postgresql", "mysql", "snmp", "netbios", "tftp",
})  # fmt: skip
"""What nobody should offer to the internet (Shadowserver's accessible-service reports)."""
_UDP_PORTS: Final = np.array([port for proto, port in SERVICE_PORTS if proto == UDP])


class _Service:
    """One service of ours. Times are epoch ns."""

    __slots__ = ("clients", "last", "started", "told", "weight")

    def __init__(self, time: int) -> None:
        self.started = self.last = time
        self.weight = 1
        self.told = False
        self.clients: set[tuple[int, int]] = set()


class ExposedService(Rule):
    """Detector of the rule exposed-service."""

    rule = "exposed-service"
    section = "exposed_service"
    about = About(
        "Service newly exposed",
        "potentially-unwanted-accessible",
        "A port of ours talked with an address of the internet for the first time since the house "
        "is known: somebody opened a firewall rule, started a server, or a machine is not ours "
        "alone any more.",
        "Ask who started it and for whom. If it is wanted: nothing, it is known from now on. "
        "If not: close it, and look who used it meanwhile (ipwatchctl flows).",
        "`learn` seconds from the first record during which all is taken for wanted; `clients` "
        "that must have talked; after `forget` seconds without a client a service is new again.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        one = settings.exposed_service
        self._learn = round(one.learn * 1e9)
        self._forget = round(one.forget * 1e9)
        self._clients = one.clients
        self._began = 0
        self._services = Sources(_Service, settings.sources, settings.sources * 8)
        self._last = 0

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; a finding for each service that is new."""
        flows = batch.flows
        proto, port = flows["proto"], flows["resp_port"]
        rows = np.flatnonzero(
            (flows["direction"] == Direction.INCOMING) & (port > 0) & (flows["partial"] == 0)
            & np.where(proto == TCP, port < _EPHEMERAL, (proto == UDP) & np.isin(port, _UDP_PORTS))
        )  # fmt: skip
        if not len(rows):
            return []
        rows = rows[batch.successes[rows]]
        if not len(rows):
            return []
        some = flows.take(rows)
        self._began = self._began or int(some["start"].min())
        self._last = max(self._last, int(some["end"].max()))
        found = []
        columns = [
            some[name].tolist()
            for name in ("resp_hi", "resp_lo", "proto", "resp_port", "orig_hi", "orig_lo", "end")
        ]
        for row, (hi, lo, number, at, far_hi, far_lo, end) in enumerate(zip(*columns, strict=True)):
            one = self._services.active((hi, lo, number, at), end)
            if one.told:
                continue
            one.clients.add((far_hi, far_lo))
            if end - self._began < self._learn:
                one.told = True
                one.clients.clear()
            elif len(one.clients) >= self._clients:
                one.told = True
                found.append(self._found(one, some[row]))
                one.clients.clear()
        self._services.sweep(round(now * 1e9) - self._forget)
        return found

    def counters(self) -> dict[str, int]:
        """Return services known, seconds left of learning, and those that had to make room."""
        left = max(0, self._learn - (self._last - self._began)) if self._began else self._learn
        return {
            "services": len(self._services), "learning_seconds": left // 1_000_000_000,
            "services_shed": self._services.shed,
        }  # fmt: skip

    def remember(self) -> Any:
        """Return when learning began and what is known."""
        known = [
            [f"{key[0]:x}", f"{key[1]:x}", key[2], key[3], one.last]
            for key, one in self._services.items() if one.told and isinstance(key, tuple)
        ]  # fmt: skip
        return {"began": self._began, "services": known}

    def recall(self, learned: Any) -> None:
        """Take back what was learned."""
        self._began = int(learned["began"])
        for hi, lo, proto, port, last in learned["services"]:
            key = (int(hi, 16), int(lo, 16), int(proto), int(port))
            self._services.active(key, int(last)).told = True

    def _found(self, one: _Service, flow: np.void) -> Finding:
        ours = address_text(int(flow["resp_hi"]), int(flow["resp_lo"]))
        far = address_text(int(flow["orig_hi"]), int(flow["orig_lo"]))
        proto, port = int(flow["proto"]), int(flow["resp_port"])
        name = SERVICES[int(flow["service"])] or SERVICE_PORTS.get((proto, port), "")
        at = f"{port}/{protocol_name(proto)}"
        return self.finding(
            ours, f"{ours} now answers the internet on {at}{f' ({name})' if name else ''}",
            detail=at, seen=(int(flow["start"]) / 1e9, one.last / 1e9), count=1,
            severity="high" if name in _DELICATE else "low", value=len(one.clients),
            threshold=self._clients, score=0.7, targets=(far,),
            evidence={
                "service": name, "port": at, "first_client": far,
                "known_since": self._began / 1e9, "services_known": len(self._services),
                "direction": "incoming",
            },
        )  # fmt: skip
