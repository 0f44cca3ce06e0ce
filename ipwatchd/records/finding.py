"""The finding: what a detector saw, the value that crossed the line and the evidence for it."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["RULES", "SEVERITIES", "Finding"]

RULES = (
    "port-scan", "password-guessing", "denied-contact", "firewall-tampered", "flood", "beaconing",
    "dns-tunnel", "unusual-upload", "policy-bypass", "exposed-service", "lan-spoofing",
    "unknown-device", "rogue-dhcp", "neighbour-sweep", "password-spraying", "unfamiliar-login",
    "impossible-travel", "agent-out-of-place", "api-abuse", "toll-fraud", "certificate", "silence",
    "slow-scan", "distributed-scan", "icmp-tunnel",
)  # fmt: skip
"""Every rule that raises findings: the detectors' and the daemon's own."""

SEVERITIES = ("info", "low", "medium", "high", "critical")


class Finding(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One detector's word on one subject; the same thing going on keeps its `key` and grows.

    `key` is `rule|subject` (and what else tells two such things apart). `classification` is an
    RSIT type (Reference Security Incident Taxonomy). `score` is 0 to 1, `threshold` and `value`
    say why the line was crossed. Times are epoch seconds.
    """

    rule: str
    subject: str
    key: str
    title: str
    first_seen: float
    last_seen: float
    count: int
    severity: str
    classification: str
    score: float
    value: float
    threshold: float
    targets: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
