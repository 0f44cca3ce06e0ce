"""Real attack tools against real servers in namespaces: what the detectors say of the packets.

    python benchmarks/attacks [--only WORD] [--kind attacks|benign] [--keep DIR] [--workers N]
                              [--json]

Needs root and the Debian packages nmap masscan hping3 onesixtyone sipvicious hydra medusa ncrack
slowhttptest iodine dns2tcp ptunnel dsniff ettercap-text-only thc-ipv6 yersinia tor openvpn stunnel4
sip-tester krb5-user freeradius-utils udhcpc arping apache2-utils tcpdump rsync, and as
servers openssh-server nginx-light vsftpd dovecot-imapd dovecot-pop3d postfix kamailio krb5-kdc
krb5-admin-server freeradius snmpd unbound dnsmasq-base keepalived.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from attacks.cases import Case, cases
from attacks.servers import logged, serve
from attacks.stage import stage
from attacks.told import stretched, told, told_by_log
from measure import say

if TYPE_CHECKING:
    from ipwatchd.records.finding import Finding


def record(case: Case, path: Path) -> tuple[str, list[bytes]]:
    """Play a case and write its packets to `path`; return what tool and server's log said."""
    said = ""
    with ExitStack() as more:
        scene = stage(more)
        for server in case.servers:
            serve(scene, server)
        with scene.recording(case.side, path, case.snap):
            for host, command in case.steps:
                if host == "+":
                    serve(scene, command)
                elif host.endswith("&"):
                    scene.start(host[:-1], command, ("wait", 15))
                else:
                    said += scene.run(host, command, case.seconds)
        lines = logged(scene, case.log) if case.log else []
    if case.stretch != 1:
        stretched(path, case.stretch)
    return said, lines


def judge(case: Case, found: list[Finding]) -> dict[str, Any]:
    """Return what was found of a case: hit or missed, true besides, and not expected."""
    rules = case.expect.split("|") if case.expect else []
    hits = [one for one in found if one.rule in rules and case.subject in {"*", one.subject}]
    also = {tuple(one.split(" ", 1)) for one in case.also}
    others = [
        one for one in found
        if one not in hits and not also & {(one.rule, one.subject), (one.rule, "*")}
    ]  # fmt: skip
    return {
        "name": case.name, "expect": case.expect, "subject": case.subject,
        "verdict": ("found" if hits else "missed") if rules else "quiet" if not others else "false",
        "hits": [one.title for one in hits],
        "others": [f"{one.rule}: {one.title}" for one in others],
        "true_besides": len(found) - len(hits) - len(others),
    }  # fmt: skip


def play(case: Case, folder: Path) -> dict[str, Any]:
    """Record a case and judge what is said of it; what fails is told in the result."""
    path = folder / case.capture
    try:
        said, lines = record(case, path)
        found, flows, events = told(path)
    except (OSError, RuntimeError) as error:
        return {"name": case.name, "expect": case.expect, "verdict": "broken", "why": str(error)}
    path.with_suffix(".txt").write_text(said, "utf-8")
    result = judge(case, found) | {"flows": flows, "events": events}
    if case.log:
        path.with_suffix(".log").write_bytes(b"\n".join(lines))
        by_log = judge(case, told_by_log(lines))
        result["log"] = by_log["verdict"]
        result["log_says"] = (by_log["hits"] or [""])[0]
    print(f"{result['verdict']:7} {case.name}", file=sys.stderr, flush=True)
    return result


def table(results: list[dict[str, Any]]) -> list[str]:
    """Return the results as a Markdown table."""
    lines = [
        "| tool | expected | from packets | from the log | what is said | besides |",
        "|---|---|---|---|---|---|",
    ]
    for one in results:
        besides = "; ".join(one.get("others", ())) or one.get("why", "")
        title = (one.get("hits") or [one.get("log_says", "")])[0]
        expected = one["expect"].replace("|", " or ") or "nothing"
        cells = (one["name"], expected, one["verdict"], one.get("log", ""), title, besides)
        lines.append("| " + " | ".join(cells).replace("\n", " ") + " |")
    return lines


def main() -> None:
    """Play, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name has this word")
    parser.add_argument("--kind", choices=("attacks", "benign", "all"), default="all")
    parser.add_argument("--keep", type=Path, help="a folder for the captures")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    kinds = {"all": {True, False}, "benign": {True}, "attacks": {False}}[chosen.kind]
    wanted = [case for case in cases() if chosen.only in case.name and case.benign in kinds]
    if not wanted:
        raise SystemExit(f"no case has {chosen.only!r} in its name: see attacks/cases.toml")
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(chosen.workers) as pool:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = list(pool.map(lambda case: play(case, folder), wanted))
    say({"cases": results}, table(results))


if __name__ == "__main__":
    main()
