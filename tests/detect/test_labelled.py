"""Published captures and logs with labels: what must be found is, and nothing where nothing is."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from ipwatchd.capture import CaptureFileError, read_files
from ipwatchd.config.settings import (
    PRIVATE,
    CaptureSettings,
    DetectSettings,
    GeoSettings,
)
from ipwatchd.detect import build
from ipwatchd.enrich import Enricher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.detect.detector import Denied
    from ipwatchd.records.finding import Finding

RULES = {
    "port_scan": "port-scan",
    "port_scan_udp": "port-scan",
    "port_scan_fin": "port-scan",
    "host_sweep_tcp": "port-scan",
    "host_sweep_icmp": "port-scan",
    "brute_force_ftp": "password-guessing",
    "brute_force_ssh": "password-guessing",
    "syn_flood": "flood",
    "dns_tunnel": "dns-tunnel",
    "beaconing": "beaconing",
    "arp_scan": "neighbour-sweep",
    "arp_spoof": "lan-spoofing",
    "dhcp_flood": "rogue-dhcp",
}
# DNS inside HTTPS to a public resolver: names can't be seen, that the house is by-passed can.
HIDDEN = "nDPI__dns2tcp_tunnel.pcap"
# A server inside whose certificate had in truth run out, or was about to.
EXPIRED = {"nDPI__selfsigned.pcap"}
# Captures of what the name says: true by-passes, no attack.
BYPASSES = {
    "nDPI__dns_doh.pcap", "nDPI__dns_dot.pcap", "nDPI__doh.pcapng", "nDPI__protonvpn.pcap",
    "nDPI__wireguard.pcap", "nDPI__pptp.pcap",
}  # fmt: skip
# Nine hosts in two hours.
SLOW = "bro-simple-scan__445_scan.pcap"


def labelled(shared: Path) -> list[dict[str, str]]:
    """Return the rows of EXPECTED_detect.csv."""
    with (shared / "EXPECTED_detect.csv").open() as rows:
        return list(csv.DictReader(rows))


def findings(path: Path, settings: DetectSettings, denied: Denied) -> list[Finding]:
    """Return all that the detectors say of a capture."""
    detectors = build(settings, denied=denied, zones=())
    found = []
    enricher = Enricher({"inside": PRIVATE}, GeoSettings())
    for delivery in read_files([path], CaptureSettings()):
        enricher.flows(delivery.flows)
        for detector in detectors:
            found += detector.events(delivery.events, delivery.now)
            found += detector.flows(delivery.flows, delivery.now)
    return found


def test_labelled_attacks_are_found_and_nobody_else_is_accused(
    shared: Path, nobody: Denied
) -> None:
    """Each labelled scan and guess has its rule and its guilty; no other source is named."""
    seen = 0
    for row in labelled(shared):
        rule = RULES.get(row["kinds"])
        if row["expect"] != "alert" or rule is None:
            continue
        found = findings(shared / row["file"], DetectSettings(), nobody)
        accused = {(finding.rule, finding.subject) for finding in found}
        guilty = (row["guilty"] or row["victim"]).partition(" ")[
            0
        ]  # of forged sources: who suffers
        rule = "policy-bypass" if row["file"].endswith(HIDDEN) else rule
        rule = "slow-scan" if row["file"].endswith(SLOW) else rule
        assert accused == {(rule, guilty)}, row["file"]
        seen += 1
    assert seen == 17


def benign(shared: Path) -> list[Path]:
    """Return every capture without a labelled attack."""
    attacks = {
        row["file"]
        for row in labelled(shared)
        if row["expect"] == "alert" and row["kinds"] in RULES
    }
    return [
        path
        for folder in ("detect", "flows", "encap")
        for path in sorted((shared / "pcap" / folder).iterdir())
        if path.suffix != ".json" and str(path.relative_to(shared)) not in attacks
    ]


def held(paths: list[Path], denied: Denied) -> int:
    """Hold captures against what may be said of them; return how many could be read."""
    captures = 0
    for path in paths:
        try:
            found = findings(path, DetectSettings(), denied)
        except CaptureFileError:  # a link type that is not read
            continue
        captures += 1
        rules = {finding.rule for finding in found}
        right = {"policy-bypass"} if path.name in BYPASSES else set()
        right |= {"certificate"} if path.name in EXPIRED else set()
        assert rules == right, path.name
    return captures


def test_everything_else_raises_nothing(shared: Path, nobody: Denied) -> None:
    """Negatives, attacks that are no scan and no guess, and an eighth of the rest: silence."""
    paths = benign(shared)
    few = [path for path in paths if path.parent.name == "detect" or path.name in BYPASSES]
    assert held(sorted({*few, *paths[::8]}), nobody) > 50


@pytest.mark.soak
def test_every_ordinary_capture_raises_nothing(shared: Path, nobody: Denied) -> None:
    """All of them: each waits for its own dissector to start."""
    assert held(benign(shared), nobody) > 350


@pytest.mark.parametrize(
    ("name", "guilty", "title"),
    [
        ("vertical_portscan_conn.json", "192.168.1.9", "tcp ports of one host"),
        ("test4_malicious.binetflow", "192.168.2.12", "probed port 81/tcp of"),
        ("test10_mixed_conn.log", "", ""),
    ],
)
def test_other_sensors_records_with_labels(
    shared: Path, read_flow_log: Callable[[Path], NDArray[np.void]], nobody: Denied,
    name: str, guilty: str, title: str,
) -> None:  # fmt: skip
    """Zeek's and Argus' records: the labelled scanner and nobody else."""
    flows = read_flow_log(shared / "flowlogs" / name)
    detectors = build(DetectSettings(), denied=nobody, zones=())
    now = float(flows["end"].max()) / 1e9
    found = [finding for detector in detectors for finding in detector.flows(flows, now)]
    assert {finding.subject for finding in found} == ({guilty} if guilty else set())
    assert any(title in finding.title for finding in found) or not guilty


def test_a_replay_finds_the_same(shared: Path, nobody: Denied) -> None:
    """The same capture twice gives equal findings, to the last field."""
    path = shared / "pcap/detect/Pcaphunt__ps-udp.pcap"
    once = findings(path, DetectSettings(), nobody)
    assert once == findings(path, DetectSettings(), nobody)
