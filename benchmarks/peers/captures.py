"""The labelled captures before Suricata, and before us: who names which of them."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from attacks.cases import cases
from attacks.flowlogs import findings
from detect import KINDS, captures, replay
from peers.progress import tell
from peers.slips import PUBLISHED

from ipwatchd.capture import CaptureFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from peers.suricata import Alert, Suricata

    from ipwatchd.records.finding import Finding

__all__ = ["slips", "wire"]

SIGNATURES: Final = (
    ("flood", r"DOS|DDoS|Amplification"),
    ("dns-tunnel", r"tunnel|Non-DNS|NXDOMAIN"),
    ("password-guessing", r"SSH|Brute|Login|REGISTER|Hydra|Sipvicious|SIP|Terminal|VNC Scan"),
    *((rule, r"SCAN|Scan") for rule in ("port-scan", "slow-scan", "distributed-scan")),
)  # fmt: skip
"""Our rules → what the names of signatures say. A signature may stand for several."""


def rules_of(signature: str) -> set[str]:
    """Return the rules that a signature stands for."""
    return {rule for rule, words in SIGNATURES if re.search(words, signature)}


class Case(NamedTuple):
    """A capture: the rules of which one must be told (none: nothing), of whom ("*": anybody).

    `also` are (rule, subject) that are true of it besides.
    """

    path: Path
    rules: tuple[str, ...]
    about: frozenset[str]
    also: frozenset[tuple[str, str]] = frozenset()

    def names(self, *who: str) -> bool:
        """Tell whether one of these is whom it is about."""
        return bool(self.about & {"*", *who})


def wire(data: Path, kept: Path | None, peer: Suricata, off: set[str]) -> dict[str, Any]:
    """Return what was found of the captures, and what else was said, by rule and by signature.

    `off` are signatures that the set of rules ships disabled: without them, and with them.
    """
    besides: Counter[str] = Counter()
    result: dict[str, Any] = {"counts": {}, "missed_by_one": [], "besides": besides}
    for case in _kept(kept) if kept else _labelled(data):
        tell(case.path.name)
        try:
            found, _ = replay(case.path)
            theirs = peer.alerts(case.path)
        except (CaptureFileError, subprocess.SubprocessError):
            besides["captures that one of both could not read"] += 1
            continue
        besides["captures"] += 1
        _compare(case, found, theirs, off, result)
    result["besides"] = dict(besides.most_common())
    return result


def _compare(
    case: Case, found: Sequence[Finding], theirs: Sequence[Alert], off: set[str],
    result: dict[str, Any],
) -> None:  # fmt: skip
    right = {
        one.signature for one in theirs
        if rules_of(one.signature) & {*case.rules} and case.names(one.source, one.destination)
    }  # fmt: skip
    hits = [one for one in found if one.rule in case.rules and case.names(one.subject)]
    if case.rules:
        count = result["counts"].setdefault(case.rules[0], Counter())
        count.update(
            labelled=1, suricata=int(bool(right - off)), suricata_all=int(bool(right)),
            ours=int(bool(hits)),
        )  # fmt: skip
        if not hits or not right:
            result["missed_by_one"].append(
                f"{case.path.name}: {case.rules[0]}, ours {bool(hits)}, theirs {bool(right)}"
            )
    true = {(one.rule, who) for one in found for who in (one.subject, "*")} & case.also
    result["besides"].update(
        f"{'disabled ' * (name in off)}{name}" for name in {one.signature for one in theirs} - right
    )
    result["besides"].update(
        f"ours: {one.rule}" for one in found
        if one not in hits and not {(one.rule, one.subject), (one.rule, "*")} & true
    )  # fmt: skip


def _labelled(data: Path) -> Iterator[Case]:
    for path, label in captures(data):
        rule = KINDS.get(label.get("kinds", ""), "") if label.get("expect") == "alert" else ""
        about = f"{label.get('guilty', '')} {label.get('victim', '')}".split()
        rules = ("port-scan", "slow-scan") if rule == "port-scan" else (rule,) if rule else ()
        yield Case(path, rules, frozenset(about))


def _kept(folder: Path) -> Iterator[Case]:
    """Yield the captures that attacks kept."""
    for case in cases():
        path = folder / case.capture
        if path.exists():
            rules = tuple(case.expect.split("|")) if case.expect else ()
            also = frozenset((one.partition(" ")[0], one.partition(" ")[2]) for one in case.also)
            yield Case(path, rules, frozenset({case.subject}), also)


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
