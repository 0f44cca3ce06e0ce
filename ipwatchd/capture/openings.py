"""What knocked and was let in by no connection: openings that connection tracking never knew.

A packet that a firewall rule drops is part of no connection, so a scan against a firewall would go
unseen where connection tracking counts. The metadata filter lets openings through to the ring's
flow table; what that tells as a mere opening waits here for a while and is told as a flow if
connection tracking has neither told it meanwhile nor knows it now. No clock, no I/O of its own.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ipwatchd.capture.network import TCP, UDP
from ipwatchd.capture.tcp import ACK, SYN
from ipwatchd.records.flow import empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ipwatchd.config import CaptureSettings

__all__ = ["Openings"]

_WAIT: Final = 2.0
"""Seconds that an opening waits, so that connection tracking's word on it comes before."""
_SLACK: Final = 10.0
_PENDING: Final = 1 << 16
"""Openings that may wait (10 MB): a flood of openings from everywhere that all are dropped."""
_AT_ONCE: Final = 8192
"""Openings settled in one go, each a question to the kernel or two."""
_TOLD: Final = 1 << 20
"""Ends of connections that are remembered (8 MB). A flood that ends more of them within the time
makes openings be shed: better none than one twice."""
_JUDGED: Final = 16
"""Verdicts of the last seconds, by which a flood's sums are judged."""
_WORDS: Final = 6
_MIX: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_HALF: Final = np.uint64(32)
_MAPPED: Final = np.uint64(0xFFFF_0000_0000)


class Openings:
    """`look_up` says of flows whether the kernel tracks them now; it may raise OSError.

    `told` is called from one thread, all else from another. `count` openings were told, `shed`
    could not be decided and were not.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        look_up: Callable[[NDArray[np.void]], NDArray[np.bool_]],
    ) -> None:
        self.count = self.packets = self.bytes = 0
        self.shed = 0
        self._look_up = look_up
        self._keys = np.array([secrets.randbits(64) | 1 for _ in range(_WORDS)], np.uint64)
        self._hold = _WAIT + _SLACK + settings.tcp_attempt_timeout + settings.tcp_closed_timeout
        self._lock = threading.Lock()
        self._told: deque[tuple[float, NDArray[np.uint64]]] = deque()
        self._told_size = 0
        self._unsure_until = 0.0
        self._fresh, self._strange = _Queue(), _Queue()
        self._judged: deque[tuple[NDArray[np.uint64], NDArray[np.bool_]]] = deque(maxlen=_JUDGED)

    def told(self, flows: NDArray[np.void], now: float) -> None:
        """Remember connections that connection tracking told as ended."""
        ended = flows[(flows["partial"] == 0) & _ported(flows)]
        if not len(ended):
            return
        keys = np.sort(np.concatenate([*self._seen_as(ended)]))
        with self._lock:
            self._told.append((now, keys))
            self._told_size += len(keys)
            while self._told and (self._told[0][0] < now - self._hold or self._told_size > _TOLD):
                since, gone = self._told.popleft()
                self._told_size -= len(gone)
                if since >= now - self._hold:
                    self._unsure_until = now + self._hold

    def _seen_as(self, flows: NDArray[np.void]) -> list[NDArray[np.uint64]]:
        """Return keys of how a connection looks on the wire, on either side of a translation."""
        keys = [self._key(flows)]
        translated = flows[(flows["nat_hi"] != 0) | (flows["nat_lo"] != 0)]
        if len(translated):
            for side in ("orig", "resp"):
                other = translated.copy()
                for part in ("hi", "lo", "port"):
                    other[f"{side}_{part}"] = translated[f"nat_{part}"]
                keys.append(self._key(other))
        return keys

    def _key(self, flows: Any) -> NDArray[np.uint64]:
        """Return a keyed hash of the five-tuples: nobody can make one that is known already."""
        ports = (
            flows["orig_port"].astype(np.uint64) << _HALF
            | flows["resp_port"].astype(np.uint64) << np.uint64(16)
            | flows["proto"].astype(np.uint64)
        )
        total = ports * self._keys[0]
        for number, name in enumerate(("orig_hi", "orig_lo", "resp_hi", "resp_lo"), 1):
            total = (total ^ (total >> _HALF)) * _MIX + flows[name] * self._keys[number]
        mixed: NDArray[np.uint64] = (total ^ (total >> _HALF)) * self._keys[5]
        return mixed

    def seen(self, flows: NDArray[np.void], now: float) -> None:
        """Take the ring's flows: those that are no more than an opening wait for `due`."""
        chosen = flows[_openings(flows)]
        room = max(_PENDING - self._fresh.rows - self._strange.rows, 0)
        self.shed += max(len(chosen) - room, 0)
        self._fresh.put(chosen[:room], now)

    def due(self, now: float, *, everything: bool = False) -> NDArray[np.void]:
        """Return the openings that have waited and that connection tracking does not know.

        The kernel is asked first: an end that came before is told us soon, an entry that is gone
        by then was never there.
        """
        most = _PENDING if everything else _AT_ONCE
        self._ask(self._fresh.take(now, most), now)
        flows = self._strange.take(now if everything else now - _WAIT, _PENDING)
        return self._unknown(flows, now)

    def _ask(self, flows: NDArray[np.void], now: float) -> None:
        """Keep of these what the kernel does not track."""
        if not len(flows):
            return
        single = ~_summed(flows)
        known = np.zeros(len(flows), np.bool_)
        try:
            known[single] = self._look_up(flows[single])
        except OSError:
            self.shed += len(flows)
            return
        self._judged.append((_targets(flows[known]), known[known]))
        self._strange.put(flows[~known], now)

    def _unknown(self, flows: NDArray[np.void], now: float) -> NDArray[np.void]:
        """Return what of these was not told either."""
        if now < self._unsure_until:
            self.shed += len(flows)
            return empty_flows()
        if not len(flows):
            return flows
        sums = _summed(flows)
        single, summed = flows[~sums], flows[sums]
        known = self._was_told(single)
        self._judged.append((_targets(single), known))
        strange = np.array([self._unknown_target(flow) for flow in summed], np.bool_)
        self.shed += len(summed) - int(strange.sum())
        chosen = np.concatenate([single[~known], summed[strange]])
        self.count += len(chosen)
        self.packets += int(chosen["orig_packets"].sum() + chosen["resp_packets"].sum())
        self.bytes += int(chosen["orig_bytes"].sum() + chosen["resp_bytes"].sum())
        return chosen

    def _was_told(self, flows: NDArray[np.void]) -> NDArray[np.bool_]:
        known = np.zeros(len(flows), np.bool_)
        keys = self._key(flows)
        with self._lock:
            told = [array for _, array in self._told]
        for array in told:
            place = np.minimum(np.searchsorted(array, keys), len(array) - 1)
            known |= array[place] == keys
        return known

    def _unknown_target(self, flow: Any) -> bool:
        """Tell of a flood's sums whether its openings pass no rule: those told singly say so."""
        target = _targets(flow)
        verdicts = [known[targets == target] for targets, known in self._judged]
        heard = np.concatenate([*verdicts, np.zeros(0, np.bool_)])
        return bool(len(heard)) and not heard.any()


class _Queue:
    """Flows in the order of their coming, with when they came."""

    def __init__(self) -> None:
        self.rows = 0
        self._batches: deque[tuple[float, NDArray[np.void]]] = deque()

    def put(self, flows: NDArray[np.void], now: float) -> None:
        """Add flows at the end."""
        if len(flows):
            self._batches.append((now, flows))
            self.rows += len(flows)

    def take(self, until: float, most: int) -> NDArray[np.void]:
        """Take at most so many that came until then."""
        taken = [empty_flows()]
        while self._batches and most > 0 and self._batches[0][0] <= until:
            since, flows = self._batches.popleft()
            taken.append(flows[:most])
            if len(flows) > most:
                self._batches.appendleft((since, flows[most:]))
            most -= len(taken[-1])
        chosen = np.concatenate(taken)
        self.rows -= len(chosen)
        return chosen


def _targets(flows: Any) -> NDArray[np.uint64]:
    targets: NDArray[np.uint64] = flows["resp_lo"] ^ flows["resp_hi"]
    return targets


def _ported(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    proto = flows["proto"]
    ported: NDArray[np.bool_] = (proto == TCP) | (proto == UDP)
    return ported


def _openings(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell flows of which only an opening was seen, and perhaps a refusal."""
    tcp = (flows["proto"] == TCP) & (flows["orig_flags"] & ACK == 0)
    tcp &= flows["resp_flags"] & SYN == 0
    udp = (flows["proto"] == UDP) & (flows["resp_packets"] == 0)
    chosen: NDArray[np.bool_] = (tcp | udp) & (flows["orig_packets"] > 0)
    return chosen


def _summed(flows: NDArray[np.void]) -> NDArray[np.bool_]:
    """Tell a flood's sums: their originator is the unspecified address (flood.py)."""
    nobody = (flows["orig_lo"] == 0) | (flows["orig_lo"] == _MAPPED)
    summed: NDArray[np.bool_] = (
        nobody & (flows["orig_hi"] == 0) & (flows["orig_port"] == 0) & (flows["proto"] == TCP)
    )
    return summed
