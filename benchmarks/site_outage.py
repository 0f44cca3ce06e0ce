"""A site's day with outages: what the scan detectors say when many fail together.

    python benchmarks/site_outage.py [--json]

A directory server with twelve services is gone for eight minutes at noon; the line to the internet
is down for ten minutes at four while 1,490 agents go on; a monitor asks 15 dead machines on two
ports each minute. Takes some 20 seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from measure import say
from site_day import DAY, S0, START, benign_day, flows, v4

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect.port_scan import PortScan
from ipwatchd.detect.slow_scan import SlowScan
from ipwatchd.records.flow import Direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

SERVICES = (53, 88, 135, 389, 445, 464, 636, 3268, 3269, 9389, 123, 139)
AGENTS, SERVERS = v4("10.20.0.0"), v4("10.30.0.0")
NOON, FOUR, MINUTES = 43_200, 57_600, 600
BATCH = 20_000
WITHIN, OUT = Direction.INTERNAL, Direction.OUTGOING


def directory(dice: np.random.Generator) -> list[NDArray[np.void]]:
    """Return a day's use of the directory server, and what fails while it is gone."""
    used = [
        flows(dice, 4000, orig=AGENTS + dice.integers(10, 1500, 4000), resp=SERVERS + 2, port=port,
              direction=WITHIN, sent=(600, 4000), got=(600, 4000), seconds=0.2)
        for port in SERVICES
    ]  # fmt: skip
    agents = np.repeat(np.arange(10, 1500), len(SERVICES) * 3)
    ports = np.tile(np.repeat(SERVICES, 3), 1490)
    gone = flows(
        dice, len(agents), orig=AGENTS + agents, resp=SERVERS + 2, port=ports, direction=WITHIN,
        state=S0, at=NOON + dice.uniform(0, 480, len(agents)),
    )  # fmt: skip
    return [*used, gone]


def monitor(dice: np.random.Generator) -> NDArray[np.void]:
    """Return what a monitor asks of 15 machines that are gone."""
    at = np.repeat(np.arange(0, DAY, 60.0), 30)
    minutes = len(at) // 30
    return flows(
        dice, len(at), orig=SERVERS + 5, direction=WITHIN, state=S0, at=at,
        resp=SERVERS + np.tile(np.repeat(np.arange(210, 225), 2), minutes),
        port=np.tile([443, 22], len(at) // 2),
    )  # fmt: skip


def line(dice: np.random.Generator) -> NDArray[np.void]:
    """Return what agents try while the line is down."""
    count = 40_000
    return flows(
        dice, count, orig=AGENTS + dice.integers(10, 1500, count), port=443, direction=OUT,
        state=S0, resp=v4("104.16.0.0") + dice.integers(0, 9000, count),
        at=FOUR + dice.uniform(0, MINUTES, count),
    )  # fmt: skip


def main() -> None:
    """Make, judge, print."""
    dice = np.random.default_rng(9)
    benign = benign_day()
    ends = benign["end"] / 1e9 - START
    down = (benign["direction"] == OUT) & (ends > FOUR - 10) & (ends < FOUR + MINUTES)
    day = np.concatenate([benign[~down], *directory(dice), monitor(dice), line(dice)])
    day = day[np.argsort(day["end"], kind="stable")]
    found: dict[str, Any] = {}
    for detector in (PortScan(DetectSettings()), SlowScan(DetectSettings())):
        for first in range(0, len(day), BATCH):
            part = day[first : first + BATCH]
            now = float(part["end"].max()) / 1e9
            found |= {one.key: one for one in detector.flows(part, now)}
    titles = [f"{one.rule}: {one.title}" for one in found.values()]
    lines = [f"{len(day):,} flows", *(f"- {title}" for title in titles)]
    say({"flows": len(day), "findings": titles}, lines)


if __name__ == "__main__":
    main()
