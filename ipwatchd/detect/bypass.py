"""By-passing the house's resolvers and proxies: encrypted DNS, VPN, Tor, to services outside."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.batch import address_hash
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.records.address import address_array, address_text
from ipwatchd.records.event import Http, Ike, OpenVpn, Quic, Ssh, Tls, WireGuard
from ipwatchd.records.flow import SERVICES, Direction, protocol_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding

__all__ = ["Bypass"]

_KINDS: Final = {
    443: "encrypted DNS", 853: "encrypted DNS", 1080: "SOCKS proxy", 1194: "OpenVPN", 1723: "PPTP",
    3128: "proxy", 9001: "Tor", 9030: "Tor", 51820: "WireGuard",
}  # fmt: skip
_SERVICES: Final = {
    SERVICES.index(name): kind
    for name, kind in (
        ("dot", "encrypted DNS"), ("doh", "encrypted DNS"), ("openvpn", "OpenVPN"),
        ("wireguard", "WireGuard"),
    )
}  # fmt: skip
_HTTPS: Final = 443
_WEB: Final = frozenset({53, 80, 443, 8080, 8443})  # ports that firewalls let out
_INDEXES: Final = np.array(list(_SERVICES))


class _Use:
    """One way round the house that one address takes. Times are epoch ns."""

    __slots__ = ("growth", "last", "seen", "started", "weight")

    def __init__(self, time: int) -> None:
        self.started = self.last = time
        self.weight = 1
        self.seen = 0
        self.growth = Growth()


class Bypass(Rule):
    """Detector of the rule policy-bypass."""

    rule = "policy-bypass"
    section = "bypass"
    about = About(
        "Encrypted DNS, VPN, Tor or proxy",
        "unauthorised-use-of-resources",
        "A machine of ours was answered by an outside service that hides what it does: DNS over "
        "TLS, HTTPS or QUIC, a VPN, Tor, a proxy, SSH on a port of the web. Names and lists of the "
        "house no longer hold for it.",
        "Ask whether it is a browser's default (set the policy there), a person's own VPN, or "
        "neither. Put what is right into `allowed`.",
        "`names` (and all below them), `ports`; `allowed` are networks of ours or of services "
        "that may.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        self._house = house or House()
        one = settings.bypass
        self._names = frozenset(name.lower().strip(".") for name in one.names)
        self._ports = np.array(one.ports or (0,), np.uint16)
        resolvers = np.sort(address_hash(*_halves(one.resolvers)))
        self._resolvers = resolvers
        self._allowed = [ipaddress.ip_network(network) for network in one.allowed]
        self._quiet = round(settings.quiet * 1e9)
        self._uses = Sources(_Use, settings.sources, settings.sources)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows to ports and services of by-passes, where somebody answered."""
        flows = batch.flows
        rows = np.flatnonzero(
            (flows["direction"] == Direction.OUTGOING) & (flows["resp_packets"] > 1)
            & (
                np.isin(flows["resp_port"], self._ports) | np.isin(flows["service"], _INDEXES)
                | (flows["resp_port"] == _HTTPS)
            )
        )  # fmt: skip
        web = flows["resp_port"][rows] == _HTTPS
        if web.any():
            to, service = batch.resp[rows], flows["service"][rows]
            rows = rows[~web | np.isin(to, self._resolvers) | np.isin(service, _INDEXES)]
        found = []
        for row in flows.take(rows):
            port = int(row["resp_port"])
            kind = _SERVICES.get(int(row["service"])) or _KINDS.get(port, f"port {port}")
            finding = self._use(
                address_text(int(row["orig_hi"]), int(row["orig_lo"])),
                address_text(int(row["resp_hi"]), int(row["resp_lo"])), kind,
                f"{port}/{protocol_name(int(row['proto']))}", int(row["end"]),
            )  # fmt: skip
            if finding is not None:
                found.append(finding)
        self._uses.sweep(round(now * 1e9) - self._quiet)
        return found

    def events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        """Take names asked for in TLS, QUIC and HTTP, and VPNs' handshakes."""
        found = []
        for event in events:
            kind = self._kind(event)
            if not kind or self._house.inside(event.resp) or not self._house.inside(event.orig):
                continue
            name = str(getattr(event, "name", "") or f"port {event.resp_port}")
            finding = self._use(event.orig, event.resp, kind, name, round(event.ts * 1e9))
            if finding is not None:
                found.append(finding)
        self._uses.sweep(round(now * 1e9) - self._quiet)
        return found

    def counters(self) -> dict[str, int]:
        """Return uses held, and those that had to make room."""
        return {"uses": len(self._uses), "uses_shed": self._uses.shed}

    def _kind(self, event: AnyEvent) -> str:
        # RFC 9110, 9.3.6: only a proxy is asked to connect.
        if isinstance(event, Http) and event.method == "CONNECT":
            return "proxy"
        if isinstance(event, (Tls, Quic, Http)) and event.name:
            name = event.name.lower().rstrip(".")
            while name:
                if name in self._names:
                    return "a service that hides names or addresses"
                name = name.partition(".")[2]
        return _handshake(event)

    def _use(self, ours: str, far: str, kind: str, what: str, time: int) -> Finding | None:
        if any(_within(address, self._allowed) for address in (ours, far)):
            return None
        use = self._uses.active((ours, kind), time)
        use.seen += 1
        if not use.growth.due(use.seen, time):
            return None
        return self.finding(
            ours, f"{ours} uses {kind} ({what} at {far})", detail=kind,
            seen=(use.started / 1e9, use.last / 1e9), count=use.seen, severity="low",
            value=use.seen, threshold=1, score=0.6, targets=(far,),
            evidence={"kind": kind, "what": what, "server": far, "direction": "outgoing"},
        )  # fmt: skip


def _handshake(event: AnyEvent) -> str:
    """Return what was agreed on without a name, "" where nothing was."""
    if isinstance(event, OpenVpn):
        return "OpenVPN" if event.message.startswith("server") else ""
    if isinstance(event, WireGuard):
        return "WireGuard" if event.message.startswith("response") else ""
    if isinstance(event, Ssh):
        return "SSH on a port of the web" if event.version and event.resp_port in _WEB else ""
    return "IPsec" if isinstance(event, Ike) and event.response else ""


def _halves(addresses: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    found = address_array(addresses)
    return found["hi"], found["lo"]


def _within(
    address: str, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    return bool(networks) and any(ipaddress.ip_address(address) in one for one in networks)
