"""Random lists, random packets: our own evaluator, the kernel and plain integers agree.

Lists of people and of feeds, ranges that fall into hash sets, a set a prefix length and interval
sets, and a service that denies or lets in the allowed alone.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipwatchd.lists.match import Matcher, View
from ipwatchd.records.address import address_array
from ipwatchd.records.policy import Policy, ServicePolicy, contains

if TYPE_CHECKING:
    from collections.abc import Callable

    Drawn = dict[str, list[tuple[int, int]]]

BASE = {4: int(ipaddress.ip_address("198.51.100.0")), 6: int(ipaddress.ip_address("2001:db8:66::"))}
TOP = {4: (1 << 32) - 1, 6: (1 << 128) - 1}
WINDOW = 24
"""Addresses are drawn from so many neighbours, so that edges meet."""

WITNESS = """
add table inet witness
add set inet witness seen4 { type ipv4_addr . ipv4_addr; size 65535; flags dynamic; }
add set inet witness seen6 { type ipv6_addr . ipv6_addr; size 65535; flags dynamic; }
add chain inet witness after { type filter hook prerouting priority -149; }
add rule inet witness after udp dport 4243 add @seen4 { ip saddr . ip daddr }
add rule inet witness after udp dport 4243 add @seen6 { ip6 saddr . ip6 daddr }
"""


def text(family: int, number: int) -> str:
    """Return an address as text."""
    make = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    return str(make(number))


FILLER = 640
"""Prefixes elsewhere, so many that this length gets a hash set of its own."""
LISTS = ("management", "allow", "deny", "bulk_allow", "bulk_deny", "service_allow", "service_deny")


class Service(NamedTuple):
    """A drawn service: whether only the allowed may use it, and where it is (none: anywhere)."""

    only_allowed: bool
    to: list[tuple[int, int]]


@st.composite
def ranges_near(draw: st.DrawFn, family: int) -> list[tuple[int, int]]:
    """Draw disjoint (first, last): neighbours, and now and then all the rest."""
    ends = sorted(draw(st.lists(st.integers(1, WINDOW), max_size=8, unique=True)))
    rows = [
        (BASE[family] + first, BASE[family] + (first if draw(st.booleans()) else last))
        for first, last in zip(ends[::2], ends[1::2], strict=False)
    ]
    if draw(st.integers(0, 5)) == 0:
        rows.append((BASE[family] + WINDOW + 1, TOP[family]))
    if draw(st.integers(0, 5)) == 0:
        rows.append((0, BASE[family]))
    return rows


@st.composite
def lists(draw: st.DrawFn, family: int) -> Drawn:
    """Draw every list."""
    found = {name: draw(st.just([]) | ranges_near(family)) for name in LISTS}
    room = all(last < BASE[family] + WINDOW + 1 for _, last in found["bulk_deny"])
    if room and draw(st.booleans()):
        start = BASE[family] + (1 << 16)
        found["bulk_deny"] += [(start + 4 * one,) * 2 for one in range(FILLER)]
    return found


def passes(drawn: Drawn, service: Service, source: int, destination: int) -> bool:
    """Say plainly what is to happen to a packet that opens a connection to the service's port."""

    def inside(number: int, *names: str) -> bool:
        return any(first <= number <= last for name in names for first, last in drawn[name])

    def denied(number: int) -> bool:
        spared = inside(number, "management", "allow", "bulk_allow")
        return not spared and inside(number, "deny", "bulk_deny")

    def may_use(number: int) -> bool:
        if inside(number, "service_allow"):
            return True
        if inside(number, "service_deny"):
            return False
        return not service.only_allowed or inside(number, "allow", "bulk_allow")

    if inside(source, "management"):
        return True
    meant = not service.to or any(first <= destination <= last for first, last in service.to)
    if meant and not may_use(source):
        return False
    return not (denied(source) or denied(destination))


def frame(family: int, mac: bytes, source: int, destination: int) -> bytes:
    """Return an Ethernet frame with an empty UDP datagram, 4242 to 4243."""
    udp = struct.pack(">HHHH", 4242, 4243, 8, 0)
    if family == 6:
        ends = source.to_bytes(16, "big") + destination.to_bytes(16, "big")
        packet = struct.pack(">IHBB", 6 << 28, 8, 17, 64) + ends + udp
        return mac + mac[:5] + b"\xfe" + b"\x86\xdd" + packet
    head = struct.pack(">BBHHHBBHII", 0x45, 0, 28, 0, 0, 64, 17, 0, source, destination)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[12:]
    return mac + mac[:5] + b"\xfe" + b"\x08\x00" + head + udp


def seen(site: Any, family: int) -> set[tuple[str, str]]:
    """Return the pairs that came past our chain, as another table recorded them."""
    found = next(one for one in site.objects("set") if one["name"] == f"seen{family}")
    pairs = (one.get("elem", one) for one in found.get("elem", []))
    return {tuple(pair.get("val", pair)["concat"]) for pair in pairs}


@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.data(), st.sampled_from([4, 6]))
def test_three_ways_to_the_same_verdict(
    site: Any, ranges: Callable[..., Any], data: st.DataObject, family: int
) -> None:
    """Packets of random ends pass exactly where a plain loop and our contains() say so."""
    drawn = data.draw(lists(family))
    service = Service(data.draw(st.booleans()), data.draw(st.just([]) | ranges_near(family)))
    number = st.integers(0, WINDOW + 2).map(lambda offset: BASE[family] + offset)
    packets = data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=30, unique=True))

    def compiled(rows: list[tuple[int, int]]) -> Any:
        return ranges(*(f"{text(family, first)}-{text(family, last)}" for first, last in rows))

    kept = {name: compiled(rows) for name, rows in drawn.items()}
    wanted = _policy(kept, service, compiled(service.to))
    ours = by_our_own(wanted, family, packets)
    site.gateway.run(["nft", "-f", "-"], input=f"flush ruleset\n{WITNESS}")
    with site.firewall(kill_connections=False) as firewall:
        firewall.apply(wanted, 1000.0)
        assert not firewall.diff(wanted, 1000.0)
    site.gateway.run(["conntrack", "-F"])
    mac = gateway_mac(site)
    with site.outside.inside():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sender:
        sender.bind(("eth0", 0))
        for source, destination in packets:
            sender.send(frame(family, mac, source, destination))
    came = seen(site, family)
    kernel = [(text(family, a), text(family, b)) in came for a, b in packets]
    expected = [passes(drawn, service, source, destination) for source, destination in packets]
    assert kernel == expected
    assert ours == expected


@functools.cache
def gateway_mac(site: Any) -> bytes:
    """Return the gateway's outer hardware address."""
    shown = site.gateway.run(["ip", "-o", "link", "show", "dev", "wan"]).stdout
    return bytes.fromhex(shown.split("link/ether ")[1].split()[0].replace(":", ""))


def _policy(kept: dict[str, Any], service: Service, to: Any) -> Policy:
    """Return the lists as a policy with one service, UDP port 4243."""
    one = ServicePolicy(
        "web", socket.IPPROTO_UDP, ((4243, 4243),), service.only_allowed, to,
        kept["service_allow"], kept["service_deny"],
    )  # fmt: skip
    site = {name: kept[name] for name in LISTS[:5]}
    return Policy("enforce", **site, services=(one,))


def by_our_own(policy: Policy, family: int, packets: list[tuple[int, int]]) -> list[bool]:
    """Say the same with what the daemon asks beside every batch, all packets at once."""
    (hi, lo), (to_hi, to_lo) = (
        (found["hi"], found["lo"])
        for found in (
            address_array(ipaddress.ip_address(text(family, packet[end])) for packet in packets)
            for end in (0, 1)
        )
    )
    view = View(
        management=policy.management,
        allow=[Matcher(policy.allow), Matcher(policy.bulk_allow)],
        deny=[Matcher(policy.deny), Matcher(policy.bulk_deny)],
    )
    managed = contains(policy.management, hi, lo)
    [service] = policy.services
    allowed, denied = contains(service.allow, hi, lo), contains(service.deny, hi, lo)
    if service.only_allowed:
        denied |= ~(contains(policy.allow, hi, lo) | contains(policy.bulk_allow, hi, lo))
    meant = contains(service.to, to_hi, to_lo) | (len(service.to) == 0)
    stopped = (meant & denied & ~allowed) | view.denied(hi, lo) | view.denied(to_hi, to_lo)
    verdicts: list[bool] = (managed | ~stopped).tolist()
    return verdicts
