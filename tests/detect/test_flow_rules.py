"""Floods, beacons, uploads, by-passes and exposed services: found, explained, and no others."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipwatchd.config.detectors import (
    BeaconingSettings,
    BypassSettings,
    ExposedServiceSettings,
    FloodSettings,
    UploadSettings,
)
from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.about import House
from ipwatchd.detect.beaconing import Beaconing
from ipwatchd.detect.bypass import Bypass
from ipwatchd.detect.exposed_service import ExposedService
from ipwatchd.detect.flood import Flood
from ipwatchd.detect.upload import Upload
from ipwatchd.records.event import Http, Ssh, Tls
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Batch = Callable[[Any], NDArray[np.void]]
    Row = Callable[..., dict[str, Any]]

OURS, FAR = "10.0.0.9", "198.51.100.7"
OUT = {"direction": Direction.OUTGOING, "orig": OURS, "resp": FAR}
IN = {"direction": Direction.INCOMING, "orig": FAR, "resp": OURS}


def settings() -> DetectSettings:
    """Return thresholds that a handful of flows cross."""
    return DetectSettings(
        flood=FloodSettings(syns=100, packets=50, amplified_bytes=10_000),
        upload=UploadSettings(bytes=1_000_000, new_destination_bytes=500_000, enough=3),
        exposed_service=ExposedServiceSettings(learn=1000.0),
        beaconing=BeaconingSettings(contacts=20),
    )


def test_half_open_connections_at_one_port_are_a_flood(batch: Batch, syn: Row) -> None:
    """From many forged sources the victim is the subject; the value says by how much."""
    rows = [
        syn(orig=f"203.0.113.{i % 250}", resp=OURS, resp_port=443, direction=1) for i in range(150)
    ]
    [finding] = Flood(settings()).flows(batch(rows), 1000.0)
    assert (finding.rule, finding.subject, finding.classification) == ("flood", OURS, "ddos")
    assert (finding.value, finding.threshold) == (150, 100)
    assert finding.evidence["source"] == "many, perhaps forged"


def test_a_flood_that_capture_summed_weighs_what_it_counts(batch: Batch, syn: Row) -> None:
    """A record from no one address stands for as many openings as it has packets."""
    rows = [syn(orig="::", resp=OURS, resp_port=443, direction=1, orig_packets=150)]
    [finding] = Flood(settings()).flows(batch(rows), 1000.0)
    assert (finding.rule, finding.subject) == ("flood", OURS)
    assert finding.value >= 150


def test_a_machine_of_ours_that_floods_is_the_subject(batch: Batch, syn: Row) -> None:
    """Outgoing, from one source: it is the one to take off the net."""
    rows = [syn(**OUT, resp_port=80) for _ in range(150)]
    [finding] = Flood(settings()).flows(batch(rows), 1000.0)
    assert (finding.subject, finding.classification, finding.severity) == (OURS, "dos", "high")


def test_floods_of_pings_that_are_answered_and_of_strays_are_told(batch: Batch, syn: Row) -> None:
    """Each costs its victim; an admin's pings and a connection that capture came late to do not."""
    pings = {**IN, "proto": 1, "icmp_type": 8, "orig_packets": 900, "resp_packets": 900}
    [finding] = Flood(settings()).flows(batch([pings]), 1000.0)
    assert (finding.subject, finding.evidence["kind"]) == (OURS, "ping")
    stray = {"state": "OTH", "orig_flags": 16, "resp_flags": 4, "orig_packets": 1,
             "orig_bytes": 40, "resp_packets": 1, "resp_bytes": 40, "resp_port": 80}  # fmt: skip
    acks = [
        {**IN, **stray, "orig": f"203.0.{n // 250}.{n % 250}", "direction": 1} for n in range(900)
    ]
    [finding] = Flood(settings()).flows(batch(acks), 1000.0)
    assert (finding.subject, finding.evidence["kind"]) == (OURS, "stray")
    late = [{**one, "orig_packets": 40, "orig_bytes": 40_000, "resp_flags": 16} for one in acks]
    few = [{**pings, "orig_packets": 100, "resp_packets": 100}, *acks[:100]]
    for benign in (late, few, [syn(**IN, resp_port=n) for n in range(90)]):
        assert Flood(settings()).flows(batch(benign), 1000.0) == []


def test_visitors_and_scans_are_no_flood(batch: Batch, syn: Row) -> None:
    """Connections that finish, and one half-open at each of many ports, are none."""
    detector = Flood(settings())
    visitors = [{**IN, "resp_port": 443} for _ in range(400)]
    visitors += [syn(**IN, resp_port=443) for _ in range(120)]
    assert detector.flows(batch(visitors), 1000.0) == []
    scan = [syn(**IN, resp_port=port) for port in range(1, 500)]
    assert Flood(settings()).flows(batch(scan), 1000.0) == []


def test_unanswered_and_amplified_datagrams_are_floods(batch: Batch) -> None:
    """A stream nobody answers; answers of reflectors nobody asked; ours that answers too much."""
    stream = {**IN, "proto": 17, "resp_packets": 0, "resp_bytes": 0, "orig_packets": 600}
    [finding] = Flood(settings()).flows(batch([stream | {"resp_port": 999}]), 1000.0)
    assert finding.evidence["kind"] == "packet"
    reflected = [
        stream | {"orig": f"192.0.2.{i}", "orig_port": 123, "orig_packets": 5, "orig_bytes": 4000}
        for i in range(1, 9)
    ]
    kinds = {one.evidence["kind"] for one in Flood(settings()).flows(batch(reflected), 1000.0)}
    assert "reflected" in kinds
    ours = [
        {**IN, "proto": 17, "resp_port": 53, "orig_bytes": 60, "resp_bytes": 4000} for _ in range(9)
    ]
    [finding] = Flood(settings()).flows(batch(ours), 1000.0)
    assert (finding.subject, finding.classification) == (OURS, "ddos-amplifier")


def calls(gaps: list[float], **row: Any) -> list[dict[str, Any]]:
    """Return contacts with pauses between."""
    start, rows = 1000.0, []
    for gap in gaps:
        rows.append({**OUT, "resp_port": 443, "start": start, "end": start + 0.2, **row})
        start += gap
    return rows


@pytest.mark.parametrize("jitter", [0.0, 0.1, 0.4])
def test_a_beacon_is_found_with_and_without_jitter(batch: Batch, jitter: float) -> None:
    """Even intervals, up to two fifths off either way, are a beacon; the interval is told."""
    made = random.Random(7)
    gaps = [60 * made.uniform(1 - jitter, 1 + jitter) for _ in range(30)]
    found = Beaconing(settings()).flows(batch(calls(gaps)), 4000.0)
    assert [(one.rule, one.subject, one.targets) for one in found] == [("beaconing", OURS, (FAR,))]
    assert found[-1].evidence["interval"] == pytest.approx(60, rel=0.2)


def test_a_person_is_no_beacon(batch: Batch) -> None:
    """Pauses as random as a person's, sizes as different as pages', common services: silence."""
    made = random.Random(7)
    gaps = [made.expovariate(1 / 60) + 1 for _ in range(60)]
    assert Beaconing(settings()).flows(batch(calls(gaps)), 9000.0) == []
    pages = [row | {"orig_bytes": made.randint(500, 20_000)} for row in calls([60.0] * 40)]
    assert Beaconing(settings()).flows(batch(pages), 9000.0) == []
    common = [row | {"orig": f"10.0.0.{i}"} for row in calls([60.0] * 30) for i in range(1, 8)]
    assert Beaconing(settings()).flows(batch(common), 9000.0) == []
    assert Beaconing(settings()).flows(batch(calls([60.0] * 30, resp_port=123)), 9000.0) == []


def test_an_upload_is_held_against_the_past(batch: Batch) -> None:
    """What is usual is none; five times as much is, and says what was usual."""
    detector = Upload(settings())
    usual = {**OUT, "orig_bytes": 400_000}
    for hour in range(6):
        assert not detector.flows(batch([usual | {"start": 3600.0 * hour + 10}]), 0.0)
    assert not detector.flows(batch([usual | {"start": 21_700.0, "orig_bytes": 900_000}]), 0.0)
    [finding] = detector.flows(batch([usual | {"start": 21_800.0, "orig_bytes": 1_500_000}]), 0.0)
    assert finding.rule == "unusual-upload"
    assert finding.evidence["enough_seen"] is True
    assert finding.threshold == pytest.approx(2_000_000)
    assert finding.value == 2_400_000


def test_much_to_a_new_destination_is_told_and_survives_a_restart(batch: Batch) -> None:
    """New is told; after a restart what was known is known."""
    detector = Upload(settings())
    [finding] = detector.flows(batch([{**OUT, "orig_bytes": 600_000}]), 1000.0)
    assert "never sent much" in finding.title
    fresh = Upload(settings())
    fresh.recall(detector.remember())
    later = batch([{**OUT, "orig_bytes": 600_000, "start": 9000.0}])
    assert fresh.flows(later, 9000.0) == []


def test_what_hides_from_the_house_is_told_once(batch: Batch) -> None:
    """DNS over TLS, HTTPS to a public resolver, a VPN's name; `allowed` may."""
    house = House()
    detector = Bypass(settings(), house)
    rows = [{**OUT, "resp_port": 853}, {**OUT, "resp": "1.1.1.1", "resp_port": 443}]
    found = detector.flows(batch([*rows, {**OUT, "resp_port": 443}]), 1000.0)
    assert {(one.key, one.count) for one in found} == {
        (f"policy-bypass|{OURS}|encrypted DNS", 1), (f"policy-bypass|{OURS}|encrypted DNS", 2),
    }  # fmt: skip
    name = Tls(ts=1000.0, orig=OURS, resp="1.2.3.4", name="eu1.NordVPN.com")
    [finding, *_] = detector.events([name, name], 1000.0)
    assert finding.subject == OURS
    plain = Tls(ts=1000.0, orig=OURS, resp="1.2.3.4", name="notnordvpn.com")
    assert detector.events([plain], 1000.0) == []
    may = DetectSettings(bypass=BypassSettings(allowed=("10.0.0.0/24",)))
    assert Bypass(may, house).flows(batch(rows), 1000.0) == []


def test_a_service_is_new_once_the_house_is_known(batch: Batch) -> None:
    """While learning all is wanted; later a new port is told once, and across a restart."""
    detector = ExposedService(settings())
    web, desk = {**IN, "resp_port": 443}, {**IN, "resp_port": 3389}
    assert detector.flows(batch([web]), 1000.0) == []
    assert detector.counters()["learning_seconds"] == 1000
    fresh = ExposedService(settings())
    fresh.recall(detector.remember())
    later = {"start": 2500.0}
    assert fresh.flows(batch([web | later]), 2500.0) == []
    [finding] = fresh.flows(batch([desk | later, desk | later]), 2500.0)
    assert finding.title == f"{OURS} now answers the internet on 3389/tcp (rdp)"
    assert finding.severity == "high"
    assert fresh.flows(batch([desk | {"start": 2600.0}]), 2600.0) == []


@pytest.mark.parametrize("kind", [Flood, Beaconing, Upload, Bypass, ExposedService])
def test_tables_are_bounded(batch: Batch, syn: Row, kind: Any) -> None:
    """An address for each flow fills the table and no more; what had to go is counted."""
    detector = kind(DetectSettings(sources=50))
    flows = batch([{**OUT, "resp_port": 853, "orig_bytes": 30_000}] * 400)
    flows["orig_lo"] += np.arange(400, dtype=np.uint64)
    flows["resp_lo"] += np.arange(400, dtype=np.uint64)
    flows["direction"] = np.where(kind is ExposedService, 1, 2)
    for _ in range(4 if kind is Beaconing else 1):  # who comes but once has no record there
        detector.flows(flows, 1000.0)
    counts = detector.counters()
    assert max(value for name, value in counts.items() if name in {
        "targets", "pairs", "senders", "uses", "services"}) <= 50  # fmt: skip
    if kind is not Flood:
        assert sum(value for name, value in counts.items() if name.endswith("shed")) >= 350


def test_a_flood_over_many_targets_blames_nobody(batch: Batch, syn: Row) -> None:
    """Capture's sum over all targets: the site is the subject, no source and no target is named."""
    rows = [syn(orig="0.0.0.0", resp="0.0.0.0", resp_port=0, orig_packets=9000)]  # noqa: S104  the unspecified address
    [finding] = Flood(DetectSettings()).flows(batch(rows), 1000.0)
    assert (finding.subject, finding.targets) == ("site", ())
    assert finding.title == "many addresses are flooded: 9,000 half-open connections within 10 s"
    assert finding.evidence["source"] == "many, perhaps forged"


def test_datagrams_that_a_machine_of_ours_floods_with_are_its_own(batch: Batch) -> None:
    """UDP out of the house: the sender is the subject; a call's stream that is answered is none."""
    stream = {
        **OUT, "proto": 17, "resp_port": 4500, "orig_packets": 60_000, "orig_bytes": 6_000_000,
        "start": 1000.0, "end": 1010.0,
    }  # fmt: skip
    silent = stream | {"resp_packets": 0, "resp_bytes": 0}
    [finding] = Flood(DetectSettings()).flows(batch([silent]), 1010.0)
    assert (finding.subject, finding.evidence["kind"]) == (OURS, "packet")
    assert Flood(DetectSettings()).flows(batch([stream]), 1010.0) == []


def test_a_proxy_out_of_the_house_is_a_bypass() -> None:
    """CONNECT to an outside host is a proxy's; a GET is not; nor is the house's own proxy."""
    detector = Bypass(DetectSettings(), House())
    ask = {"ts": 1.0, "orig": OURS, "resp": "93.184.216.34", "resp_port": 8080}
    [finding] = detector.events([Http(name="x.example", method="CONNECT", **ask)], 1.0)
    assert finding.evidence["kind"] == "proxy"
    inside = ask | {"resp": "10.0.0.2"}
    others = [Http(name="x.example", method="GET", **ask),
              Http(name="x.example", method="CONNECT", **inside)]  # fmt: skip
    assert Bypass(DetectSettings(), House()).events(others, 1.0) == []


def test_ssh_on_a_port_of_the_web_is_told_and_on_its_own_is_not() -> None:
    """Whoever gets out over 443 with SSH has a tunnel; port 22 is for the firewall to decide."""
    greets = [
        Ssh(ts=1.0, orig=OURS, resp="8.8.8.8", resp_port=port, version="SSH-2.0-x")
        for port in (22, 443)
    ]
    [finding] = Bypass(DetectSettings(), House()).events(greets, 1.0)
    assert finding.title == f"{OURS} uses SSH on a port of the web (port 443 at 8.8.8.8)"


def test_an_upload_in_ftps_active_mode_is_one(batch: Batch) -> None:
    """The server opens the connection from its port 20, and what goes out are the answers."""
    row = {**IN, "orig_port": 20, "orig_bytes": 20_000, "resp_bytes": 700_000}
    [finding] = Upload(settings()).flows(batch([row]), 1000.0)
    assert (finding.subject, finding.targets, finding.value) == (OURS, (FAR,), 700_000)
    served = {**row, "orig_port": 40_000}
    assert Upload(settings()).flows(batch([served]), 1000.0) == []
