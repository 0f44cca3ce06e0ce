"""What the kernel knows of the site: zones where none is configured, and who the gateways are.

`zones_of` and `gateways_of` are the pure part; `Surroundings` asks the kernel over RTNETLINK and
hears of changes.
"""

from __future__ import annotations

import errno
import ipaddress
import itertools
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ipwatchd.records.address import IPNetwork

__all__ = ["NAMES", "Address", "Around", "Route", "Surroundings", "gateways_of", "zones_of"]

NAMES: Final = ("agents", "servers", "vpn", "uplink", "gateway", "inside")
"""Zones that are guessed, always all of them: what is recorded by their place stays true."""
_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
_PRIVATE_NETWORKS: Final = tuple(ipaddress.ip_network(one) for one in _PRIVATE)
_TUNNELS: Final = ("tun", "tap", "wg", "ppp", "ipsec", "xfrm")
_CONTAINERS: Final = ("docker", "br-", "virbr", "veth", "cni", "podman", "lxc")
_MESSAGES: Final = 256
"""Read at one time: a daemon of routing that changes routes without end holds nobody up."""
_NO_MAC: Final = "00:00:00:00:00:00"
_MOST: Final = 4096
"""Networks that are taken: a routing table can be of any length."""
# linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_RTPROT_BOOT, _RTPROT_STATIC, _RTPROT_RA, _RTPROT_DHCP = 3, 4, 9, 16
_PROTOCOLS: Final = (_RTPROT_BOOT, _RTPROT_STATIC, _RTPROT_RA, _RTPROT_DHCP)
"""Who enters default routes; what BGP and its like enter can be a million, and is not asked for."""
_ABROAD: Final = ("192.0.2.1", "2001:db8::1")


class Address(NamedTuple):
    """An address of ours on an interface, and that interface's hardware address."""

    link: str
    address: str
    length: int
    mac: str = ""


class Route(NamedTuple):
    """A network behind a gateway that somebody entered."""

    link: str
    network: str


class NextHop(NamedTuple):
    """Who a default route leads to."""

    link: str
    address: str


class Around(NamedTuple):
    """What the kernel knows; `uplinks` are the interfaces that the world is reached through.

    `macs` are the hardware addresses of all our interfaces.
    """

    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    uplinks: frozenset[str] = frozenset()
    gateways: tuple[NextHop, ...] = ()
    macs: frozenset[str] = frozenset()


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


def gateways_of(around: Around) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return address → (MACs that answer for it, none where not known; why it is a gateway).

    Those that default routes lead to, and our own addresses, which others have as theirs: for them
    each of our interfaces may answer (arp_ignore 0, bonds), the own one first. A link-local
    address means another machine on each wire: it counts where there is but one.
    """
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    for hop in around.gateways:
        links = {one.link for one in around.gateways if one.address == hop.address}
        if len(links) == 1 or not ipaddress.ip_address(hop.address).is_link_local:
            found[hop.address] = ((), f"default route by {hop.link}")
    for one in around.addresses:
        if ipaddress.ip_address(one.address).is_link_local:
            found.pop(one.address, None)
        elif one.mac and one.mac != _NO_MAC:
            others = sorted(around.macs - {one.mac})
            found[one.address] = ((one.mac, *others), f"our own address on {one.link}")
    return dict([*found.items()][:_MOST])


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
        for _ in range(_MESSAGES):
            try:
                heard = bool(self._heard.recv(1 << 16)) or heard
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more changed than fits: that is a change too
                    raise
                heard = True
        return heard

    def read(self) -> Around:
        """Return what the kernel knows now. Raises OSError. Takes milliseconds: on a thread."""
        from pyroute2 import NetlinkError

        try:
            return self._read()
        except NetlinkError as error:
            raise OSError(error.code, f"the kernel tells no networks: {error}") from error

    def _read(self) -> Around:
        from pyroute2 import IPRoute, NetlinkError

        # Strict checking has the kernel filter: a full routing table is not copied.
        with IPRoute(strict_check=True) as ip:
            found = [*ip.get_links()]
            links = {link["index"]: link.get_attr("IFLA_IFNAME") for link in found}
            macs = {link["index"]: link.get_attr("IFLA_ADDRESS") for link in found}
            addresses = tuple(_addresses(ip.get_addr(), links, macs))
            by = {protocol: [*ip.get_routes(proto=protocol)] for protocol in _PROTOCOLS}
            entered = [*by[_RTPROT_BOOT], *by[_RTPROT_STATIC]]
            routes = tuple(_routes(entered, links))
            hops = dict.fromkeys(_hops(itertools.chain(*by.values()), links))
            uplinks = set()
            for abroad in _ABROAD:
                try:
                    ways = [*ip.route("get", dst=abroad)]
                except NetlinkError:  # no way there
                    continue
                uplinks |= {links.get(one.get_attr("RTA_OIF"), "") for one in ways}
                # The way in use, whichever daemon of routing entered it.
                hops |= dict.fromkeys(_hops(ways, links, chosen=True))
        return Around(
            addresses, routes, frozenset(uplinks - {"", "lo"}), tuple(hops)[:_MOST],
            frozenset(mac for mac in macs.values() if mac and mac != _NO_MAC),
        )  # fmt: skip

    def close(self) -> None:
        """Let go."""
        self._heard.close()


def _addresses(
    messages: Iterable[Any], links: Mapping[int, str], macs: Mapping[int, str]
) -> Iterable[Address]:
    for message in messages:
        # On a point-to-point link IFA_ADDRESS is the other end's.
        address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        link = links.get(message["index"], "")
        if address and link:
            yield Address(link, address, message["prefixlen"], macs.get(message["index"]) or "")


def _routes(messages: Iterable[Any], links: Mapping[int, str]) -> Iterable[Route]:
    for message in messages:
        target, link = message.get_attr("RTA_DST"), links.get(message.get_attr("RTA_OIF"), "")
        if target and link:
            yield Route(link, f"{target}/{message['dst_len']}")


def _hops(
    messages: Iterable[Any], links: Mapping[int, str], *, chosen: bool = False
) -> Iterable[NextHop]:
    """Yield whom default routes lead to; of the `chosen` way to an address, whoever that is."""
    for message in messages:
        if message["dst_len"] and not chosen:
            continue
        # Several ways at once (ECMP) stand in a list of their own.
        for way in (message, *(message.get_attr("RTA_MULTIPATH") or ())):
            via = way.get_attr("RTA_VIA") or {}
            address = way.get_attr("RTA_GATEWAY") or via.get("addr")
            index = way.get_attr("RTA_OIF") or dict(way).get("oif")
            link = links.get(index or 0, "")
            if address and link:
                yield NextHop(link, str(address))
