"""Too many sources for one by one: some are told of, the rest is one finding with a number.

The attack that it stops: a sender that forges its sources. Two thousand of them that knock at 25
ports each would be two thousand findings, in which what is true is not seen any more. Sessions that
a forger can't have (a login over TCP, a log line of one) are never summed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import structs

from ipwatchd.detect.sources import Growth, Sources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.records.finding import Finding

__all__ = ["Crowd"]

_RULES: Final = frozenset({
    "port-scan", "slow-scan", "distributed-scan", "flood", "denied-contact", "toll-fraud",
    "neighbour-sweep", "lan-spoofing", "unknown-device", "rogue-dhcp",
})  # fmt: skip
"""Rules whose subjects one packet each makes up; password-guessing where its services are these:"""
_DATAGRAMS: Final = frozenset({"sip", "kerberos", "radius", "snmp"})
_AT_ONE: Final = {"flood": 4}  # of one victim, by ports
_AT_ONE_ELSE: Final = 32
_IN_ALL: Final = 4  # times as many of all victims together
_INSIDE: Final = 4  # times as many that do not come from outside: ours are worth a word each
_VICTIMS: Final = 4096
_KEYS: Final = 65_536  # what was told of, and what was left out: both, so that each counts once
_SAMPLE: Final = 20


class _Heard:
    """What was told of one victim in this spell, and what was left out. Times are epoch ns."""

    __slots__ = (
        "growth",
        "last",
        "left",
        "left_at",
        "sample",
        "since",
        "started",
        "told",
        "weight",
    )

    def __init__(self, time: int) -> None:
        self.since = self.last = time
        self.weight = self.told = self.left = self.left_at = 0
        self.started = 0.0
        self.sample: dict[str, None] = {}
        self.growth = Growth()

    def turn(self, time: int, quiet: int) -> None:
        """Begin a new spell once nothing was left out for so long."""
        if time - max(self.since, self.left_at) >= quiet:
            self.since = time
            self.told = self.left = self.left_at = 0
            self.sample.clear()
            self.growth = Growth()


class Crowd:
    """Passes findings on, of each rule and victim the first; `quiet` seconds end a spell.

    A spell goes on while anything is left out, so that an attack of hours is told of as one thing.
    """

    def __init__(self, quiet: float) -> None:
        self._quiet = round(quiet * 1e9)
        self._heard = Sources(_Heard, _VICTIMS, _VICTIMS)
        self._told: OrderedDict[str, None] = OrderedDict()
        self._left: OrderedDict[str, None] = OrderedDict()
        self.summed = 0
        """Subjects that were not told of by themselves."""

    def passed(self, found: Iterable[Finding]) -> list[Finding]:
        """Return the findings to raise; of those that are too many, what stands for them."""
        raised: list[Finding] = []
        sums: dict[str, Finding] = {}
        for finding in found:
            if finding.key in self._told or not _forgeable(finding):
                raised.append(finding)
                continue
            full = self._full(finding)
            if full is None:
                _keep(self._told, finding.key)
                raised.append(finding)
            elif (stands := self._sum(finding, *full)) is not None:
                sums[stands.key] = stands
        return raised + list(sums.values())

    def _full(self, finding: Finding) -> tuple[str, _Heard] | None:
        """Count a finding at its victim and in all; return which of them has no room for it."""
        time = round(finding.last_seen * 1e9)
        inside = finding.evidence.get("direction") != "incoming"
        most = _AT_ONE.get(finding.rule, _AT_ONE_ELSE) * (_INSIDE if inside else 1)
        victim = finding.targets[0] if len(finding.targets) == 1 else ""
        places = {victim: most} | {"": most * _IN_ALL}
        heard = {one: self._heard.active((finding.rule, inside, one), time) for one in places}
        for one, limit in places.items():
            heard[one].turn(time, self._quiet)
            if heard[one].told >= limit:
                return one, heard[one]
        for record in heard.values():
            record.told += 1
        return None

    def _sum(self, finding: Finding, victim: str, heard: _Heard) -> Finding | None:
        """Count a finding that is left out, once; return what stands for all such if it is due."""
        heard.left_at = max(heard.left_at, round(finding.last_seen * 1e9))
        if finding.key in self._left:
            return None
        _keep(self._left, finding.key)
        self.summed += 1
        heard.started = heard.started if heard.left else finding.first_seen
        heard.left += 1
        if len(heard.sample) < _SAMPLE:
            heard.sample[finding.subject] = None
        if not heard.growth.due(heard.left, heard.left_at):
            return None
        return _stands_for(finding, victim, heard)


def _forgeable(finding: Finding) -> bool:
    """Tell whether whoever sends single packets can make up the subject of a finding."""
    if finding.rule == "password-guessing":
        services = finding.evidence.get("services", ())
        return bool(services) and _DATAGRAMS.issuperset(services)
    return finding.rule in _RULES


def _stands_for(finding: Finding, victim: str, heard: _Heard) -> Finding:
    """Return the finding that stands for those left out; nobody's address is its subject."""
    key = f"{finding.rule}|crowd|{victim}"
    at = f" at {victim}" if victim else ""
    return structs.replace(
        finding, subject="site", key=key, count=heard.left,
        title=f"{finding.rule}{at}: more than {heard.told} sources or ports, the others are summed",
        first_seen=heard.started, last_seen=heard.left_at / 1e9, value=heard.left,
        threshold=heard.told, targets=(victim,) if victim else (),
        evidence={
            "left_out": heard.left, "told": heard.told, "subjects": list(heard.sample),
            "direction": finding.evidence.get("direction", ""),
            "note": "sources may be forged: to deny them one by one is of no use",
        },
    )  # fmt: skip


def _keep(keys: OrderedDict[str, None], key: str) -> None:
    keys[key] = None
    if len(keys) > _KEYS:
        keys.popitem(last=False)
