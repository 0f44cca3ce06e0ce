"""What happens on the LAN itself: spoofing, strangers, servers nobody appointed, sweeps."""

from __future__ import annotations

from ipwatchd.config.detectors import (
    LanSpoofingSettings,
    RogueDhcpSettings,
    UnknownDeviceSettings,
)
from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.about import House
from ipwatchd.detect.lan_spoofing import LanSpoofing
from ipwatchd.detect.neighbour_sweep import NeighbourSweep
from ipwatchd.detect.rogue_dhcp import RogueDhcp
from ipwatchd.detect.unknown_device import UnknownDevice
from ipwatchd.records.event import Arp, Dhcp, Ndp

ONE, TWO, GATE = "02:00:00:00:00:01", "02:00:00:00:00:02", "10.0.0.1"


def arp(ts: float, mac: str, address: str, target: str = "10.0.0.50", op: str = "request") -> Arp:
    """Return a claim."""
    return Arp(ts=ts, operation=op, mac=mac, address=address, target=target, orig=address)


def test_an_address_fought_for_is_told_and_a_new_card_is_not() -> None:
    """One change is a new card; a third one within the window are two machines."""
    detector = LanSpoofing(DetectSettings())
    macs = [ONE, TWO, TWO, TWO]
    assert not detector.events([arp(i, mac, "10.0.0.9") for i, mac in enumerate(macs)], 4.0)
    [finding] = detector.events([arp(5, ONE, "10.0.0.9"), arp(6, TWO, "10.0.0.9")], 6.0)
    assert finding.subject == "10.0.0.9"
    assert set(finding.targets) == {ONE, TWO}
    assert (finding.value, finding.threshold) == (3, 3)


def test_a_gateway_is_told_at_its_first_change_even_after_a_restart() -> None:
    """A configured gateway's new MAC is told at once; VRRP's shared MACs are left alone."""
    settings = DetectSettings(lan_spoofing=LanSpoofingSettings(gateways=(GATE,)))
    before = LanSpoofing(settings)
    assert before.events([arp(1, ONE, GATE)], 1.0) == []
    detector = LanSpoofing(settings)
    detector.recall(before.remember())
    shared = arp(2, "00:00:5e:00:01:0a", GATE)
    assert detector.events([shared], 2.0) == []
    [finding] = detector.events([arp(3, TWO, GATE)], 3.0)
    assert finding.title == f"gateway {GATE} moved from {ONE} to {TWO}"


def test_an_answer_nobody_asked_for_in_anothers_name_is_told() -> None:
    """A machine that asks as .66 says to .50 that .1 is at its own MAC."""
    detector = LanSpoofing(DetectSettings())
    reply = arp(1, ONE, GATE, "10.0.0.50", "reply")
    [finding] = detector.events([reply, arp(2, ONE, "10.0.0.66", GATE)], 2.0)
    assert finding.subject == "10.0.0.66"
    assert finding.targets == (GATE,)
    asked = LanSpoofing(DetectSettings())
    question = arp(0, TWO, "10.0.0.50", GATE)
    assert asked.events([question, reply, arp(2, ONE, "10.0.0.66", GATE)], 2.0) == []


def test_neighbour_advertisements_count_the_same() -> None:
    """NDP's claims are held against each other as ARP's are."""
    detector = LanSpoofing(DetectSettings())
    claims = [
        Ndp(ts=i, operation="advertisement", mac=mac, address="fe80::9", target="fe80::9")
        for i, mac in enumerate([ONE, TWO, ONE, TWO])
    ]
    [finding] = detector.events(claims, 4.0)
    assert finding.subject == "fe80::9"


def test_a_stranger_is_told_once_the_house_is_known() -> None:
    """While learning all are known; later a new MAC is told once; `known` may come."""
    settings = DetectSettings(unknown_device=UnknownDeviceSettings(learn=100, known=("02:00:0a",)))
    before = UnknownDevice(settings)
    assert before.events([arp(1, ONE, GATE)], 1.0) == []
    detector = UnknownDevice(settings)
    detector.recall(before.remember())
    late = [arp(500, ONE, GATE), arp(500, TWO, "10.0.0.7"), arp(501, TWO, "10.0.0.7")]
    [finding] = detector.events([*late, arp(502, "02:00:0a:00:00:01", "10.0.0.8")], 502.0)
    assert (finding.subject, finding.evidence["devices_known"]) == (TWO, 1)


def answer(server: str, ts: float = 1.0) -> Dhcp:
    """Return a server's offer."""
    return Dhcp(ts=ts, message="OFFER", mac=ONE, address="10.0.0.9", server=server)


def test_a_second_dhcp_server_is_told() -> None:
    """Without a list the first one seen is right and says so; with one, only those on it."""
    detector = RogueDhcp(DetectSettings())
    assert detector.events([answer(GATE), answer(GATE)], 1.0) == []
    [finding] = detector.events([answer("10.0.0.66")], 2.0)
    assert (finding.subject, finding.severity) == ("10.0.0.66", "medium")
    listed = RogueDhcp(DetectSettings(rogue_dhcp=RogueDhcpSettings(servers=(GATE,))))
    [finding] = listed.events([answer("10.0.0.66"), answer(GATE)], 2.0)
    assert finding.severity == "high"
    router = Ndp(ts=3, operation="router-advertisement", mac=TWO, address="fe80::66")
    [finding] = listed.events([router], 3.0)
    assert finding.title.startswith("router fe80::66 answers")


def test_a_drained_server_is_told() -> None:
    """Many requests in a minute, of one MAC or of a forged one each; twenty phones are none."""
    asks = [
        Dhcp(ts=i / 10, message="DISCOVER", mac=f"02:00:00:00:{i // 256:02x}:{i % 256:02x}")
        for i in range(120)
    ]
    assert RogueDhcp(DetectSettings()).events(asks[:20], 2.0) == []
    [finding] = RogueDhcp(DetectSettings()).events(asks, 12.0)
    assert finding.title == "100 hardware addresses asked DHCP 100 times within 60 s"


def test_a_sweep_of_the_lan_is_told_and_a_busy_gateway_is_not() -> None:
    """Who asks for many that are absent is told; who asks for those that are there is not."""
    sweep = [arp(i / 10, ONE, "10.0.0.9", f"10.0.1.{i}") for i in range(1, 60)]
    [finding] = NeighbourSweep(DetectSettings()).events(sweep, 6.0)
    assert (finding.rule, finding.subject, finding.threshold) == ("neighbour-sweep", "10.0.0.9", 40)
    there = [arp(0, TWO, f"10.0.1.{i}") for i in range(1, 60)]
    assert NeighbourSweep(DetectSettings()).events(there + sweep, 6.0) == []


def test_a_flood_of_forged_routers_is_one_finding() -> None:
    """A thousand advertised routers are one sender's: a few are named, the rest counted."""
    detector = RogueDhcp(DetectSettings())
    events = [
        Ndp(ts=1.0 + n / 100, operation="router-advertisement", mac="02:00:00:00:00:66",
            address=f"fe80::{n + 1:x}")
        for n in range(1000)
    ]  # fmt: skip
    keys = {one.key for one in detector.events(events, 11.0)}
    assert "rogue-dhcp|router|forged" in keys
    assert len(keys) <= 9


def test_gateways_are_known_of_the_kernel_and_of_dhcp() -> None:
    """Default routes', DHCP's and our own addresses are told of at their first change."""
    known = {"192.0.2.1": ((), "default route by wan0"), "10.0.0.2": ((ONE,), "our own address")}
    house = House(gateways=lambda: known)
    before = LanSpoofing(DetectSettings(), house)
    lease = Dhcp(ts=1, message="ACK", mac=TWO, server="10.0.0.3", routers=(GATE,))
    first = [lease, arp(1, ONE, GATE), arp(1, ONE, "192.0.2.1"), arp(1, ONE, "10.0.0.9")]
    assert before.events(first, 1.0) == []
    detector = LanSpoofing(DetectSettings(), house)
    detector.recall(before.remember())
    others = [arp(3, TWO, "10.0.0.9")]
    assert detector.events(others, 3.0) == [], "one change of a desk is a new card"
    addresses = (GATE, "192.0.2.1", "10.0.0.2")
    found = detector.events([arp(4, TWO, one) for one in addresses], 4.0)
    assert [one.title for one in found] == [
        f"gateway {address} moved from {ONE} to {TWO}" for address in addresses
    ]
    assert [one.evidence["gateway_by"] for one in found] == [
        "named as router by DHCP", "default route by wan0", "our own address",
    ]  # fmt: skip
    assert detector.events([arp(5, ONE, "10.0.0.2")], 5.0) == [], "our own answer is no change"
    known.pop("192.0.2.1")
    assert detector.events([arp(90, ONE, "192.0.2.1")], 90.0) == [], "no gateway any more"


def test_who_forges_routers_names_few() -> None:
    """Sixteen routers of DHCP are remembered, the first ones, however many a server names."""
    detector = LanSpoofing(DetectSettings())
    named = [f"10.0.{one >> 8}.{one & 255}" for one in range(1, 1000)]
    detector.events([Dhcp(ts=1, message="OFFER", mac=TWO, routers=(one,)) for one in named], 1.0)
    assert detector.events([arp(2, ONE, one) for one in named], 2.0) == []
    found = detector.events([arp(3, TWO, one) for one in named], 3.0)
    assert [one.subject for one in found] == named[:16]


def ndp(ts: float, operation: str, address: str, mac: str = "", target: str = "") -> Ndp:
    """Return what is said of a neighbour."""
    return Ndp(ts=ts, operation=operation, mac=mac, address=address, target=target or address)


def test_who_says_of_every_new_address_that_it_is_taken_is_told() -> None:
    """Three refusals (dos-new-ip6, each from another MAC); a machine's own announcement is none."""
    new = [f"fd00::{n}" for n in (1, 2, 3)]
    asked = [ndp(i * 2.0, "solicitation", "", target=one) for i, one in enumerate(new)]
    refused = [
        ndp(i * 2.0 + 0.01, "advertisement", one, f"02:00:00:00:00:a{i}")
        for i, one in enumerate(new)
    ]
    talk = sorted([*asked, *refused], key=lambda one: one.ts)
    [finding] = LanSpoofing(DetectSettings()).events(talk, 6.0)
    assert (finding.subject, finding.classification) == ("lan", "dos")
    assert finding.targets == tuple(new)
    own = [ndp(i * 2.0 + 1.1, "advertisement", one, ONE) for i, one in enumerate(new)]
    benign = sorted([*asked, *own], key=lambda one: one.ts)
    assert LanSpoofing(DetectSettings()).events(benign, 6.0) == []


def test_arp_probes_refused_by_one_machine_name_it() -> None:
    """RFC 5227's probes, answered at once by the same MAC."""
    talk = []
    for n in range(3):
        talk.append(arp(n * 3.0, TWO, "0.0.0.0", f"10.0.0.{n}"))  # noqa: S104  a probe's sender
        talk.append(arp(n * 3.0 + 0.02, ONE, f"10.0.0.{n}", f"10.0.0.{n}", "reply"))
    [finding] = LanSpoofing(DetectSettings()).events(talk, 9.0)
    assert finding.subject == ONE


def lease(ts: float, number: int, *messages: str) -> list[Dhcp]:
    """Return one machine's messages, and the server's."""
    mac = f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"
    return [
        Dhcp(ts=ts + i / 100, message=one, mac=mac, server=GATE if one in {"OFFER", "ACK"} else "")
        for i, one in enumerate(messages)
    ]


def test_a_shift_that_sits_down_is_no_flood_and_a_drainer_is() -> None:
    """Ninety new machines in a minute, each a lease; a hundred that are known; then forged ones."""
    detector = RogueDhcp(DetectSettings())
    whole = ("DISCOVER", "OFFER", "REQUEST", "ACK")
    first = [one for n in range(90) for one in lease(n / 2, n, *whole)]
    assert detector.events(first, 60.0) == []
    more = [one for n in range(90, 150) for one in lease(200 + n / 2, n, *whole)]
    assert detector.events(more, 300.0) == []
    known = [one for n in range(150) for one in lease(1000 + n / 5, n, *whole)]
    assert detector.events(known, 1100.0) == []
    drained = [one for n in range(120) for one in lease(2000 + n / 5, 1000 + n, *whole[:3])]
    [finding, *_] = detector.events(drained, 2100.0)
    assert (finding.subject, finding.classification) == ("dhcp", "dos")


def test_one_machine_that_floods_is_named_with_a_lease_or_without() -> None:
    """A client that asks without end."""
    asks = [one for n in range(110) for one in lease(1000 + n / 5, 7, "DISCOVER")]
    for before in ([], lease(1.0, 7, "DISCOVER", "OFFER", "REQUEST", "ACK")):
        detector = RogueDhcp(DetectSettings())
        assert detector.events(before, 2.0) == []
        [finding, *_] = detector.events(asks, 1100.0)
        assert finding.subject == asks[0].mac
