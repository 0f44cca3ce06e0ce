"""The BPO site: who is where, and the namespaces, cables, switches and routes that make it so.

    internet hosts ── [internet: switch and router] ── wan0 [gateway] agents0 ── agents' desks
                                                                      servers0 ── servers

Outside addresses are from the documentation prefixes (RFC 5737, RFC 3849). Nothing is translated:
the provider routes the site's networks, so that both sides see each other's true addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.lab.netns import Namespace, veth

if TYPE_CHECKING:
    from contextlib import ExitStack

__all__ = ["HOSTS", "MANAGEMENT", "SEGMENTS", "ZONES", "Host", "Segment", "Site", "build", "named"]


class Segment(NamedTuple):
    """One LAN: its router's addresses (address/length) and the networks that hosts live in."""

    name: str
    routers: tuple[str, ...]


class Host(NamedTuple):
    """One machine: its LAN, its addresses (IPv6 where it has one) and what it is."""

    name: str
    segment: str
    ipv4: str
    role: str
    ipv6: str = ""


SEGMENTS: Final = (
    Segment("internet", ("203.0.113.1/24", "192.0.2.1/24", "2001:db8:1::1/64")),
    Segment("agents", ("10.20.0.1/24", "2001:db8:20::1/64")),
    Segment("servers", ("10.30.0.1/24", "2001:db8:30::1/64")),
)

HOSTS: Final = (
    Host("web", "internet", "203.0.113.10", "mail, CRM and a partner's API", "2001:db8:1::10"),
    Host("resolver", "internet", "192.0.2.53", "the provider's name server"),
    Host("carrier", "internet", "203.0.113.60", "the telephone carrier (SIP)"),
    Host("customer1", "internet", "203.0.113.21", "a customer", "2001:db8:1::21"),
    Host("customer2", "internet", "203.0.113.22", "a customer"),
    Host("scanner", "internet", "203.0.113.66", "scans ports"),
    Host("scanner2", "internet", "203.0.113.67", "scans ports while the centre is away"),
    Host("guesser", "internet", "203.0.113.99", "guesses SSH passwords"),
    Host("mailguesser", "internet", "203.0.113.98", "guesses passwords of mailboxes"),
    Host("denied", "internet", "192.0.2.13", "a contact on the deny list"),
    Host("centre", "internet", "192.0.2.80", "the collector of many sites"),
    Host("alerts", "internet", "203.0.113.70", "takes pages as web hooks"),
    Host("admin", "agents", "10.20.0.5", "the network admin's desk", "2001:db8:20::5"),
    Host("desk1", "agents", "10.20.0.11", "agent maria", "2001:db8:20::11"),
    Host("desk2", "agents", "10.20.0.12", "agent jose", "2001:db8:20::12"),
    Host("desk3", "agents", "10.20.0.13", "agent grace"),
    Host("portal", "servers", "10.30.0.10", "the customers' portal", "2001:db8:30::10"),
    Host("ssh", "servers", "10.30.0.22", "the SSH server"),
    Host("mail", "servers", "10.30.0.25", "the site's mail server"),
    Host("api", "servers", "10.30.0.30", "the site's own API"),
    Host("pbx", "servers", "10.30.0.60", "the telephone exchange (SIP)"),
)

MANAGEMENT: Final = ("10.20.0.5/32", "2001:db8:20::5/128")

ZONES: Final = {
    "agents": ("10.20.0.0/24", "2001:db8:20::/64"),
    "servers": ("10.30.0.0/24", "2001:db8:30::/64"),
}

_WAN: Final = (("198.51.100.1/30", "2001:db8:ff::1/64"), ("198.51.100.2/30", "2001:db8:ff::2/64"))
_INSIDE: Final = ("10.20.0.0/24", "10.30.0.0/24", "2001:db8:20::/64", "2001:db8:30::/64")


def named(name: str) -> Host:
    """Return the host of that name."""
    return next(host for host in HOSTS if host.name == name)


class Site(NamedTuple):
    """The built site: a namespace for the router, the gateway and each host."""

    internet: Namespace
    gateway: Namespace
    hosts: dict[str, Namespace]


def build(stack: ExitStack) -> Site:
    """Build the whole site; the namespaces end with the stack. OSError without the privilege."""

    def make(name: str) -> Namespace:
        namespace = stack.enter_context(Namespace(name))
        for scope in ("default", "all"):
            namespace.sysctl(f"net.ipv6.conf.{scope}.accept_dad", "0")
            namespace.sysctl(f"net.ipv6.conf.{scope}.accept_ra", "0")
        return namespace

    internet, gateway = make("internet"), make("gateway")
    switches = {"internet": internet, "agents": make("agents"), "servers": make("servers")}
    hosts = {host.name: make(host.name) for host in HOSTS}
    veth(internet, "site0", gateway, "wan0")
    for segment in ("agents", "servers"):
        veth(gateway, f"{segment}0", switches[segment], "uplink0")
    for host in HOSTS:
        veth(hosts[host.name], "eth0", switches[host.segment], host.name)
    for name, switch in switches.items():
        ports = [host.name for host in HOSTS if host.segment == name]
        switch.bridge("br0", *ports, *([] if name == "internet" else ["uplink0"]))
    _route(internet, gateway)
    for host in HOSTS:
        _plug(hosts[host.name], host)
    return Site(internet, gateway, hosts)


def _route(internet: Namespace, gateway: Namespace) -> None:
    for router in (internet, gateway):
        router.forwarding()
    internet.address("br0", *SEGMENTS[0].routers)
    internet.address("site0", *_WAN[0])
    gateway.address("wan0", *_WAN[1])
    for segment in SEGMENTS[1:]:
        gateway.address(f"{segment.name}0", *segment.routers)
    for network in _INSIDE:
        internet.route(network, "2001:db8:ff::2" if ":" in network else "198.51.100.2")
    gateway.route("default", "198.51.100.1")
    gateway.route("::/0", "2001:db8:ff::1")


def _plug(namespace: Namespace, host: Host) -> None:
    segment = next(one for one in SEGMENTS if one.name == host.segment)
    mine = [f"{host.ipv4}/24"] + ([f"{host.ipv6}/64"] if host.ipv6 else [])
    namespace.address("eth0", *mine)
    for router in (router.partition("/")[0] for router in segment.routers):
        if ":" in router:
            if host.ipv6:
                namespace.route("::/0", router)
        elif router.rpartition(".")[0] == host.ipv4.rpartition(".")[0]:
            namespace.route("default", router)
