"""What the detectors say of other sensors' flow records with labels (Zeek, Argus).

    python benchmarks/attacks/flowlogs.py DATA [--json]

DATA is a folder with EXPECTED_flowlogs.csv and flowlogs/. Each row of it is a file, what it must
give and who is guilty; records of protocols (smtp) are no flows and are counted as not read.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measure import say

from ipwatchd.config.settings import PRIVATE, DetectSettings, GeoSettings
from ipwatchd.detect import build
from ipwatchd.enrich import Enricher
from tests.detect.flow_logs import flow_log

KINDS = {"port_scan": "port-scan", "host_sweep": "port-scan", "brute_force": "password-guessing"}


def findings(path: Path) -> tuple[list[Any], int]:
    """Return the findings of a file, the last of each key, and its flows."""
    flows = flow_log(path)
    flows = flows[np.argsort(flows["end"], kind="stable")]
    enricher = Enricher({"inside": PRIVATE}, GeoSettings())
    enricher.flows(flows)
    found: dict[str, Any] = {}
    for detector in build(
        DetectSettings(), denied=lambda hi, lo: np.zeros(len(hi), np.bool_) & (lo == 0), zones=(),
        place=enricher.place,
    ):  # fmt: skip
        found |= {one.key: one for one in detector.flows(flows, float(flows["end"].max()) / 1e9)}
    return list(found.values()), len(flows)


def main() -> None:
    """Read, judge, print."""
    folders = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    if len(folders) != 1:
        raise SystemExit("usage: python benchmarks/attacks/flowlogs.py DATA [--json]")
    counts: dict[str, Counter[str]] = {}
    lines, rows = [], []
    with (folders[0] / "EXPECTED_flowlogs.csv").open(encoding="utf-8") as labels:
        for row in csv.DictReader(labels):
            kind = next(
                (rule for word, rule in KINDS.items() if row["expect"].startswith(word)), ""
            )
            try:
                found, flows = findings(folders[0] / row["file"])
            except (KeyError, ValueError) as error:
                lines.append(f"- {row['file']}: not read, these are no flows (no {error})")
                continue
            hits = [one for one in found if one.rule == kind and one.subject == row["guilty"]]
            others = [one for one in found if one not in hits]
            if kind:
                counts.setdefault(kind, Counter())["found" if hits else "missed"] += 1
            for one in others:
                counts.setdefault(one.rule, Counter())["other"] += 1
            said = "; ".join(one.title for one in found) or "nothing"
            lines.append(f"- {row['file']} ({flows} flows, {row['expect']}): {said}")
            rows.append({"file": row["file"], "flows": flows, "said": [one.title for one in found]})
    lines += [f"- {rule}: {dict(count)}" for rule, count in sorted(counts.items())]
    say({"files": rows, "rules": {rule: dict(count) for rule, count in counts.items()}}, lines)


if __name__ == "__main__":
    main()
