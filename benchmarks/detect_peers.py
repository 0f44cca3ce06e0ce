"""The detectors beside CrowdSec, fail2ban, Suricata and Slips on the same logs and captures.

    python benchmarks/detect_peers.py DATA [--crowdsec DIR] [--suricata-root DIR] [--rules FILE ...]
        [--more-rules FILE ...] [--captures DIR] [--logs DIR] [--only logs,filters,captures,slips]
        [--json]

DATA is a folder with EXPECTED_detect.csv, pcap/ and logs/. What is missing is said and left out.

CrowdSec: DIR is Debian's package crowdsec, unpacked (`apt-get download crowdsec`, `dpkg-deb -x`);
it brings an offline copy of its hub. fail2ban: Debian's package fail2ban. Suricata: Debian's
package suricata (here, or with --suricata-root the tree of another release, see
capture_files.py); its rules are brought by --rules, e.g. ET Open's emerging-scan.rules, and by
--more-rules those that the set ships disabled. Slips is not run: what it publishes is held against.
--captures is a folder of attacks --keep, --logs one of further logs of real programs.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from measure import say
from peers.captures import slips, wire
from peers.crowdsec import CrowdSec
from peers.logs import filters, logs, neutral, real
from peers.suricata import Suricata


def crowdsec_of(package: Path | None, folder: Path) -> CrowdSec | str:
    """Return CrowdSec, or the sentence that says why it is not compared."""
    if package is None or not (package / "usr/bin/crowdsec").exists():
        return "CrowdSec is left out: apt-get download crowdsec; dpkg-deb -x it DIR; --crowdsec DIR"
    try:
        return CrowdSec(package, folder)
    except (OSError, subprocess.SubprocessError) as error:
        return f"CrowdSec is left out, its package can't be used: {error}"


def suricata_of(chosen: argparse.Namespace) -> Suricata | str:
    """Return Suricata, or the sentence that says why it is not compared."""
    if not chosen.rules:
        return "Suricata is left out: bring its rules by --rules (ET Open's emerging-scan.rules …)"
    if not chosen.suricata_root and not shutil.which("suricata"):
        return "Suricata is left out: apt-get install suricata, or --suricata-root DIR"
    return Suricata([*chosen.rules, *chosen.more_rules], chosen.suricata_root)


def signatures(files: list[Path]) -> set[str]:
    """Return what the rules of files say."""
    return {
        name for path in files for name in re.findall(r'msg:"([^"]*)"', path.read_text("utf-8"))
    }


def measured(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what of the parts was asked for and can be had."""
    result: dict[str, Any] = {"left_out": []}
    if "logs" in chosen.only:
        peer = crowdsec_of(chosen.crowdsec, folder / "crowdsec")
        if isinstance(peer, str):
            result["left_out"].append(peer)
        elif chosen.logs:
            result["real"] = real(chosen.logs, peer)
        result["logs"] = logs(chosen.data, peer)
    if "filters" in chosen.only and shutil.which("fail2ban-regex"):
        result["filters"] = filters(chosen.data)
        result["neutral"] = neutral([chosen.data / "logs", *([chosen.logs] if chosen.logs else [])])
    elif "filters" in chosen.only:
        result["left_out"].append("fail2ban is left out: apt-get install fail2ban")
    if "captures" in chosen.only:
        wired = suricata_of(chosen)
        if isinstance(wired, str):
            result["left_out"].append(wired)
        else:
            off = signatures(chosen.more_rules)
            result["captures"] = wire(chosen.data, None, wired, off)
            if chosen.captures:
                result["tools"] = wire(chosen.data, chosen.captures, wired, off)
            wired.close()
    if "slips" in chosen.only:
        result["slips"] = slips(chosen.data)
    return result


COLUMNS = {
    "logs": ("labelled", "crowdsec", "ours", "ours_at_5", "ours_three_times"),
    "captures": ("labelled", "suricata", "suricata_all", "ours"),
    "tools": ("labelled", "suricata", "suricata_all", "ours"),
}


def table(counts: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    """Return counts by rule as a Markdown table."""
    lines = [f"| rule | {' | '.join(one.replace('_', ' ') for one in columns)} |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for rule, count in sorted(counts.items()):
        lines.append(f"| {rule} | {' | '.join(str(count.get(one, 0)) for one in columns)} |")
    return lines


def rows(found: list[dict[str, Any]]) -> list[str]:
    """Return rows that have the same names as a Markdown table."""
    names = list(dict.fromkeys(name for row in found for name in row))
    return [
        f"| {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * len(names) + "|",
        *(f"| {' | '.join(str(row.get(name, '')) for name in names)} |" for row in found),
    ]  # fmt: skip


def shown(result: dict[str, Any]) -> list[str]:
    """Return all of it as text."""
    lines = list(result["left_out"])
    for name, columns in COLUMNS.items():
        if part := result.get(name):
            lines += ["", f"## {name}", "", *table(part["counts"], columns)]
            for heading, more in part.items():
                if heading != "counts":
                    lines += ["", f"{heading}:".replace("_", " "), ""]
                    pairs = more.items() if isinstance(more, dict) else ((one, "") for one in more)
                    lines += [f"- {one} {count}".rstrip() for one, count in pairs]
    for name in ("real", "filters", "neutral", "slips"):
        if name in result:
            lines += ["", f"## {name}", "", *rows(result[name])]
    return lines


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--crowdsec", type=Path)
    parser.add_argument("--suricata-root", default="")
    parser.add_argument("--rules", type=Path, nargs="*", default=[])
    parser.add_argument("--more-rules", type=Path, nargs="*", default=[])
    parser.add_argument("--captures", type=Path)
    parser.add_argument("--logs", type=Path)
    parser.add_argument("--only", default="logs,filters,captures,slips")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measured(chosen, Path(folder))
    say(result, shown(result))


if __name__ == "__main__":
    main()
