"""The table of the house: what is entered by family by path by mode, by real packets and by `nft`.

A cell is what becomes of a packet between a host and a service while the entry is about that host:
`drop` or `pass`. It holds for both families; in observe all passes and what would be dropped is
counted; off has no table at all.
"""

from __future__ import annotations

import itertools
import select
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from ipwatchd.config import FirewallSettings
from ipwatchd.firewall import Firewall
from ipwatchd.lab.netns import Namespace, veth
from ipwatchd.records.policy import Policy, ServicePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


PATHS: Final = ("input", "forward", "established", "dnat", "bridge", "output", "snat")
TABLE: Final = """
what is entered          set            input forward established dnat bridge output snat
nothing                  -              pass  pass    pass        pass pass   pass   pass
deny-address             deny{}         drop  drop    drop        drop drop   drop   drop
deny-network             deny{}_nets    drop  drop    drop        drop drop   drop   drop
deny-range               deny{}_nets    drop  drop    drop        drop drop   drop   drop
bulk-deny-of-many        bulk{}_{}      drop  drop    drop        drop drop   drop   drop
bulk-deny-of-few         bulk{}_nets    drop  drop    drop        drop drop   drop   drop
deny-and-allow           allow{}        pass  pass    pass        pass pass   pass   pass
bulk-deny-and-bulk-allow bulk_allow{}   pass  pass    pass        pass pass   pass   pass
deny-and-management      management{}   pass  pass    pass        pass pass   pass   pass
service-deny             on-web-deny{}  drop  drop    drop        drop drop   pass   pass
service-deny-and-allow   on-web-allow{} pass  pass    pass        pass pass   pass   pass
service-deny,site-allow  on-web-deny{}  drop  drop    drop        drop drop   pass   pass
only-allowed             -              drop  drop    drop        drop drop   pass   pass
only-allowed,allowed     on-web-allow{} pass  pass    pass        pass pass   pass   pass
only-allowed,site-allow  allow{}        pass  pass    pass        pass pass   pass   pass
only-allowed,site-deny   deny{}         drop  drop    drop        drop drop   drop   drop
"""
ROWS: Final = [line.split() for line in TABLE.strip().splitlines()[1:]]
SERVICE, TRANSLATED, OPEN = 8080, 9090, 7070
HOST: Final = {4: "203.0.113.128", 6: "2001:db8:113::8000"}
LEFT: Final = {4: "192.168.7.128", 6: "2001:db8:7::8000"}
RIGHT: Final = {4: "192.168.7.3", 6: "2001:db8:7::3"}
BYSTANDER: Final = {4: "192.168.7.4", 6: "2001:db8:7::4"}
NAT: Final = f"""
add table inet nat
add chain inet nat in {{ type nat hook prerouting priority dstnat; }}
add rule inet nat in ip daddr 203.0.113.1 udp dport {TRANSLATED} dnat ip to 10.0.0.2:{SERVICE}
add rule inet nat in ip6 daddr 2001:db8:113::1 udp dport {TRANSLATED} dnat ip6 to [2001:db8:10::2]:{SERVICE}
add chain inet nat out {{ type nat hook postrouting priority srcnat; }}
add rule inet nat out oifname wan iifname lan masquerade
"""  # noqa: E501 (nft's language)
_PROBES = itertools.count(1)


class Way(NamedTuple):
    """A path: who sends from where to whom, and whom of them entries are about."""

    sender: Namespace
    source: str
    receiver: Namespace
    destination: str
    port: int = SERVICE


class Ground:
    """The site, and beside it a switch between two hosts; receivers on every host."""

    GATEWAY: Final = {4: "203.0.113.1", 6: "2001:db8:113::1"}
    INSIDE: Final = {4: "10.0.0.2", 6: "2001:db8:10::2"}

    def __init__(self, site: Any, left: Namespace, switch: Namespace, right: Namespace) -> None:
        self.site, self.switch = site, switch
        self._sockets: dict[tuple[int, int], socket.socket] = {}
        self.left, self.right = left, right
        for where in (site.gateway, site.inside, site.outside, right):
            for port in (SERVICE, OPEN):
                self._sockets[where.fd, port] = self._bound(where, port)

    @staticmethod
    def _bound(where: Namespace, port: int) -> socket.socket:
        sock = where.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", port))
        return sock

    def close(self) -> None:
        """Close the receivers."""
        for sock in self._sockets.values():
            sock.close()

    def ways(self, family: int) -> dict[str, Way]:
        """Return the paths by name."""
        site, other = self.site, HOST[family]
        outer, inside = site.GATEWAY[family], site.INSIDE[family]
        return {
            "input": Way(site.outside, other, site.gateway, outer),
            "forward": Way(site.outside, other, site.inside, inside),
            "established": Way(site.outside, other, site.inside, inside),
            "dnat": Way(site.outside, other, site.inside, outer, TRANSLATED),
            "bridge": Way(self.left, LEFT[family], self.right, RIGHT[family]),
            "output": Way(site.gateway, outer, site.outside, other),
            "snat": Way(site.inside, inside, site.outside, other),
        }

    def sender(self, way: Way) -> socket.socket:
        """Return a socket that sends on a way."""
        kind = socket.AF_INET6 if ":" in way.source else socket.AF_INET
        sock = way.sender.socket(kind, socket.SOCK_DGRAM)
        sock.bind((way.source, 0))
        return sock

    def establish(self, way: Way) -> socket.socket:
        """Exchange a datagram each way: connection tracking takes it for established."""
        sock = self.sender(way)
        receiver = self._sockets[way.receiver.fd, SERVICE]
        sock.sendto(b"hello", (way.destination, way.port))
        assert select.select([receiver], [], [], 2)[0]
        receiver.sendto(b"hello back", receiver.recvfrom(100)[1])
        assert select.select([sock], [], [], 2)[0]
        return sock

    def passed(self, ways: dict[str, Way], senders: dict[str, socket.socket]) -> dict[str, str]:
        """Send a datagram on each way and one that passes in any case; return what came."""
        marks: dict[bytes, str] = {}
        for name, way in ways.items():
            mark = b"%d" % next(_PROBES)
            marks[mark] = name
            try:
                senders[name].sendto(mark, (way.destination, way.port))
            except PermissionError:
                continue  # what a drop in the output hook looks like to the sender
        for way in ways.values():
            self._fence(way)
        came = set()
        for sock in self._sockets.values():
            while select.select([sock], [], [], 0)[0]:
                came.add(marks.get(sock.recv(100)))
        return {name: "pass" if name in came else "drop" for name in ways}

    def _fence(self, way: Way) -> None:
        """Wait for a datagram on a port of no service, of a host that nothing is entered about."""
        site, family = self.site, 6 if ":" in way.source else 4
        neutral = {site.outside.fd: site.OTHER[family], self.left.fd: BYSTANDER[family]}
        source = neutral.get(way.sender.fd, way.source)
        destination = neutral.get(way.receiver.fd, way.destination)
        receiver = self._sockets[way.receiver.fd, OPEN]
        if way.port == TRANSLATED:
            destination = site.INSIDE[family]
        with self.sender(way._replace(source=source)) as sock:
            sock.sendto(b"fence", (destination, OPEN))
        assert select.select([receiver], [], [], 2)[0], way


@pytest.fixture(scope="module")
def ground(built_site: Any, namespaces: Callable[[str], Namespace]) -> Iterator[Ground]:
    """Build the switch and the receivers once."""
    left, switch, right = (namespaces(name) for name in ("left", "switch", "right"))
    for one in (left, switch, right):
        one.sysctl("net.ipv6.conf.default.accept_dad", "0")
    veth(left, "eth0", switch, "one")
    veth(right, "eth0", switch, "two")
    switch.bridge("br0", "one", "two")
    for name in ("ip", "ip6"):
        switch.sysctl(f"net.bridge.bridge-nf-call-{name}tables", "1")
    for where, addresses in ((left, (LEFT, BYSTANDER)), (right, (RIGHT,))):
        for one in addresses:
            where.address("eth0", f"{one[4]}/24", f"{one[6]}/64")
    made = Ground(built_site, left, switch, right)
    built_site.outside.address("eth0", f"{HOST[4]}/24", f"{HOST[6]}/64")
    until = time.monotonic() + 10
    while not built_site.echo(left, LEFT[6], RIGHT[6]):
        assert time.monotonic() < until, "the switch's links did not come up"
    yield made
    made.close()


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Callable[[str], Namespace]]:
    """Make namespaces that end with the module."""
    made: list[Namespace] = []

    def make(name: str) -> Namespace:
        made.append(Namespace(name))
        return made[-1]

    yield make
    for one in made:
        one.close()


def entered(what: str, family: int, mode: str, ranges: Callable[..., Any]) -> Policy:
    """Return the policy of a row."""
    hosts = [HOST[family], LEFT[family]]
    networks, spans, filler = (
        (["203.0.113.128/28", "192.168.7.128/28"],
         ["203.0.113.120-203.0.113.130", "192.168.7.120-192.168.7.129"],
         [f"100.64.{one >> 7}.{2 * (one & 127)}" for one in range(600)])
        if family == 4
        else (["2001:db8:113::8000/116", "2001:db8:7::8000/116"],
              ["2001:db8:113::7000-2001:db8:113::8001", "2001:db8:7::7000-2001:db8:7::8001"],
              [f"2001:db8:ffff::{2 * one:x}" for one in range(600)])
    )  # fmt: skip
    lists: dict[str, dict[str, list[str]]] = {
        "deny-address": {"deny": hosts}, "deny-network": {"deny": networks},
        "deny-range": {"deny": spans}, "bulk-deny-of-many": {"bulk_deny": [*hosts, *filler]},
        "bulk-deny-of-few": {"bulk_deny": hosts},
        "deny-and-allow": {"deny": networks, "allow": hosts},
        "bulk-deny-and-bulk-allow": {"bulk_deny": [*hosts, *filler], "bulk_allow": networks},
        "deny-and-management": {"deny": networks, "management": hosts},
        "service-deny,site-allow": {"allow": hosts}, "only-allowed,site-allow": {"allow": hosts},
        "only-allowed,site-deny": {"deny": hosts},
    }  # fmt: skip
    denied = {"service-deny", "service-deny-and-allow", "service-deny,site-allow"}
    allowed = {"service-deny-and-allow", "only-allowed,allowed", "only-allowed,site-deny"}
    here = {name: ranges(*texts) for name, texts in lists.get(what, {}).items()}
    whole = {name: here.get(name, ranges()) for name in ("management", "allow", "deny")}
    built = Policy(mode, **(whole | here))
    if not what.startswith(("service", "only")):
        return built
    to = ranges(Ground.GATEWAY[family], Ground.INSIDE[family], RIGHT[family])
    ports = ((SERVICE, SERVICE), (TRANSLATED, TRANSLATED))
    service = ServicePolicy(
        "web", socket.IPPROTO_UDP, ports, what.startswith("only"), to,
        ranges(*(hosts if what in allowed else [])), ranges(*(hosts if what in denied else [])),
    )  # fmt: skip
    return built._replace(services=(service,))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_cell(
    ground: Ground, ranges: Callable[..., Any], row: list[str], family: int
) -> None:
    """Every path and mode of a row, by datagrams that come or don't, by counters and by `nft`."""
    what, name, *cells = row
    expected = dict(zip(PATHS, cells, strict=True))
    site, ways, now = ground.site, ground.ways(family), time.time()
    site.nft("flush", "ruleset")
    site.gateway.run(["nft", "-f", "-"], input=NAT)
    settings = FirewallSettings(kill_connections=False)
    with ExitStack() as opened:
        senders = {
            path: opened.enter_context(
                ground.establish(way) if path == "established" else ground.sender(way)
            )
            for path, way in ways.items()
        }
        with site.gateway.inside():
            router = opened.enter_context(Firewall(settings))
        with ground.switch.inside():
            switch = opened.enter_context(Firewall(settings))
        for mode in ("off", "observe", "enforce"):
            for one in (router, switch):
                one.apply(entered(what, family, mode, ranges), now)
            found = ground.passed(ways, senders)
            assert found == (expected if mode == "enforce" else dict.fromkeys(PATHS, "pass")), mode
            _listed(site, name.format(family, 32 if family == 4 else 128), family, mode)
            denies = "drop" in cells and mode != "off"
            assert (router.status().packets > 0) == denies
            assert (switch.status().packets > 0) == (denies and expected["bridge"] == "drop")
        switch.remove()
        router.remove()


def _listed(site: Any, name: str, family: int, mode: str) -> None:
    """Hold `nft list ruleset` against the row: the set named holds the entry, and it is asked."""
    ruleset = site.nft("list", "ruleset")
    assert ("table inet ipwatchd" in ruleset) == (mode != "off")
    if mode == "off":
        return
    assert "priority mangle; policy accept;" in ruleset
    gate = site.nft("list", "set", "inet", "ipwatchd", "enforcing")
    assert ("elements" in gate) == (mode == "enforce")
    if name != "-":
        shown = site.nft("list", "set", "inet", "ipwatchd", name)
        assert ("203.0.113.1" if family == 4 else "2001:db8:113::") in shown
        assert f"@{name} " in ruleset
