"""Beaconing: one address of ours calls the same service again and again at even intervals."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np

from ipwatchd.detect.about import About, House, Rule
from ipwatchd.detect.batch import address_hash
from ipwatchd.detect.contact import TCP, UDP, to_many
from ipwatchd.detect.pairs import Pairs
from ipwatchd.detect.sources import Growth, Sources
from ipwatchd.records.address import address_text
from ipwatchd.records.flow import SERVICES, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ipwatchd.config.settings import DetectSettings
    from ipwatchd.detect.facts import Batch
    from ipwatchd.detect.pairs import Noted
    from ipwatchd.records.finding import Finding

__all__ = ["Beaconing"]

_SHARE: Final = 0.8  # of the intervals lie near the median; of random arrivals a third does
_EVEN: Final = 0.8  # of the contacts send about as much: a program's word, not a person's
_SLOT_BITS: Final = 20
_FULL: Final = 1 << _SLOT_BITS - 2  # contacts after which counts are halved: few share a slot
_PASSING: Final = 2  # contacts of a pair before it gets a record
_COMMON: Final = 5  # of our addresses that call a service: it is somebody's product, not a beacon
_BY_CLOCK: Final = np.array([53, 67, 68, 123, 137, 138, 546, 547, 1900, 3478, 5353, 5355])
"""Ports of protocols that repeat by design: DNS, DHCP, NTP, NetBIOS, SSDP, STUN, mDNS, LLMNR."""
_LEAVES: Final = np.array([True, False, True, False, True])
"""By direction: outgoing, and where zones say nothing of either end."""
_SERVICES: Final = np.array([
    SERVICES.index(name) for name in ("dns", "dhcp", "ntp", "mdns", "stun", "ssdp", "netbios",
    "llmnr", "snmp", "syslog", "radius", "rtp", "sip", "kerberos", "ldap")
])  # fmt: skip


class Beaconing(Rule):
    """Detector of the rule beaconing."""

    rule = "beaconing"
    section = "beaconing"
    about = About(
        "Beaconing",
        "c2-server",
        "A machine of ours calls one outside service at even intervals, each time with about as "
        "little to say, and hardly anybody else of ours does: malware asks its master for orders "
        "like that. So do some updaters and monitors.",
        "Look which program calls (name, certificate, operator of the address). If nobody knows "
        "it: isolate the machine, deny the address. If it is known: an [[expected]] entry.",
        "`contacts` at intervals of at least `shortest` seconds, of which most lie within "
        "`jitter` (share of the interval) of the median; `most_bytes` of one contact.",
    )

    def __init__(self, settings: DetectSettings, house: House | None = None) -> None:
        del house
        self._one = settings.beaconing
        self._slots = np.zeros(1 << _SLOT_BITS, np.uint8)
        self._contacts = 0
        self._pairs = Pairs(settings.sources)
        self._callers: Sources[_Callers] = Sources(
            _Callers, settings.sources, settings.sources * _COMMON
        )
        # A beacon may call but twice a day; the bound on pairs lets the oldest go.
        self._quiet = round(max(settings.quiet, 86_400.0) * 1e9)

    def batch(self, batch: Batch, now: float) -> list[Finding]:
        """Take ended flows; a finding for each pair that has become even."""
        flows = batch.flows
        rows = np.flatnonzero(
            _LEAVES[flows["direction"]] & (flows["partial"] == 0)
            & ((flows["proto"] == TCP) | (flows["proto"] == UDP))
            & (flows["orig_bytes"] + flows["resp_bytes"] <= np.uint64(self._one.most_bytes))
            & ~np.isin(flows["resp_port"], _BY_CLOCK) & ~np.isin(flows["service"], _SERVICES)
            & ~to_many(flows)
        )  # fmt: skip
        found: list[Finding] = []
        if len(rows):
            self._note(flows.take(rows), found)
        self._pairs.sweep(round(now * 1e9) - self._quiet)
        self._callers.sweep(round(now * 1e9) - self._quiet)
        return found

    def counters(self) -> dict[str, int]:
        """Return pairs held, and those that had to make room."""
        return {"pairs": len(self._pairs), "pairs_shed": self._pairs.shed}

    def _note(self, flows: NDArray[np.void], found: list[Finding]) -> None:
        flows = flows.take(np.argsort(flows["start"], kind="stable"))
        callers = address_hash(flows["orig_hi"], flows["orig_lo"])
        port = flows["resp_port"].astype(np.uint64)
        services = address_hash(flows["resp_hi"], flows["resp_lo"]) ^ (
            (port << np.uint64(8)) + flows["proto"].astype(np.uint64)
        ) * np.uint64(0xBF58476D1CE4E5B9)
        keys = callers ^ (services << np.uint64(1))
        often = np.flatnonzero(self._seen_before(keys))
        flows, callers, services = flows.take(often), callers[often], services[often]
        for noted in self._pairs.note(keys[often], flows["start"], flows["orig_bytes"]):
            first = noted.order[noted.starts[noted.new]]
            self._call(services[first], callers[first], flows["start"][first])
            for pair, row in self._due(noted):
                finding = self._judge(pair, flows[row], int(services[row]))
                if finding is not None:
                    found.append(finding)

    def _due(self, noted: Noted) -> Iterator[tuple[int, int]]:
        """Yield pairs worth a look, at each fourth contact, with the contact that made them so."""
        after = noted.before + noted.counts
        fourth = after & ~3
        due = np.flatnonzero((fourth > noted.before) & (fourth >= self._one.contacts))
        rows = noted.order[noted.starts[due] + (fourth - noted.before)[due] - 1]
        return zip(noted.rows[due].tolist(), rows.tolist(), strict=True)

    def _seen_before(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which pairs come again; who comes but once or twice costs no record.

        A count a slot, halved when a quarter as many contacts as slots have come: what shares a
        slot gets a record too early, never too late.
        """
        slots = (keys * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - _SLOT_BITS)
        self._contacts += len(keys)
        if self._contacts > _FULL:
            self._slots >>= 1
            self._contacts = 0
        places, counts = np.unique(slots, return_counts=True)
        self._slots[places] = np.minimum(self._slots[places] + counts, 255)
        again: NDArray[np.bool_] = self._slots[slots] > _PASSING
        return again

    def _call(
        self, services: NDArray[np.uint64], callers: NDArray[np.uint64], times: NDArray[np.int64]
    ) -> None:
        for service, caller, time in zip(
            services.tolist(), callers.tolist(), times.tolist(), strict=True
        ):
            known = self._callers.active(service, time)
            if len(known.names) < _COMMON:
                known.names.add(caller)
                self._callers.weigh(known, len(known.names))

    def _judge(self, pair: int, flow: np.void, service: int) -> Finding | None:
        callers = self._callers.get(service)
        common = len(callers.names) if callers else 1
        pairs, growth = self._pairs, Growth()
        growth.count, growth.time = int(pairs.told[pair]), int(pairs.told_at[pair])
        seen, last = int(pairs.seen[pair]), int(pairs.last[pair])
        if common >= _COMMON or not growth.would(seen, last):
            return None
        # Contacts at once (a page's parts) are one call.
        calls = pairs.contacts(pair)
        shortest = self._one.shortest * 1e9
        starts = [calls[0][0]]
        starts += [t for (b, _), (t, _) in pairwise(calls) if t - b >= shortest]
        gaps = [b - a for a, b in pairwise(starts)]
        if len(starts) < self._one.contacts:
            return None
        middle = median(gaps)
        near = sum(abs(gap - middle) <= self._one.jitter * middle for gap in gaps) / len(gaps)
        sent = median(size for _, size in calls)
        even = sum(abs(size - sent) <= 0.2 * sent for _, size in calls) / len(calls)
        if near < _SHARE or even < _EVEN:
            return None
        pairs.told[pair], pairs.told_at[pair] = seen, last
        return self._found(pair, flow, middle / 1e9, near, even, common)

    def _found(
        self, pair: int, flow: np.void, interval: float, near: float, even: float, common: int
    ) -> Finding:
        ours = address_text(int(flow["orig_hi"]), int(flow["orig_lo"]))
        far = address_text(int(flow["resp_hi"]), int(flow["resp_lo"]))
        seen = int(self._pairs.seen[pair])
        times = int(self._pairs.started[pair]) / 1e9, int(self._pairs.last[pair]) / 1e9
        service = f"{int(flow['resp_port'])}/{protocol_name(int(flow['proto']))}"
        return self.finding(
            ours, f"{ours} calls {far} port {service} every {interval:.3g} s",
            detail=f"{far}|{service}",
            seen=times, count=seen, severity="medium", value=seen,
            threshold=self._one.contacts, score=round(near * even * 0.8, 3), targets=(far,),
            evidence={
                "service": service, "interval": round(interval, 3), "contacts": seen,
                "intervals_near_the_median": round(near, 3), "contacts_alike": round(even, 3),
                "jitter_allowed": self._one.jitter, "our_addresses_that_call_it": common,
                "direction": "outgoing",
                "note": "updaters and monitors may look the same",
            },
        )  # fmt: skip


class _Callers:
    """Which of our addresses call a service, the first few."""

    __slots__ = ("last", "names", "weight")

    def __init__(self, time: int) -> None:
        self.last = time
        self.weight = 0
        self.names: set[int] = set()
