"""Datagrams and frames that are a message each: which reader is whose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.capture.dissect import arp, dhcp, dns, http, ndp, sip, tls, vpn
from ipwatchd.capture.tap import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.records.event import AnyEvent

__all__ = ["RICH", "read"]

RICH: Final = {Kind.KERBEROS: "kerberos", Kind.RADIUS: "radius", Kind.LLDP: "lldp"}
"""Kinds whose datagrams go to the rich child, and what it calls them."""

MAX_HEAD: Final = 2048
"""Octets that are read of a head in a datagram: SSDP, and HTTP over SCTP."""

_READERS: Final[dict[int, Callable[[bytes], AnyEvent | None]]] = {
    Kind.ARP: arp.parse, Kind.DHCP: dhcp.parse, Kind.SIP: sip.parse, Kind.TLS: tls.datagram,
    Kind.IKE: vpn.ike, Kind.OPENVPN: vpn.openvpn, Kind.WIREGUARD: vpn.wireguard,
}  # fmt: skip


def read(kind: int, payload: bytes, sender: str) -> Sequence[AnyEvent] | None:
    """Return the events of a datagram, empty where malformed, None where the kind is not read."""
    if kind == Kind.DNS:
        return dns.parse(payload)
    if kind == Kind.HTTP:
        head = http.request(payload[:MAX_HEAD]) or http.response(payload[:MAX_HEAD])
        return (head[0],) if head else ()
    if kind == Kind.NDP:
        found: AnyEvent | None = ndp.parse(payload, sender)
    elif kind in _READERS:
        found = _READERS[kind](payload)
    else:
        return None
    return (found,) if found is not None else ()
