"""Precision and recall of each detector on labelled captures, and what all of them cost.

    python benchmarks/detect.py DATA [--only captures|speed|memory|day]... [--json]

DATA is a folder with EXPECTED_detect.csv and pcap/; captures alone need it. Captures without a
label are taken for benign. A finding is right where the label says so: of that rule, about that
address. speed is flows a second of one core by kind of traffic, memory what a process holds after
a million addresses, day a site's day with and without attacks. All of it takes some five minutes.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import detect_load as load
import numpy as np
from detect_load import BATCH, ENRICHER, detectors, nobody
from measure import say
from site_attacks import ATTACKS
from site_day import benign_day

from ipwatchd.capture import CaptureFileError, read_files
from ipwatchd.config.settings import CaptureSettings
from ipwatchd.detect import RULES, Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ipwatchd.records.finding import Finding

__all__ = ["ENRICHER", "KINDS", "captures", "nobody", "quality", "replay"]

KINDS = {
    "port_scan": "port-scan", "port_scan_udp": "port-scan", "port_scan_fin": "port-scan",
    "host_sweep_tcp": "port-scan", "host_sweep_icmp": "port-scan", "syn_flood": "flood",
    "brute_force_ftp": "password-guessing", "brute_force_ssh": "password-guessing",
    "dns_tunnel": "dns-tunnel", "beaconing": "beaconing", "arp_scan": "neighbour-sweep",
    "arp_spoof": "lan-spoofing", "dhcp_flood": "rogue-dhcp", "upload_anomaly": "unusual-upload",
    "web_attack_sqli": "(needs payload)", "web_attack_xss": "(needs payload)",
}  # fmt: skip
LABELS = "EXPECTED_detect.csv"
PARTS = ("captures", "speed", "memory", "day")
ADDRESSES = 1_000_000
CLIENTS = 200_000  # of events: three times what a table holds, and a minute's work


def replay(path: Path) -> tuple[list[Finding], int]:
    """Return the findings of a capture, one for each key, and its flows."""
    found: dict[str, Finding] = {}
    flows = 0
    all_of_them = detectors()
    for delivery in read_files([path], CaptureSettings()):
        ENRICHER.flows(delivery.flows)
        flows += len(delivery.flows)
        batch = Batch(delivery.flows)
        for detector in all_of_them:
            for finding in detector.events(delivery.events, delivery.now):
                found[finding.key] = finding
            for finding in detector.batch(batch, delivery.now):
                found[finding.key] = finding
    return list(found.values()), flows


def captures(data: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield each capture and its label."""
    with (data / LABELS).open(encoding="utf-8") as rows:
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
    for done, (path, label) in enumerate(captures(data)):
        if not done % 50:
            told(f"captures: {done} read")
        try:
            found, number = replay(path)
        except CaptureFileError:
            continue
        flows += number
        attack = label.get("expect") == "alert"
        rule = KINDS.get(label.get("kinds", ""), "") if attack else ""
        about = f"{label.get('guilty', '')} {label.get('victim', '')}".split()
        rules = (
            {rule, "slow-scan"} if rule == "port-scan" else {rule}
        )  # by hours, it is the slow one
        hits = [one for one in found if one.rule in rules and one.subject in about]
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


def judged(flows: NDArray[np.void]) -> tuple[dict[str, Finding], float]:
    """Return the findings of flows by key, and flows a second with all detectors on."""
    found: dict[str, Finding] = {}
    every = detectors()
    begun = time.process_time()
    for first in range(0, len(flows), BATCH):
        part = flows[first : first + BATCH]
        batch = Batch(part)
        now = float(part["end"].max()) / 1e9
        for detector in every:
            found |= {one.key: one for one in detector.batch(batch, now)}
    return found, len(flows) / (time.process_time() - begun)


def day() -> dict[str, Any]:
    """Return what is said of a benign day, and which attacks are found in it, weak and strong."""
    told("day: the benign one")
    benign = benign_day()
    found, rate = judged(benign)
    result: dict[str, Any] = {
        "flows": len(benign), "flows_per_second": round(rate),
        "false_findings": [one.title for one in found.values()],
    }  # fmt: skip
    for strength in (1, 4):
        told(f"day: attacks of strength {strength}")
        dice = np.random.default_rng(3)
        mixed = np.concatenate([benign, *(one.make(dice, strength) for one in ATTACKS)])
        found, _ = judged(mixed[np.argsort(mixed["end"], kind="stable")])
        said = {(one.rule, one.subject) for one in found.values()}
        meant = {(one.rule, one.subject) for one in ATTACKS}
        result[f"strength_{strength}"] = {
            "attacks": len(meant), "found": len(meant & said),
            "missed": sorted(meant - said), "other": sorted(said - meant),
        }  # fmt: skip
    return result


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


def told(word: str) -> None:
    """Say on standard error what goes on."""
    print(word, file=sys.stderr, flush=True)


def speed() -> dict[str, dict[str, float]]:
    """Return what each kind of traffic costs."""
    result = {}
    for kind in load.KINDS:
        told(f"speed: {kind}")
        result[kind] = load.cost(kind, 20)
    return result


def held() -> dict[str, dict[str, float]]:
    """Return the memory after so many addresses of each kind."""
    result = {}
    for kind in load.HELD:
        told(f"memory: {kind}")
        result[kind] = load.memory(kind, CLIENTS if kind == "events" else ADDRESSES, told)
    return result


def lines_of(result: dict[str, Any]) -> list[str]:
    """Return the result for people to read."""
    lines: list[str] = []
    if found := result.get("captures"):
        lines += [
            *table(found), "",
            f"flows read: {found['flows']:,}, not of an attack: {found['benign_flows']:,}",
            "", "Missed:", "", *(f"- {one}" for one in found["missed"]),
            "", "Other findings:", "", *(f"- {one}" for one in found["others"]), "",
        ]  # fmt: skip
    for kind, costs in result.get("speed", {}).items():
        dearest = ", ".join(f"{rule} {ns}" for rule, ns in [*costs.items()][1:])
        lines.append(f"{load.KINDS[kind]}: {costs['flows_per_second']:,} flows/s (ns: {dearest})")
    for kind, sizes in result.get("memory", {}).items():
        lines.append(f"{load.HELD[kind]}: {sizes}")
    if "day" in result:
        lines.append(f"a site's day: {result['day']}")
    return lines


def arguments() -> argparse.Namespace:
    """Return the command line; says what is missing where DATA is needed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    given.only = given.only or list(PARTS)
    if "captures" in given.only and not (given.data and (given.data / LABELS).is_file()):
        where = f"{given.data} has none" if given.data else "none was given"
        parser.error(
            f"captures need a folder DATA with {LABELS}, and {where}: name it, or choose other "
            "parts (--only speed --only memory --only day)"
        )
    return given


def main() -> None:
    """Measure and print."""
    given = arguments()
    parts: dict[str, Callable[[], Any]] = {
        "captures": lambda: quality(given.data), "speed": speed, "memory": held, "day": day,
    }  # fmt: skip
    result = {part: parts[part]() for part in PARTS if part in given.only}
    say(result, lines_of(result))


if __name__ == "__main__":
    main()
