"""Captures made of packets, through capture, enrichment and detectors with their defaults.

Of each kind the attack, whose subject is named, and the benign twin, of which nothing is said.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP, SCTPChunkAbort, SCTPChunkInit
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from ipwatchd.capture import read_files
from ipwatchd.config.settings import PRIVATE, CaptureSettings, DetectSettings, GeoSettings
from ipwatchd.detect import build, with_flow_examples
from ipwatchd.enrich import Enricher

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.records.finding import Finding

BAD, HOST = "10.1.0.66", "10.1.0.5"
BAD_MAC, HOST_MAC, ROUTER_MAC = "02:00:00:00:00:66", "02:00:00:00:00:05", "02:00:00:00:00:01"


def told(path: Path, packets: list[Packet], step: float) -> dict[str, Finding]:
    """Write packets `step` seconds apart and return the findings by key."""
    for place, packet in enumerate(packets):
        packet.time = 1_700_000_000 + place * step
    wrpcap(str(path), packets)
    enricher = Enricher({"inside": PRIVATE}, GeoSettings())
    detectors = build(
        DetectSettings(), denied=lambda hi, lo: np.zeros(len(hi), np.bool_) & (lo == 0), zones=(),
        place=enricher.place,
    )  # fmt: skip
    found: dict[str, Finding] = {}
    for delivery in read_files([path], CaptureSettings()):
        enricher.flows(delivery.flows)
        for one in detectors:
            flows = with_flow_examples(one.flows(delivery.flows, delivery.now), delivery.flows)
            found |= {each.key: each for each in one.events(delivery.events, delivery.now)}
            found |= {each.key: each for each in flows}
    return found


def there(layer: Packet, far: str = HOST, near: str = BAD) -> Packet:
    """Return a packet from the scanner."""
    return Ether(src=BAD_MAC, dst=HOST_MAC) / IP(src=near, dst=far) / layer


def back(layer: Packet, far: str = HOST) -> Packet:
    """Return an answer to it."""
    return Ether(src=HOST_MAC, dst=BAD_MAC) / IP(src=far, dst=BAD) / layer


def tcp_probes(flags: str, ports: int) -> list[Packet]:
    """Return probes with these flags and the resets that a host sends (RFC 9293, 3.10.7.1)."""
    packets = []
    for port in range(1, ports + 1):
        packets.append(there(TCP(sport=45_000, dport=port, flags=flags, seq=1)))
        packets.append(back(TCP(sport=port, dport=45_000, flags="R" if flags == "A" else "RA")))
    return packets


@pytest.mark.parametrize("flags", ["S", "F", "", "FPU", "A", "FA"])
def test_tcp_scans_of_every_flavour(tmp_path: Path, flags: str) -> None:
    """SYN, FIN, NULL, Xmas, ACK and Maimon: the scanner is named; five ports are none."""
    found = told(tmp_path / "scan.pcap", tcp_probes(flags, 60), 0.01)
    assert set(found) == {f"port-scan|{BAD}"}
    example = found[f"port-scan|{BAD}"].evidence["examples"][0]
    assert (example["orig"], example["resp"]) == (BAD, HOST)
    assert told(tmp_path / "few.pcap", tcp_probes(flags, 5), 0.01) == {}


def udp(count: int) -> list[Packet]:
    """Return datagrams to many ports."""
    return [there(UDP(sport=45_000, dport=port)) for port in range(1, count + 1)]


def sctp(count: int) -> list[Packet]:
    """Return associations asked for and refused."""
    packets = []
    for port in range(1, count + 1):
        packets.append(there(SCTP(sport=45_000, dport=port) / SCTPChunkInit(init_tag=1)))
        packets.append(back(SCTP(sport=port, dport=45_000) / SCTPChunkAbort()))
    return packets


def pings(count: int, kind: int = 8) -> list[Packet]:
    """Return what asks by ICMP for many hosts."""
    return [there(ICMP(type=kind, id=n), far=f"10.1.0.{n}") for n in range(100, 100 + count)]


def timestamps(count: int) -> list[Packet]:
    """Return ICMP timestamp requests (RFC 792)."""
    return pings(count, 13)


def protocols(count: int) -> list[Packet]:
    """Return packets of many IP protocols."""
    return [Ether() / IP(src=BAD, dst=HOST, proto=n) for n in range(140, 140 + count)]


@pytest.mark.parametrize("make", [udp, sctp, pings, timestamps, protocols])
def test_scans_that_are_not_tcp(tmp_path: Path, make: Any) -> None:
    """UDP, SCTP, pings, timestamps and IP protocols; a handful of each is nothing."""
    assert set(told(tmp_path / "scan.pcap", make(80), 0.01)) == {f"port-scan|{BAD}"}
    assert told(tmp_path / "few.pcap", make(6), 0.01) == {}


def test_segments_of_connections_that_are_over_are_no_scan(tmp_path: Path) -> None:
    """Who wakes from sleep sends FIN to eighty servers; late answers go to a client's ports."""
    woke = [
        there(TCP(sport=40_000 + n, dport=443, flags="FA"), far=f"10.2.0.{n}") for n in range(80)
    ]
    late = [there(TCP(sport=443, dport=1100 + n, flags="A")) for n in range(80)]
    assert told(tmp_path / "woke.pcap", [*woke, *late], 0.5) == {}


def asks(count: int, mac: str, own: str, step: int = 1) -> list[Packet]:
    """Return ARP questions for many neighbours."""
    return [
        Ether(src=mac, dst="ff:ff:ff:ff:ff:ff")
        / ARP(op=1, hwsrc=mac, psrc=own, pdst=f"10.1.0.{1 + n * step}")
        for n in range(count)
    ]


def test_an_arp_sweep_and_a_client_that_looks_for_its_printer(tmp_path: Path) -> None:
    """A hundred neighbours asked for; one neighbour asked for a hundred times."""
    found = told(tmp_path / "sweep.pcap", asks(100, BAD_MAC, BAD), 0.05)
    assert set(found) == {f"neighbour-sweep|{BAD}"}
    assert told(tmp_path / "printer.pcap", asks(100, BAD_MAC, BAD, 0), 1.0) == {}


def reply(mac: str, claims: str, to: str, to_mac: str) -> Packet:
    """Return an ARP reply."""
    return Ether(src=mac, dst=to_mac) / ARP(op=2, hwsrc=mac, psrc=claims, hwdst=to_mac, pdst=to)


def test_arp_poison_between_two_machines(tmp_path: Path) -> None:
    """Each is told that the other is at the attacker's MAC; answers are not."""
    poison = []
    for _ in range(10):
        poison.append(reply(BAD_MAC, "10.1.0.1", HOST, HOST_MAC))
        poison.append(reply(BAD_MAC, HOST, "10.1.0.1", ROUTER_MAC))
    [finding] = told(tmp_path / "poison.pcap", poison, 1.0).values()
    assert (finding.rule, finding.subject) == ("lan-spoofing", BAD_MAC)
    assert sorted(finding.targets) == ["10.1.0.1", HOST]
    benign = []
    for _ in range(10):
        benign += asks(1, HOST_MAC, HOST)
        benign.append(reply(ROUTER_MAC, "10.1.0.1", HOST, HOST_MAC))
    benign.append(reply(HOST_MAC, HOST, HOST, "ff:ff:ff:ff:ff:ff"))
    assert told(tmp_path / "benign.pcap", benign, 1.0) == {}


def router(mac: str, address: str) -> Packet:
    """Return a router's advertisement (RFC 4861, 4.2)."""
    return (
        Ether(src=mac, dst="33:33:00:00:00:01") / IPv6(src=address, dst="ff02::1", hlim=255)
        / ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=mac)
    )  # fmt: skip


def test_a_second_router_is_rogue(tmp_path: Path) -> None:
    """The first one seen is taken for the right one, until it is appointed."""
    packets = [router(ROUTER_MAC, "fe80::1"), router(BAD_MAC, "fe80::99")]
    assert set(told(tmp_path / "two.pcap", packets, 1.0)) == {"rogue-dhcp|fe80::99|router"}
    assert told(tmp_path / "one.pcap", [router(ROUTER_MAC, "fe80::1")] * 5, 10.0) == {}


def query(name: str, kind: str, number: int) -> Packet:
    """Return a DNS query."""
    return there(
        UDP(sport=50_000 + number, dport=53)
        / DNS(id=number, rd=1, qd=DNSQR(qname=name, qtype=kind)), far="10.1.0.2",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lengths", "kinds"),
    [((60, 50), ["NULL"]), ((32,), ["TXT", "MX", "CNAME"]), ((16,), ["TXT"])],
    ids=["iodine", "dnscat2", "dns2tcp"],
)
def test_dns_tunnels(tmp_path: Path, lengths: tuple[int, ...], kinds: list[str]) -> None:
    """Distinct names under one domain that carry data, as each of the three tools sends them."""
    dice = random.Random(6)
    packets = [
        query(
            ".".join("".join(dice.choices("abcdef0123456789wxyz", k=n)) for n in lengths)
            + ".evil.example", dice.choice(kinds), number,
        )
        for number in range(100)
    ]  # fmt: skip
    assert set(told(tmp_path / "dns.pcap", packets, 0.2)) == {f"dns-tunnel|{BAD}|evil.example"}


def test_names_that_are_looked_up_all_day_are_no_tunnel(tmp_path: Path) -> None:
    """Names of services, again and again."""
    names = [f"{host}.{site}.example" for host in ("www", "cdn", "api", "mail") for site in "abcde"]
    packets = [query(names[n % 20], "A", n) for n in range(200)]
    assert told(tmp_path / "dns.pcap", packets, 0.2) == {}


def session(number: int, port: int, turns: list[tuple[str, bytes]]) -> list[Packet]:
    """Return a TCP connection from outside in which both sides say something in turn."""
    near, sport = "203.0.113.66", 40_000 + number
    sent = {"c": 1000, "s": 5000}
    packets = []

    def add(side: str, flags: str, data: bytes = b"") -> None:
        other = "s" if side == "c" else "c"
        ports = (sport, port) if side == "c" else (port, sport)
        segment = TCP(
            sport=ports[0], dport=ports[1], flags=flags, seq=sent[side], ack=sent[other]
        )  # fmt: skip
        ends = (near, HOST) if side == "c" else (HOST, near)
        packet = Ether(src=BAD_MAC, dst=HOST_MAC) / IP(src=ends[0], dst=ends[1]) / segment
        packets.append(packet / Raw(data) if data else packet)
        sent[side] += len(data) + ("S" in flags or "F" in flags)

    for side, flags in (("c", "S"), ("s", "SA"), ("c", "A")):
        add(side, flags)
    for side, data in turns:
        add(side, "PA", data)
        add("s" if side == "c" else "c", "A")
    for side, flags in (("c", "FA"), ("s", "FA"), ("c", "A")):
        add(side, flags)
    return packets


LOGINS = {
    "ftp": (21, [("s", b"220 ready\r\n"), ("c", b"USER maria\r\n"), ("s", b"331 password\r\n"),
                 ("c", b"PASS x\r\n"), ("s", b"530 Login incorrect.\r\n")]),
    "telnet": (23, [("s", b"\xff\xfd\x18"), ("c", b"\xff\xfb\x18"), ("s", b"login: "),
                    ("c", b"maria\r\n"), ("s", b"Password: "), ("c", b"x\r\n"),
                    ("s", b"\r\nLogin incorrect\r\n")]),
    "smtp": (25, [("s", b"220 mail ESMTP\r\n"), ("c", b"EHLO x\r\n"), ("s", b"250 AUTH LOGIN\r\n"),
                  ("c", b"AUTH LOGIN\r\n"), ("s", b"334 VXNl\r\n"), ("c", b"bWFyaWE=\r\n"),
                  ("s", b"334 UGFz\r\n"), ("c", b"eA==\r\n"), ("s", b"535 failed\r\n"),
                  ("c", b"QUIT\r\n"), ("s", b"221 Bye\r\n")]),
    "web": (80, [("c", b"GET / HTTP/1.1\r\nHost: x.example\r\n\r\n"),
                 ("s", b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")]),
}  # fmt: skip


@pytest.mark.parametrize("service", sorted(LOGINS))
def test_guessing_by_ftp_telnet_smtp_and_web(tmp_path: Path, service: str) -> None:
    """Sixty refused logins are guessing, five are somebody's slips."""
    port, turns = LOGINS[service]
    many = [packet for n in range(60) for packet in session(n, port, turns)]
    found = told(tmp_path / "many.pcap", many, 0.1)
    assert {(one.rule, one.subject) for one in found.values()} == {
        ("password-guessing", "203.0.113.66")
    }
    few = [packet for n in range(5) for packet in session(n, port, turns)]
    assert told(tmp_path / "few.pcap", few, 0.1) == {}


def test_mail_that_arrives_is_no_guessing(tmp_path: Path) -> None:
    """Sixty short mails from one relay."""
    mail = [("s", b"220 mail ESMTP\r\n"), ("c", b"EHLO x\r\n"), ("s", b"250 OK\r\n"),
            ("c", b"MAIL FROM:<a@b.example>\r\n"), ("s", b"250 OK\r\n"), ("c", b"DATA\r\n"),
            ("s", b"354 go\r\n"), ("c", b"Received: by x\r\n" * 40), ("s", b"250 queued\r\n"),
            ("c", b"QUIT\r\n"), ("s", b"221 Bye\r\n")]  # fmt: skip
    packets = [packet for n in range(60) for packet in session(n, 25, mail)]
    assert told(tmp_path / "mail.pcap", packets, 0.1) == {}


def test_amplified_answers_that_nobody_asked_for(tmp_path: Path) -> None:
    """Sixty time servers answer one address that never asked: it is the one flooded."""
    packets = [
        Ether() / IP(src=f"198.51.100.{n % 60}", dst=HOST) / UDP(sport=123, dport=40_000)
        / Raw(b"x" * 8000)
        for n in range(700)
    ]  # fmt: skip
    [finding] = told(tmp_path / "ntp.pcap", packets, 0.001).values()
    assert (finding.rule, finding.subject, finding.evidence["kind"]) == ("flood", HOST, "reflected")


def test_a_syn_flood_with_forged_sources_names_its_victim(tmp_path: Path) -> None:
    """Who suffers is the subject; as many visitors who are answered are none."""
    dice = random.Random(7)
    packets = [
        Ether() / IP(src=f"198.18.{dice.randrange(256)}.{dice.randrange(256)}", dst=HOST)
        / TCP(sport=dice.randrange(1024, 65_535), dport=80, flags="S")
        for _ in range(1500)
    ]  # fmt: skip
    [finding] = told(tmp_path / "syn.pcap", packets, 0.002).values()
    assert (finding.rule, finding.subject) == ("flood", HOST)
    assert finding.evidence["source"] == "many, perhaps forged"
