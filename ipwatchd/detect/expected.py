"""What is known to happen: findings of a pen test or a backup are counted and shown, not raised."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ipwatchd.config.detectors import Expected
    from ipwatchd.records.finding import Finding

__all__ = ["Silenced"]


class Silenced:
    """Holds findings against what is expected. `counts` says how many each reason silenced."""

    def __init__(self, expected: Sequence[Expected]) -> None:
        self._expected = [_Window(one) for one in expected]
        self.counts: dict[str, int] = {one.reason: 0 for one in expected}

    def raised(self, found: Iterable[Finding]) -> list[Finding]:
        """Return the findings that nothing expects."""
        if not self._expected:
            return list(found)
        rest = []
        for finding in found:
            reason = next((one.reason for one in self._expected if one.holds(finding)), None)
            if reason is None:
                rest.append(finding)
            else:
                self.counts[reason] += 1
        return rest


class _Window:
    """One entry, its texts understood once."""

    def __init__(self, entry: Expected) -> None:
        self.reason = entry.reason
        self._rules = frozenset(entry.rules)
        self._networks = [ipaddress.ip_network(network) for network in entry.networks]
        self._since = _seconds(entry.since, 0.0)
        self._until = _seconds(entry.until, float("inf"))
        self._daily = _minutes(entry.daily)

    def holds(self, finding: Finding) -> bool:
        """Tell whether a finding is expected: all that it is of lies within the window."""
        if self._rules and finding.rule not in self._rules:
            return False
        if not self._since <= finding.last_seen <= self._until:
            return False
        if not self._at_this_hour(finding.last_seen):
            return False
        return not self._networks or self._is_here(finding.subject)

    def _is_here(self, subject: str) -> bool:
        try:
            address = ipaddress.ip_address(subject)
        except ValueError:  # a user or a service: entries with networks are not about it
            return False
        return any(address in network for network in self._networks)

    def _at_this_hour(self, moment: float) -> bool:
        if self._daily is None:
            return True
        begin, end = self._daily
        minute = int(moment % 86_400 // 60)
        return begin <= minute < end if begin <= end else minute >= begin or minute < end


def _seconds(text: str, default: float) -> float:
    if not text:
        return default
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _minutes(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    begin, end = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
    return begin, end
