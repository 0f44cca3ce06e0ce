"""Zones where none is configured: guessed from the kernel's own addresses and routes.

`zones_of` is the pure part; `Surroundings` asks the kernel over RTNETLINK and hears of changes.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ipwatchd.records.address import IPNetwork

__all__ = ["NAMES", "Address", "Around", "Route", "Surroundings", "zones_of"]

NAMES: Final = ("agents", "servers", "vpn", "uplink", "gateway", "inside")
"""Zones that are guessed, always all of them: what is recorded by their place stays true."""
_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
_PRIVATE_NETWORKS: Final = tuple(ipaddress.ip_network(one) for one in _PRIVATE)
_TUNNELS: Final = ("tun", "tap", "wg", "ppp", "ipsec", "xfrm")
_CONTAINERS: Final = ("docker", "br-", "virbr", "veth", "cni", "podman", "lxc")
_MOST: Final = 4096
"""Networks that are taken: a routing table can be of any length."""
# linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_RTPROT_BOOT, _RTPROT_STATIC = 3, 4
_ABROAD: Final = ("192.0.2.1", "2001:db8::1")


class Address(NamedTuple):
    """An address of ours on an interface."""

    link: str
    address: str
    length: int


class Route(NamedTuple):
    """A network behind a gateway that somebody entered."""

    link: str
    network: str


class Around(NamedTuple):
    """What the kernel knows; `uplinks` are the interfaces that the world is reached through."""

    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    uplinks: frozenset[str] = frozenset()


def zones_of(around: Around) -> dict[str, dict[str, str]]:
    """Return zone → network → why, every zone of NAMES, each network in one of them.

    Private networks on the inside are the agents'; on the way out they are `uplink`, unless there
    are no others (a sensor with one interface); our own addresses are `gateway`.
    """
    found: dict[str, tuple[str, str]] = {}
    for one in around.addresses:
        address = ipaddress.ip_address(one.address)
        if one.link == "lo" or address.is_loopback or address.is_link_local:
            continue
        found[f"{address}/{address.max_prefixlen}"] = ("gateway", f"address of {one.link}")
        network = ipaddress.ip_network(f"{one.address}/{one.length}", strict=False)
        zone = _zone(one.link, network, around.uplinks)
        if zone and one.length < address.max_prefixlen:
            found.setdefault(str(network), (zone, f"network of {one.link}"))
    for route in around.routes:
        network = ipaddress.ip_network(route.network, strict=False)
        zone = _zone(route.link, network, around.uplinks)
        if zone and _is_private(network):
            found.setdefault(str(network), (zone, f"route by {route.link}"))
    if "agents" not in {zone for zone, _ in found.values()}:
        found = {
            text: ("agents" if zone == "uplink" else zone, why)
            for text, (zone, why) in found.items()
        }
    for private in _PRIVATE:
        found.setdefault(private, ("inside", "private (RFC 1918, RFC 4193)"))
    zones: dict[str, dict[str, str]] = {name: {} for name in NAMES}
    for text, (zone, why) in list(found.items())[:_MOST]:
        zones[zone][text] = why
    return zones


def _zone(link: str, network: IPNetwork, uplinks: frozenset[str]) -> str:
    if link.startswith(_TUNNELS):
        return "vpn" if network.prefixlen else ""
    if link.startswith(_CONTAINERS):
        return "servers"
    if not _is_private(network):
        return "" if link in uplinks else "servers"
    return "uplink" if link in uplinks else "agents"


def _is_private(network: IPNetwork) -> bool:
    """Tell whether a network is private: `is_private` says it of other special ones too."""
    return any(
        network.version == private.version and network.subnet_of(private)  # type: ignore[arg-type]
        for private in _PRIVATE_NETWORKS
    )


class Surroundings:
    """Asks the kernel, and tells when to ask again. Raises OSError where it can't be asked."""

    def __init__(self) -> None:
        self._heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._heard.setblocking(False)
        self._heard.bind((0, _GROUPS))

    def changed(self) -> bool:
        """Tell whether addresses, links or routes changed since the last call."""
        heard = False
        while True:
            try:
                heard = bool(self._heard.recv(1 << 16)) or heard
            except BlockingIOError:
                return heard
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more changed than fits: that is a change too
                    raise
                heard = True

    def read(self) -> Around:
        """Return what the kernel knows now. Takes milliseconds: not on an event loop."""
        from pyroute2 import IPRoute, NetlinkError

        # Strict checking has the kernel filter: a full routing table is not copied.
        with IPRoute(strict_check=True) as ip:
            links = {link["index"]: link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
            addresses = tuple(_addresses(ip.get_addr(), links))
            routes = tuple(
                route
                for protocol in (_RTPROT_BOOT, _RTPROT_STATIC)
                for route in _routes(ip.get_routes(proto=protocol), links)
            )
            uplinks = set()
            for abroad in _ABROAD:
                try:
                    uplinks |= {links.get(one.get_attr("RTA_OIF"), "")
                                for one in ip.route("get", dst=abroad)}  # fmt: skip
                except NetlinkError:  # no way there
                    continue
        return Around(addresses, routes, frozenset(uplinks - {"", "lo"}))

    def close(self) -> None:
        """Let go."""
        self._heard.close()


def _addresses(messages: Iterable[Any], links: Mapping[int, str]) -> Iterable[Address]:
    for message in messages:
        # On a point-to-point link IFA_ADDRESS is the other end's.
        address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        link = links.get(message["index"], "")
        if address and link:
            yield Address(link, address, message["prefixlen"])


def _routes(messages: Iterable[Any], links: Mapping[int, str]) -> Iterable[Route]:
    for message in messages:
        target, link = message.get_attr("RTA_DST"), links.get(message.get_attr("RTA_OIF"), "")
        if target and link:
            yield Route(link, f"{target}/{message['dst_len']}")
