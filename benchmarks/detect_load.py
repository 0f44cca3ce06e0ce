"""What all detectors cost: flows a second of one core, and memory under ever new addresses.

Imported by detect.py, whose parts speed and memory this is.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipwatchd.config.settings import PRIVATE, DetectSettings, GeoSettings
from ipwatchd.detect import Batch, build
from ipwatchd.enrich import Enricher
from ipwatchd.records.address import V4_PREFIX
from ipwatchd.records.event import Api, Arp, Auth, Dhcp, Dns, Http
from ipwatchd.records.flow import STATES, empty_flows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from ipwatchd.records.event import AnyEvent

__all__ = ["BATCH", "ENRICHER", "HELD", "KINDS", "cost", "detectors", "made", "memory", "spent_on"]

BATCH = 20_000
ENRICHER = Enricher({"inside": PRIVATE}, GeoSettings())
KINDS = {
    "benign": "benign, 5,000 clients, 20,000 servers",
    "forged": "SYN flood, each flow from an address never seen",
    "twice": "the same, each address twice with another port",
    "often": "the same, each address ten times with another port",
    "sweep": "one inside address tries two ports of every host it thinks of",
}
"""Traffic by kind, of which `made` makes a second."""
HELD = {
    "forged": "flows, each from an address never seen",
    "twice": "flows, two from each address",
    "inside": "flows of a million inside addresses to as many services",
    "events": "events, each of an address, name and user never seen",
}
"""What memory is measured under."""


def nobody(hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Deny nobody."""
    return np.zeros(len(hi), np.bool_) & (lo == 0)


def detectors() -> list[Any]:
    """Return all detectors with their defaults."""
    return list(build(DetectSettings(), denied=nobody, zones=(), place=ENRICHER.place))


def made(kind: str, seed: int) -> NDArray[np.void]:
    """Return a second of traffic of a kind (KINDS, HELD)."""
    if kind in {"twice", "often", "sweep"}:
        return _again(kind, seed)
    dice = np.random.default_rng(seed)
    flows = empty_flows(BATCH)
    flows["start"] = (1000 + seed) * 10**9 + dice.integers(0, 10**9, BATCH)
    flows["end"] = flows["start"] + dice.integers(0, 10**9, BATCH)
    flows["proto"] = 6
    if kind == "forged":
        flows["orig_lo"] = V4_PREFIX | dice.integers(1 << 24, 1 << 31, BATCH)
        flows["resp_lo"] = V4_PREFIX | (10 << 24) | dice.integers(0, 256, BATCH)
        flows["resp_port"] = dice.integers(1, 65535, BATCH)
        flows["state"], flows["orig_flags"], flows["direction"] = STATES.index("S0"), 2, 1
        flows["orig_packets"], flows["orig_bytes"] = 1, 44
        return flows
    flows["orig_lo"] = V4_PREFIX | (10 << 24) | dice.integers(0, 5000, BATCH)
    flows["resp_lo"] = V4_PREFIX | (203 << 24) | dice.integers(0, 20_000, BATCH)
    flows["resp_port"] = dice.choice([443, 443, 443, 80, 53, 22, 5060], BATCH)
    flows["proto"][flows["resp_port"] == 53] = 17
    flows["state"], flows["direction"] = STATES.index("SF"), 2
    flows["orig_packets"] = flows["resp_packets"] = 10
    flows["orig_bytes"] = dice.integers(400, 30_000, BATCH)
    flows["resp_bytes"] = dice.integers(400, 90_000, BATCH)
    flows["orig_flags"] = flows["resp_flags"] = 27
    if kind == "inside":
        # Three in a row, so that each pair comes often enough to be remembered.
        first = seed // 3 * BATCH
        flows["orig_lo"] = V4_PREFIX | (10 << 24) | (first + np.arange(BATCH)) % 1_000_000
        flows["resp_lo"] = V4_PREFIX | (203 << 24) | (first + np.arange(BATCH)) % 1_000_000
        flows["orig_bytes"], flows["resp_port"] = 30_000, 443
    return flows


def _again(kind: str, seed: int) -> NDArray[np.void]:
    """Return forged flows whose sources come in several batches, or a sweep from inside."""
    visits = 10 if kind == "often" else 2
    flows = made("forged", seed // visits)
    later = (seed - seed // visits) * 10**9
    flows["start"] += later
    flows["end"] += later
    flows["resp_port"] = (flows["resp_port"] & 0xFFF0) + seed % visits + 1
    if kind == "sweep":
        flows["resp_lo"], flows["resp_port"] = flows["orig_lo"], 22 + seed % visits
        flows["orig_lo"], flows["direction"] = V4_PREFIX | 10 << 24 | 5, 2
    return flows


def _events(seed: int) -> list[AnyEvent]:
    """Return events of ever new clients, users, machines, names and keys."""
    found: list[AnyEvent] = []
    for number in range(seed * BATCH // 6, (seed + 1) * BATCH // 6):
        client = f"45.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        ours = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        mac = f"02:00:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        ts, far = 1000.0 + number / 1000, "203.0.113.9"
        found += (
            Auth(ts=ts, orig=client, user=f"user{number}", result="failure", service="ssh",
                 source="sshd"),
            Dns(ts=ts, orig=ours, resp=far, name=f"{number:x}.a{number}.example", qtype="TXT"),
            Http(ts=ts, orig=client, resp="10.0.0.8", name=f"n{number}.example", status=401),
            Api(ts=ts, orig=client, key=f"key{number}", name="/v1", status=403, source="nginx"),
            Arp(ts=ts, operation="request", mac=mac, address=ours, target="10.0.0.1"),
            Dhcp(ts=ts, message="discover", mac=mac),
        )  # fmt: skip
    return found


def spent_on(every: Iterable[Any], flows: NDArray[np.void], now: float) -> Counter[str]:
    """Return CPU ns of each detector, and of what they share."""
    spent: Counter[str] = Counter()
    begun = time.process_time_ns()
    batch = Batch(flows)
    assert len(batch.probed[0]) == len(batch.successes) == len(batch.orig)
    spent["shared"] = time.process_time_ns() - begun
    for detector in every:
        begun = time.process_time_ns()
        detector.batch(batch, now)
        spent[detector.rule] = time.process_time_ns() - begun
    return spent


def cost(kind: str, batches: int) -> dict[str, float]:
    """Return flows a second of one core, with all detectors on, and ns a flow of the dearest."""
    spent: Counter[str] = Counter()
    every = detectors()
    for seed in range(batches):
        spent += spent_on(every, made(kind, seed), 1001.0 + seed)
    total = batches * BATCH
    rates = {rule: round(ns / total) for rule, ns in spent.most_common(6)}
    return {"flows_per_second": round(total / sum(spent.values()) * 1e9), **rates}


def memory(kind: str, addresses: int, told: Callable[[str], None]) -> dict[str, float]:
    """Return resident MB before and after so many addresses, of a process that does only this."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_hold, args=(kind, addresses, theirs))
    child.start()
    theirs.close()
    try:
        while True:
            word = ours.recv()
            if isinstance(word, dict):
                return {"addresses": addresses, **word}
            told(word)
    except EOFError:
        raise RuntimeError(f"the process that measures {kind} ended with no answer") from None
    finally:
        child.join()


def _hold(kind: str, addresses: int, answer: Any) -> None:
    visits = {"twice": 2, "inside": 3, "events": 1}.get(kind, 1)
    every = detectors()
    spent_on(every, made("benign", 0), 1000.0)  # what is loaded on first use
    every = detectors()
    before = _resident("VmRSS")
    half, batches = 0.0, visits * addresses * (6 if kind == "events" else 1) // BATCH
    for seed in range(batches):
        if kind == "events":
            events = _events(seed)
            for detector in every:
                detector.events(events, events[-1].ts)
        else:
            spent_on(every, made(kind, seed), 1001.0 + seed / 100)
        if seed == batches // 2:
            half = _resident("VmRSS")
            answer.send("half of it")
    shed = sum(
        count for one in every for name, count in one.counters().items() if name.endswith("shed")
    )
    after = _resident("VmRSS")
    answer.send({
        "grown_mb": round(after - before, 1), "in_the_second_half_mb": round(after - half, 1),
        "peak_resident_mb": round(_resident("VmHWM")), "shed": shed,
    })  # fmt: skip


def _resident(name: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0
