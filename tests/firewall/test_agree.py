"""Random lists, random packets: our own evaluator, the kernel and plain integers agree."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipwatchd.records.address import address_array
from ipwatchd.records.policy import Policy, contains

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


@st.composite
def lists(draw: st.DrawFn, family: int) -> Drawn:
    """Draw disjoint (first, last) for each list: neighbours, and now and then all the rest."""
    found: Drawn = {}
    for name in ("management", "allow", "deny"):
        ends = sorted(draw(st.lists(st.integers(1, WINDOW), max_size=8, unique=True)))
        rows = [
            (BASE[family] + first, BASE[family] + (first if draw(st.booleans()) else last))
            for first, last in zip(ends[::2], ends[1::2], strict=False)
        ]
        if draw(st.integers(0, 3)) == 0:
            rows.append((BASE[family] + WINDOW + 1, TOP[family]))
        if draw(st.integers(0, 3)) == 0:
            rows.append((0, BASE[family]))
        found[name] = rows
    return found


def passes(drawn: Drawn, source: int, destination: int) -> bool:
    """Say plainly what is to happen to a packet that opens a connection."""

    def inside(name: str, number: int) -> bool:
        return any(first <= number <= last for first, last in drawn[name])

    def denied(number: int) -> bool:
        return not any(inside(name, number) for name in ("management", "allow")) and inside(
            "deny", number
        )

    return inside("management", source) or not (denied(source) or denied(destination))


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
    number = st.integers(0, WINDOW + 2).map(lambda offset: BASE[family] + offset)
    packets = data.draw(st.lists(st.tuples(number, number), min_size=1, max_size=30, unique=True))
    compiled = {
        name: ranges(*(f"{text(family, first)}-{text(family, last)}" for first, last in rows))
        for name, rows in drawn.items()
    }
    ours = by_contains(compiled, family, packets)
    site.nft("flush", "ruleset")
    site.gateway.run(["nft", "-f", "-"], input=WITNESS)
    with site.firewall(kill_connections=False) as firewall:
        firewall.apply(Policy("enforce", **compiled), 1000.0)
        assert not firewall.diff(Policy("enforce", **compiled), 1000.0)
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
    expected = [passes(drawn, source, destination) for source, destination in packets]
    assert kernel == expected
    assert ours == expected


def gateway_mac(site: Any) -> bytes:
    """Return the gateway's outer hardware address."""
    shown = site.gateway.run(["ip", "-o", "link", "show", "dev", "wan"]).stdout
    return bytes.fromhex(shown.split("link/ether ")[1].split()[0].replace(":", ""))


def by_contains(
    compiled: dict[str, Any], family: int, packets: list[tuple[int, int]]
) -> list[bool]:
    """Say the same with records.policy.contains, all packets at once."""
    ends = []
    for column in (0, 1):
        found = address_array(
            ipaddress.ip_address(text(family, packet[column])) for packet in packets
        )
        hi, lo = found["hi"], found["lo"]
        managed = contains(compiled["management"], hi, lo)
        denied = contains(compiled["deny"], hi, lo) & ~contains(compiled["allow"], hi, lo)
        ends.append((managed, denied & ~managed))
    (managed, source), (_, destination) = ends
    verdicts: list[bool] = (managed | ~(source | destination)).tolist()
    return verdicts
