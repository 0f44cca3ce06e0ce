"""The labelled logs before CrowdSec and fail2ban, and before us: who names which of them."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peers import fail2ban, ours
from peers.crowdsec import CrowdSec
from peers.progress import tell

from ipwatchd.logs import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["filters", "logs", "neutral", "real"]

SCENARIOS: Final = (
    ("impossible-travel", r"impossible.travel"),
    ("port-scan", r"scan-multi"),
    ("api-abuse", r"dos|crawl|http-probing|req-limit"),
    ("password-guessing", r"bf\b|_bf|-bf|enum|brute|refused-conn|acl-reject"),
)
"""Our rule → what the names of CrowdSec's scenarios say that mean the same. The others look at what
a request holds (exploits, paths, user agents), which we do not."""
SAME: Final = {"password-guessing": {"password-guessing", "password-spraying", "api-abuse"}}
"""Rules of ours that answer for one: a guess at a web login is told by its refused requests."""
FILTERS: Final = {
    "sshd": "sshd[mode=aggressive]", "dovecot": "dovecot[mode=aggressive]",
    "postfix": "postfix[mode=aggressive]", "nginx-http-auth": "nginx-http-auth[mode=aggressive]",
    "traefik-auth": "traefik-auth[mode=aggressive]", "apache-auth": "apache-auth[mode=aggressive]",
}  # fmt: skip
"""fail2ban's filters that have modes → with the one that matches most."""


HOW: Final[dict[str, dict[str, int]]] = {
    "ours": {}, "ours_at_5": {"failures": 5}, "ours_three_times": {"times": 3},
}  # fmt: skip


NEUTRAL: Final = (
    (r"^ssh|openssh", "sshd[mode=aggressive]"), (r"dovecot", "dovecot[mode=aggressive]"),
    (r"postfix", "postfix[mode=aggressive]"), (r"exim", "exim[mode=aggressive]"),
    (r"vsftpd", "vsftpd"), (r"proftpd", "proftpd"), (r"pure-?ftpd", "pure-ftpd"),
    (r"asterisk", "asterisk"), (r"freeswitch", "freeswitch"), (r"dropbear", "dropbear"),
    (r"openvpn", "openvpn"), (r"mysql|mariadb", "mysqld-auth"), (r"webmin", "webmin-auth"),
    (r"guacamole", "guacamole"), (r"gitlab", "gitlab"), (r"bitwarden", "bitwarden"),
    (r"haproxy", "haproxy-http-auth"), (r"bind9|named", "named-refused"), (r"squid", "squid"),
    (r"nginx-http-generic|nginx-error", "nginx-http-auth[mode=aggressive]"),
    (r"apache-error", "apache-auth[mode=aggressive]"), (r"roundcube", "roundcube-auth"),
    (r"traefik", "traefik-auth[mode=aggressive]"), (r"pam-|sudo", "pam-generic"),
)  # fmt: skip
"""What names of logs say → the filter of fail2ban for that program."""


def meaning(name: str) -> str:
    """Return the rule that a scenario of CrowdSec stands for, or ""."""
    short = name.rpartition("/")[2]
    return next((rule for rule, words in SCENARIOS if re.search(words, short)), "")


def labelled_logs(data: Path) -> Iterator[tuple[Path, str, set[tuple[str, str]]]]:
    """Yield each log, its kind, and (rule, source) of the alerts that CrowdSec's tests expect."""
    for test in json.loads((data / "logs/crowdsec_alerts.json").read_text(encoding="utf-8")):
        labels = {
            (meaning(alert["scenario"] or ""), source)
            for alert in test["alerts"] for source in alert["sources"]
        }  # fmt: skip
        yield data / "logs" / test["log_file"], test["log_type_in"], labels


def logs(data: Path, peer: CrowdSec | str) -> dict[str, Any]:
    """Return what was found of the labelled logs: by CrowdSec as installed, and by us."""
    counts: dict[str, Counter[str]] = {}
    missed, extra = [], []
    for path, kind, labels in labelled_logs(data):
        tell(path.name)
        theirs = peer.alerts(path, kind) if isinstance(peer, CrowdSec) else set()
        told = {name: ours.log(path, **how) for name, how in HOW.items()}
        for rule, source in sorted(labels):
            count = counts.setdefault(rule or "content", Counter())
            count["labelled"] += 1
            count["crowdsec"] += any(meaning(one) == rule and who == source for one, who in theirs)
            for name, one in told.items():
                count[name] += _names(one.findings, rule, source)
            if rule and not _names(told["ours"].findings, rule, source):
                missed.append(f"{path.name}: {rule} {source}, {_why(told, rule, source)}")
        known = {source for rule, source in labels if rule}
        extra += [
            f"ours, {path.name}: {one.title}" for one in told["ours"].findings
            if one.subject not in known
        ]  # fmt: skip
        whose = {source for _, source in labels}
        extra += [
            f"CrowdSec, {path.name}: {one} {who}" for one, who in sorted(theirs) if who not in whose
        ]  # fmt: skip
    return {"counts": counts, "missed": missed, "extra": extra}


def _names(findings: Sequence[Any], rule: str, source: str) -> bool:
    wanted = SAME.get(rule, {rule})
    return any(one.rule in wanted and one.subject == source for one in findings)


def _why(told: dict[str, ours.Told], rule: str, source: str) -> str:
    if not told["ours"].events:
        return "no line of this program is read"
    if _names(told["ours_at_5"].findings, rule, source):
        return "under the line (5 would find it)"
    if _names(told["ours_three_times"].findings, rule, source):
        return "under the line"
    return "too few or too slow, or its lines name no such failures"


def filters(data: Path) -> list[dict[str, Any]]:
    """Return, for each filter of fail2ban, which of its labelled lines it and we match."""
    rows = [
        json.loads(line)
        for line in (data / "logs/fail2ban_lines.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    result = []
    for name in sorted({row["service"] for row in rows} & fail2ban.filters()):
        tell(name)
        mine = [row for row in rows if row["service"] == name and row["labelled"]]
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".log") as file:
            file.write("".join(row["line"] + "\n" for row in mine))
            file.flush()
            theirs = fail2ban.matched(Path(file.name), FILTERS.get(name, name)).matched
        reader = Reader()
        told = [
            (row, row["line"] in theirs, ours.refused(reader, row["line"]) is not None)
            for row in mine
        ]
        result.append({
            "filter": name, "failures": sum(row["is_failure"] for row in mine),
            "fail2ban": sum(hit for row, hit, _ in told if row["is_failure"]),
            "ours": sum(hit for row, _, hit in told if row["is_failure"]),
            "others": sum(not row["is_failure"] for row in mine),
            "fail2ban_false": sum(hit for row, hit, _ in told if not row["is_failure"]),
            "ours_false": sum(hit for row, _, hit in told if not row["is_failure"]),
        })  # fmt: skip
    return result


def neutral(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return how many lines of logs that neither was written for both take for a failure."""
    known = fail2ban.filters()
    result = []
    for path in sorted(one for folder in folders for one in folder.rglob("*.log")):
        name = next((rule for words, rule in NEUTRAL if re.search(words, path.name)), "")
        if name.partition("[")[0] not in known:
            continue
        tell(path.name)
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        theirs = fail2ban.matched(path, name).matched
        reader = Reader()
        whom = [ours.refused(reader, line) for line in lines]
        told = [(line in theirs, one is not None) for line, one in zip(lines, whom, strict=True)]
        their_whom = fail2ban.accused(path, name)
        result.append({
            "log": path.name, "filter": name, "lines": len(lines),
            "both": sum(a and b for a, b in told), "fail2ban_only": sum(a > b for a, b in told),
            "ours_only": sum(b > a for a, b in told),
            "accused_by_fail2ban_only": " ".join(sorted(their_whom - set(whom))),
            "first_theirs": next((o for o, (a, b) in zip(lines, told, strict=True) if a > b), ""),
        })  # fmt: skip
    return result


TYPES: Final = (
    (r"ssh|dropbear|dovecot|postfix|mail|proftpd|pure-?ftpd|syslog|traditional|pam", "syslog"),
    (r"vsftpd", "vsftpd"), (r"asterisk", "asterisk"), (r"caddy", "caddy"),
    (r"apache", "apache2"), (r"modsec", "modsecurity"), (r"haproxy", "haproxy"),
    (r"nginx", "nginx"), (r"exim", "exim"), (r"samba|smb", "smb"), (r"postgres", "postgres"),
)  # fmt: skip
"""What names of logs say → the type under which CrowdSec is given them."""


def real(folder: Path, peer: CrowdSec) -> list[dict[str, Any]]:
    """Return whom CrowdSec and we report over logs of real programs."""
    result = []
    for path in sorted(folder.rglob("*.log")):
        kind = next((kind for words, kind in TYPES if re.search(words, path.name)), "")
        if not kind:
            continue
        tell(path.name)
        theirs = peer.alerts(path, kind)
        told = ours.log(path)
        result.append({
            "log": path.name, "lines": told.lines, "events": told.events,
            "crowdsec": _sources((who, name.rpartition("/")[2]) for name, who in theirs),
            "ours": _sources((one.subject, one.rule) for one in told.findings),
        })  # fmt: skip
    return result


def _sources(pairs: Iterator[tuple[str, str]]) -> str:
    """Return who is reported, and for what."""
    by: dict[str, set[str]] = {}
    for who, why in pairs:
        by.setdefault(who, set()).add(why)
    return "; ".join(f"{who}: {', '.join(sorted(why))}" for who, why in sorted(by.items()))
