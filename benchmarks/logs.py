# ruff: noqa: E501 - the lines are as long as the programs write them
"""Log lines a second on one core, beside fail2ban-regex and grep on the same lines.

    python benchmarks/logs.py [--lines 200000] [--json]

The mix is what a site's log host sees: sshd (a tenth of it failures), access logs of nginx and of
JSON, HAProxy, Dovecot, Postfix, OpenVPN, Keycloak, Windows logons, and lines that say nothing.
Beside it: lines of programs that no rule knows, in syslog and in files of their own, and the lines
that programs of a lab wrote (tests/logs/real.jsonl), nearly all of which say something.
fail2ban-regex reads the sshd lines only, by its filter for sshd; grep -E looks for one word.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from pathlib import Path

from measure import median, run, say

from ipwatchd.logs import Reader

REAL = Path(__file__).parents[1] / "tests" / "logs" / "real.jsonl"
SECONDS = 1_795_287_601
HEAD = "Nov 21 19:{:02d}:{:02d} gw "


def kinds(host: str, user: str, port: int, minute: int, second: int) -> list[tuple[int, str]]:
    """Return lines with their weights."""
    head = HEAD.format(minute, second)
    access = f"[21/Nov/2026:19:{minute:02d}:{second:02d} +0000]"
    iso = f"2026-11-21 19:{minute:02d}:{second:02d}"
    return [
        (3, f"{head}sshd[{port}]: Failed password for invalid user {user} from {host} port {port} ssh2"),
        (3, f"{head}sshd[{port}]: Invalid user {user} from {host} port {port}"),
        (4, f"{head}sshd[{port}]: Accepted publickey for {user} from {host} port {port} ssh2: ED25519 SHA256:x"),
        (8, f"{head}sshd[{port}]: pam_unix(sshd:session): session opened for user {user}(uid=1000) by (uid=0)"),
        (8, f"{head}systemd[1]: Started session-{port}.scope - Session {port} of User {user}."),
        (8, f"{head}CRON[{port}]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)"),
        (6, f"{head}kernel: [{port}.123456] eth0: entered promiscuous mode"),
        (20, f'{host} - - {access} "GET /app/{user}?page={port} HTTP/1.1" 200 5123 "-" "Mozilla/5.0 (X11; Linux x86_64)"'),
        (15, f'{{"ts":{SECONDS}.5,"request":{{"client_ip":"{host}","method":"GET","host":"api.example"}},"status":200,"client_id":"{user}"}}'),
        (6, f'{head}haproxy[9]: {host}:{port} [21/Nov/2026:19:00:01.123] main app/app1 0/0/1/5/6 200 5168 - - ---- 3/3/0/0/0 0/0 "GET / HTTP/1.1"'),
        (5, f"{head}dovecot: imap-login: Login: user=<{user}>, method=PLAIN, rip={host}, lip=10.0.0.1, mpid={port}, TLS, session=<abc>"),
        (3, f"{head}dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{user}>, method=PLAIN, rip={host}, lip=10.0.0.1, TLS"),
        (4, f"{head}postfix/smtpd[{port}]: disconnect from unknown[{host}] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"),
        (2, f"{head}openvpn[7]: {user}/{host}:{port} MULTI_sva: pool returned IPv4=10.8.0.6, IPv6=(Not enabled)"),
        (2, f'{iso},357 WARN  [org.keycloak.events] (executor-thread-1) type="LOGIN_ERROR", realmId="r", clientId="web", userId="null", ipAddress="{host}", error="user_not_found", auth_method="openid-connect", username="{user}"'),
        (3, f'{{"@timestamp":"2026-11-21T19:00:01Z","winlog":{{"event_id":"4625","event_data":{{"TargetUserName":"{user}","IpAddress":"{host}","IpPort":"{port}"}}}}}}'),
    ]  # fmt: skip


def mix(count: int) -> list[str]:
    """Return so many lines, the same every time."""
    chance = random.Random(7)
    lines = []
    for turn in range(count):
        host = f"203.0.{chance.randrange(114)}.{chance.randrange(256)}"
        user = f"user{chance.randrange(500)}"
        weighted = kinds(
            host, user, chance.randrange(1024, 65535), turn // 60_000 % 60, turn // 1000 % 60
        )
        lines.append(chance.choices([one for _, one in weighted], [w for w, _ in weighted])[0])
    return lines


def unknown(count: int) -> list[str]:
    """Return so many lines of programs that no rule knows."""
    says = (
        "Nov 21 19:{0:02d}:{1:02d} gw app{1}[{2}]: request {2} done in {1} ms",
        "Nov 21 19:{0:02d}:{1:02d} gw daemon: hello from {2}",
        "2026-11-21 19:{0:02d}:{1:02d},{1:03d} INFO [worker-{1}] com.example.App - did thing {2}",
        "[2026-11-21 19:{0:02d}:{1:02d}] app.INFO: thing {2} was done",
        "thing {2} was done",
    )
    return [says[n % len(says)].format(n // 60_000 % 60, n // 1000 % 60, n) for n in range(count)]


def ours(lines: list[bytes]) -> tuple[float, int]:
    """Return CPU seconds of reading the lines on this thread, and the events."""
    reader = Reader()
    begun = time.thread_time()
    events = sum(reader.line(line, now=SECONDS, source="bench") is not None for line in lines)
    return time.thread_time() - begun, events


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    lines = mix(options.lines)
    data = [line.encode() for line in lines]
    runs = [ours(data) for _ in range(options.repeats)]
    seconds = median([one for one, _ in runs])
    results: dict[str, float] = {
        "lines": len(lines), "events": runs[0][1],
        "ours_lines_per_second": round(len(lines) / seconds),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        whole, ssh = Path(folder, "mix.log"), Path(folder, "ssh.log")
        whole.write_text("\n".join(lines) + "\n", encoding="utf-8")
        own = [line for line in lines if " sshd[" in line]
        ssh.write_text("\n".join(own) + "\n", encoding="utf-8")
        grep = run(
            ["grep", "-cE", r"(Failed|Accepted) [a-z]+ for .* from [0-9.]+ port", str(whole)]
        )
        results["grep_lines_per_second"] = round(len(lines) / max(grep.cpu, 1e-3))
        sshd, _ = ours([line.encode() for line in own])
        results["ours_sshd_lines_per_second"] = round(len(own) / sshd)
        others = {
            "unknown": unknown(len(lines) // 4),
            "real": [json.loads(row)["line"] for row in REAL.open(encoding="utf-8")] * 40,
        }
        for name, rows in others.items():
            took = median([ours([row.encode() for row in rows])[0] for _ in range(3)])
            results[f"ours_{name}_lines_per_second"] = round(len(rows) / took)
        if shutil.which("fail2ban-regex"):
            peer = run(["fail2ban-regex", str(ssh), "sshd"])
            results["fail2ban_sshd_lines_per_second"] = round(len(own) / peer.cpu)
            results["ratio_to_fail2ban"] = round(len(own) / sshd / (len(own) / peer.cpu), 1)
    say(results, [f"{name.replace('_', ' '):34} {value:>12,}" for name, value in results.items()])


if __name__ == "__main__":
    main()
