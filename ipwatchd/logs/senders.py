"""Lines of the syslog listener that wait to be read: a bounded share for each sender. Pure."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Senders", "SyslogCounters"]

SENDERS: Final = 1024
"""Senders whose lines wait apart: source addresses of UDP are free to invent."""
OWN_BYTES: Final = 64 << 10
"""Bytes of lines that each sender may always have waiting, whatever the others send."""
POOL_BYTES: Final = 64 << 20
"""Bytes beyond that, of all senders together: long lines from invented sources fill no memory."""
_SHARE: Final = POOL_BYTES // 4
"""Of the pool for one sender."""
_OBJECT: Final = 48
"""What a line costs beside its bytes."""


class SyslogCounters(msgspec.Struct):
    """What came since the start.

    `refused` senders are not in [logs.syslog] allow, `turned_away` are connections over their
    number, `broken` those whose framing or TLS failed, `cut` messages that were too long or ended
    in the middle, `shed` lines that found no room.
    """

    lines: int = 0
    refused: int = 0
    turned_away: int = 0
    shed: int = 0
    cut: int = 0
    broken: int = 0
    connections: int = 0


class _Waiting:
    """Lines of one sender, and their bytes."""

    __slots__ = ("bytes", "lines")

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self.bytes = 0

    @property
    def pooled(self) -> int:
        """Return the bytes that lie in the pool."""
        return max(self.bytes - OWN_BYTES, 0)


class Senders:
    """Lines that wait, by sender: each may fill its own share only. Safe for two threads."""

    def __init__(self, allow: Sequence[str], waiting: int) -> None:
        self._networks = [ipaddress.ip_network(one, strict=False) for one in allow]
        self._waiting = waiting
        self._lines: OrderedDict[str, _Waiting] = OrderedDict()
        self._pooled = 0
        self._lock = threading.Lock()
        self.counters = SyslogCounters()
        self.shed_by: dict[str, int] = {}

    def admits(self, sender: str) -> bool:
        """Tell whether a sender may send; a refusal is counted."""
        address = ipaddress.ip_address(sender)
        known = any(address in network for network in self._networks)
        self.counters.refused += not known
        return known

    def put(self, sender: str, line: bytes) -> None:
        """Let a line wait; a sender whose share is full loses it, counted under its address."""
        with self._lock:
            one = self._lines.get(sender)
            if one is None and len(self._lines) < SENDERS:
                one = self._lines[sender] = _Waiting()
            if one is None or not self._room(one, len(line) + _OBJECT):
                self.counters.shed += 1
                if sender in self.shed_by or len(self.shed_by) < SENDERS:
                    self.shed_by[sender] = self.shed_by.get(sender, 0) + 1
                return
            self._change(one, len(line) + _OBJECT)
            one.lines.append(line)
            self.counters.lines += 1

    def _room(self, one: _Waiting, size: int) -> bool:
        if len(one.lines) >= self._waiting:
            return False
        after = max(one.bytes + size - OWN_BYTES, 0)
        return not after or (after <= _SHARE and self._pooled + after - one.pooled <= POOL_BYTES)

    def _change(self, one: _Waiting, size: int) -> None:
        self._pooled -= one.pooled
        one.bytes += size
        self._pooled += one.pooled

    def take(self, most: int) -> list[tuple[str, bytes]]:
        """Return up to so many lines, each sender's in order and every sender its turn."""
        taken: list[tuple[str, bytes]] = []
        with self._lock:
            share = max(most // max(len(self._lines), 1), 1)
            for sender in list(self._lines):
                one = self._lines[sender]
                lines = [one.lines.popleft() for _ in range(min(share, len(one.lines)))]
                self._change(one, -sum(map(len, lines)) - _OBJECT * len(lines))
                taken += [(sender, line) for line in lines]
                if not one.lines:
                    del self._lines[sender]
        return taken
