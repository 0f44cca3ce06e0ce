"""The labelled captures before Suricata, and before us: who names which of them."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from attacks_flowlogs import findings
from detect import KINDS, captures, replay
from peers.progress import tell
from peers.slips import PUBLISHED

from ipwatchd.capture import CaptureFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peers.suricata import Suricata

__all__ = ["slips", "wire"]

SIGNATURES: Final = (
    ("flood", r"DOS|DDoS|Amplification"),
    ("dns-tunnel", r"tunnel|Non-DNS|NXDOMAIN"),
    ("password-guessing", r"SSH|Brute|Login|REGISTER|Hydra|Sipvicious|SIP|Terminal|VNC Scan"),
    ("port-scan", r"NMAP|SCAN|PING|Scan|masscan"),
)  # fmt: skip
"""Our rules → what the names of signatures say. A signature may stand for several."""


def rules_of(signature: str) -> set[str]:
    """Return the rules that a signature stands for."""
    return {rule for rule, words in SIGNATURES if re.search(words, signature)}


class Case(NamedTuple):
    """A capture: the rule that must be told ("" for none), and of whom."""

    path: Path
    rule: str
    about: frozenset[str]


def wire(data: Path, kept: Path | None, peer: Suricata, off: set[str]) -> dict[str, Any]:
    """Return what was found of the captures, and what else was said, by rule and by signature.

    `off` are signatures that the set of rules ships disabled: without them, and with them.
    """
    counts: dict[str, Counter[str]] = {}
    besides: Counter[str] = Counter()
    missed = []
    for case in (*_labelled(data), *(_kept(kept) if kept else ())):
        tell(case.path.name)
        try:
            found, _ = replay(case.path)
            theirs = peer.alerts(case.path)
        except (CaptureFileError, subprocess.SubprocessError):
            besides["captures that one of both could not read"] += 1
            continue
        besides["captures"] += 1
        right = {
            one.signature for one in theirs
            if case.rule in rules_of(one.signature) and {one.source, one.destination} & case.about
        }  # fmt: skip
        mine = any(one.rule == case.rule and one.subject in case.about for one in found)
        if case.rule:
            count = counts.setdefault(case.rule, Counter())
            count.update(
                labelled=1, suricata=bool(right - off), suricata_all=bool(right), ours=mine
            )
            if not mine or not right:
                missed.append(f"{case.path.name}: {case.rule}, ours {mine}, theirs {bool(right)}")
        besides.update(
            f"{'disabled ' * (name in off)}{name}"
            for name in {one.signature for one in theirs} - right
        )
        besides.update(
            f"ours: {one.rule}" for one in found
            if one.rule != case.rule or one.subject not in case.about
        )  # fmt: skip
    return {"counts": counts, "missed_by_one": missed, "besides": dict(besides.most_common())}


def _labelled(data: Path) -> Iterator[Case]:
    for path, label in captures(data):
        rule = KINDS.get(label.get("kinds", ""), "") if label.get("expect") == "alert" else ""
        about = f"{label.get('guilty', '')} {label.get('victim', '')}".split()
        yield Case(path, rule, frozenset(about))


def _kept(folder: Path) -> Iterator[Case]:
    """Yield the captures that attacks.py kept."""
    from attacks_cases import ATTACKS, BENIGN

    for case in (*ATTACKS, *BENIGN):
        path = folder / ("".join(c if c.isalnum() else "-" for c in case.name) + ".pcap")
        if path.exists():
            yield Case(path, case.expect.partition("|")[0], frozenset({case.subject}))


def slips(data: Path) -> list[dict[str, Any]]:
    """Return Slips' published alerts, and what we say of the same file."""
    result = []
    for one in PUBLISHED:
        path = data / one.file
        try:
            found = replay(path)[0] if one.file.startswith("pcap/") else findings(path)[0]
        except (KeyError, ValueError):
            answer = "not read: records of a protocol and no flows"
        else:
            same = [f for f in found if f.rule == one.rule and one.subject in {"*", f.subject}]
            answer = "; ".join(f.title for f in same) or "nothing of the kind"
        result.append({"file": path.name, "slips": one.says, "known_by": one.sure, "ours": answer})
    return result
