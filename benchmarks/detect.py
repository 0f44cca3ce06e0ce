"""Precision and recall of each detector on labelled captures, and what all of them cost.

    python benchmarks/detect.py DATA [--json]

DATA is a folder with EXPECTED_detect.csv and pcap/. Captures without a label are taken for benign.
A finding is right where the label says so: of that rule, about that address.
"""

from __future__ import annotations

import csv
import sys
import time
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import say
from site_day import ATTACKS, benign_day

from ipwatchd.capture import CaptureFileError, read_files
from ipwatchd.config.settings import PRIVATE, CaptureSettings, DetectSettings, GeoSettings
from ipwatchd.detect import RULES, build
from ipwatchd.enrich import Enricher
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.flow import STATES, empty_flows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ipwatchd.records.finding import Finding

KINDS = {
    "port_scan": "port-scan", "port_scan_udp": "port-scan", "port_scan_fin": "port-scan",
    "host_sweep_tcp": "port-scan", "host_sweep_icmp": "port-scan", "syn_flood": "flood",
    "brute_force_ftp": "password-guessing", "brute_force_ssh": "password-guessing",
    "dns_tunnel": "dns-tunnel", "beaconing": "beaconing", "arp_scan": "neighbour-sweep",
    "arp_spoof": "lan-spoofing", "dhcp_flood": "rogue-dhcp", "upload_anomaly": "unusual-upload",
    "web_attack_sqli": "(needs payload)", "web_attack_xss": "(needs payload)",
}  # fmt: skip
BATCH = 20_000
ENRICHER = Enricher({"inside": PRIVATE}, GeoSettings())


def nobody(hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Deny nobody."""
    return np.zeros(len(hi), np.bool_) & (lo == 0)


def detectors() -> list[Any]:
    """Return all detectors with their defaults."""
    return list(build(DetectSettings(), denied=nobody, zones=(), place=ENRICHER.place))


def replay(path: Path) -> tuple[list[Finding], int]:
    """Return the findings of a capture, one for each key, and its flows."""
    found: dict[str, Finding] = {}
    flows = 0
    all_of_them = detectors()
    for delivery in read_files([path], CaptureSettings()):
        ENRICHER.flows(delivery.flows)
        flows += len(delivery.flows)
        for detector in all_of_them:
            for finding in detector.events(delivery.events, delivery.now):
                found[finding.key] = finding
            for finding in detector.flows(delivery.flows, delivery.now):
                found[finding.key] = finding
    return list(found.values()), flows


def captures(data: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield each capture and its label."""
    with (data / "EXPECTED_detect.csv").open(encoding="utf-8") as rows:
        labels = {row["file"]: row for row in csv.DictReader(rows)}
    for folder in ("detect", "flows", "encap"):
        for path in sorted((data / "pcap" / folder).iterdir()):
            if path.suffix != ".json":
                yield path, labels.get(str(path.relative_to(data)), {})


def quality(data: Path) -> dict[str, Any]:
    """Return hits, misses and other findings by rule, over all captures."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    missed: list[str] = []
    others: list[str] = []
    flows = benign_flows = 0
    for path, label in captures(data):
        try:
            found, number = replay(path)
        except CaptureFileError:
            continue
        flows += number
        attack = label.get("expect") == "alert"
        rule = KINDS.get(label.get("kinds", ""), "") if attack else ""
        about = f"{label.get('guilty', '')} {label.get('victim', '')}".split()
        hits = [one for one in found if one.rule == rule and one.subject in about]
        if rule:
            counts[rule]["found" if hits else "missed"] += 1
            if not hits:
                missed.append(f"{path.name} ({label['kinds']})")
        else:
            benign_flows += number
        for one in found:
            if one not in hits:
                counts[one.rule]["other"] += 1
                others.append(f"{path.name}: {one.title}")
    return {
        "rules": {rule: dict(count) for rule, count in sorted(counts.items())}, "missed": missed,
        "others": others, "flows": flows, "benign_flows": benign_flows,
    }  # fmt: skip


def made(kind: str, seed: int) -> NDArray[np.void]:
    """Return a second of traffic: benign clients, or a SYN flood with forged sources.

    Of kind twice each source comes in two batches, with another port.
    """
    if kind == "twice":
        flows = made("forged", seed // 2)
        flows["resp_port"] = flows["resp_port"] ^ (seed % 2)
        return flows
    dice = np.random.default_rng(seed)
    flows = empty_flows(BATCH)
    flows["start"] = (1000 + seed) * 10**9 + dice.integers(0, 10**9, BATCH)
    flows["end"] = flows["start"] + dice.integers(0, 10**9, BATCH)
    flows["proto"] = 6
    if kind == "forged":
        flows["orig_lo"] = V4_PREFIX | dice.integers(1 << 24, 1 << 31, BATCH)
        flows["resp_lo"] = V4_PREFIX | (10 << 24) | dice.integers(0, 256, BATCH)
        flows["resp_port"] = dice.integers(1, 65535, BATCH)
        flows["state"], flows["orig_flags"], flows["direction"] = STATES.index("S0"), 2, 1
        flows["orig_packets"], flows["orig_bytes"] = 1, 44
        return flows
    flows["orig_lo"] = V4_PREFIX | (10 << 24) | dice.integers(0, 5000, BATCH)
    flows["resp_lo"] = V4_PREFIX | (203 << 24) | dice.integers(0, 20_000, BATCH)
    flows["resp_port"] = dice.choice([443, 443, 443, 80, 53, 22, 5060], BATCH)
    flows["proto"][flows["resp_port"] == 53] = 17
    flows["state"], flows["direction"] = STATES.index("SF"), 2
    flows["orig_packets"] = flows["resp_packets"] = 10
    flows["orig_bytes"] = dice.integers(400, 30_000, BATCH)
    flows["resp_bytes"] = dice.integers(400, 90_000, BATCH)
    flows["orig_flags"] = flows["resp_flags"] = 27
    return flows


def cost(kind: str, batches: int) -> dict[str, float]:
    """Return flows a second of one core, with all detectors on, and ns a flow of each."""
    spent: Counter[str] = Counter()
    every = detectors()
    for seed in range(batches):
        flows = made(kind, seed)
        for detector in every:
            begun = time.process_time()
            detector.flows(flows, 1001.0 + seed)
            spent[detector.rule] += time.process_time() - begun  # type: ignore[assignment]
    total = batches * BATCH
    rates = {rule: round(cpu / total * 1e9) for rule, cpu in spent.most_common(6)}
    return {"flows_per_second": round(total / sum(spent.values())), **rates}


def judged(flows: NDArray[np.void]) -> tuple[dict[str, Finding], float]:
    """Return the findings of flows by key, and flows a second with all detectors on."""
    found: dict[str, Finding] = {}
    every = detectors()
    begun = time.process_time()
    for first in range(0, len(flows), BATCH):
        part = flows[first : first + BATCH]
        now = float(part["end"].max()) / 1e9
        for detector in every:
            found |= {one.key: one for one in detector.flows(part, now)}
    return found, len(flows) / (time.process_time() - begun)


def day() -> dict[str, Any]:
    """Return what is said of a benign day, and which attacks are found in it, weak and strong."""
    benign = benign_day()
    found, rate = judged(benign)
    result: dict[str, Any] = {
        "flows": len(benign), "flows_per_second": round(rate),
        "false_findings": [one.title for one in found.values()],
    }  # fmt: skip
    for strength in (1, 4):
        dice = np.random.default_rng(3)
        mixed = np.concatenate([benign, *(one.make(dice, strength) for one in ATTACKS)])
        found, _ = judged(mixed[np.argsort(mixed["end"], kind="stable")])
        told = {(one.rule, one.subject) for one in found.values()}
        meant = {(one.rule, one.subject) for one in ATTACKS}
        result[f"strength_{strength}"] = {
            "attacks": len(meant), "found": len(meant & told),
            "missed": sorted(meant - told), "other": sorted(told - meant),
        }  # fmt: skip
    return result


def memory(addresses: int) -> dict[str, float]:
    """Return MB held after flows of so many addresses that were never seen before."""
    tracemalloc.start()
    every = detectors()
    before = tracemalloc.get_traced_memory()[0]
    for seed in range(2 * addresses // BATCH):
        flows = made("twice", seed)
        for detector in every:
            detector.flows(flows, 1001.0 + seed / 100)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    shed = sum(
        count for one in every for name, count in one.counters().items() if name.endswith("shed")
    )
    return {"addresses": addresses, "megabytes": round(held / 1e6, 1), "shed": shed}


def table(found: dict[str, Any]) -> list[str]:
    """Return precision and recall as a Markdown table."""
    lines = [
        "| rule | labelled attacks | found | other findings | recall | precision |",
        "|---|---|---|---|---|---|",
    ]
    for rule in [*(kind.rule for kind in RULES), "(needs payload)"]:
        count = found["rules"].get(rule, {})
        hits, missed, other = (count.get(name, 0) for name in ("found", "missed", "other"))
        recall = f"{hits / (hits + missed):.2f}" if hits + missed else "no label"
        precision = f"{hits / (hits + other):.2f}" if hits + other else "none"
        lines.append(f"| {rule} | {hits + missed} | {hits} | {other} | {recall} | {precision} |")
    return lines


def main() -> None:
    """Measure and print."""
    data = Path(next(word for word in sys.argv[1:] if not word.startswith("--")))
    found = quality(data)
    result = {
        "quality": found, "benign": cost("benign", 20), "forged": cost("forged", 20),
        "twice": cost("twice", 20), "day": day(),
        "memory": memory(1_000_000),
    }  # fmt: skip
    lines = [
        *table(found), "",
        f"flows read: {found['flows']:,}, not of an attack: {found['benign_flows']:,}",
        "", "Missed:", "",
        *(f"- {one}" for one in found["missed"]), "", "Other findings:", "",
        *(f"- {one}" for one in found["others"]), "",
        f"benign traffic: {result['benign']}", f"forged sources: {result['forged']}",
        f"forged sources that come twice: {result['twice']}", f"memory: {result['memory']}",
        f"a site's day: {result['day']}",
    ]  # fmt: skip
    say(result, lines)


if __name__ == "__main__":
    main()
