"""Incidents: 10,000 open and 1,000,000 events; list, open one, verify; one attack's findings.

The log is written through the same code as the daemon's (`Batch`), with every event signed, so that
what is read is what a site would have.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipwatchd.config import IncidentSettings
from ipwatchd.incidents.bodies import Note
from ipwatchd.incidents.grouping import opened
from ipwatchd.incidents.log import writing
from ipwatchd.incidents.store import FILE, Incidents
from ipwatchd.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SITE = "bench"
T0 = 1_780_000_000.0


def finding(number: int, *, count: int = 20, at: float = T0) -> Finding:
    """Return a scan by one of many sources."""
    subject = f"203.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return Finding(
        rule="port-scan", subject=subject, key=f"port-scan|{subject}",
        title=f"{subject} scans ports", first_seen=T0, last_seen=at, count=count,
        severity="medium", classification="scanner", score=0.9, value=20.0, threshold=20.0,
        targets=("10.20.0.1", "10.20.0.2"), evidence={"ports": [22, 80, 443], "blocked": False},
    )  # fmt: skip


async def fill(incidents: Incidents, folder: Path, many: int, events: int) -> float:
    """Write the log; return the seconds it took."""
    begin = time.perf_counter()
    writer, signer = incidents._writer, incidents._signer  # noqa: SLF001 - in bulk
    assert writer is not None
    assert signer is not None
    held = []
    async with writing(writer, folder / FILE, SITE, signer.sign) as batch:
        for number in range(many):
            body = incidents._with_sops(opened(finding(number)))  # noqa: SLF001
            held.append(await batch.open(body, actor="detector:port-scan", now=T0 + number))
    left = events - many
    note = Note(text="asked the team lead, who knows of no test; the line is watched")
    while left > 0:
        async with writing(writer, folder / FILE, SITE, signer.sign) as batch:
            for place in range(min(left, 50_000)):
                one = (left - place) % many
                held[one] = await batch._event(  # noqa: SLF001
                    held[one], held[one].id, "note", note, "ben", T0 + 86_400
                ) or held[one]  # fmt: skip
        left -= 50_000
    await incidents.refresh()
    return time.perf_counter() - begin


async def median(work: Callable[[], Awaitable[Any]], times: int = 21) -> float:
    """Return the middle of some runs, in seconds."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


async def one_attack(folder: Path, seconds: int, rate: int) -> dict[str, Any]:
    """Put findings of one attack into a log; the clock is the findings' own."""
    incidents = await Incidents.open(folder, SITE, IncidentSettings())
    begin = time.perf_counter()
    for number in range(seconds * rate):
        at = T0 + number / rate
        await incidents.finding(finding(1, count=20 + number, at=at), at)
    await incidents.flush(T0 + seconds + 10)
    took = time.perf_counter() - begin
    rows = await incidents.list()
    verdict = await incidents.verify()
    result = {
        "findings": seconds * rate, "per_second": round(seconds * rate / took),
        "incidents": len(rows), "count": rows[0].count, "events": incidents.last_seq,
        "whole": verdict.first_bad_seq is None,
    }  # fmt: skip
    await incidents.close()
    return result


async def measure(many: int, events: int) -> dict[str, Any]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        incidents = await Incidents.open(folder, SITE, IncidentSettings())
        took = await fill(incidents, folder, many, events)
        middle = f"{SITE.upper()}-{many // 2:06d}"
        figures: dict[str, Any] = {
            "open_incidents": many, "events": incidents.last_seq,
            "write_events_per_second": round(events / took),
            "list_ms": round(1000 * await median(incidents.list), 2),
            "open_one_ms": round(1000 * await median(lambda: incidents.show(middle)), 2),
        }  # fmt: skip
        seconds = await median(incidents.verify, 3)
        figures["verify_events_per_second"] = round(events / seconds)
        assert (await incidents.verify()).first_bad_seq is None
        await incidents.close()
    with tempfile.TemporaryDirectory() as name:
        figures["one_attack"] = await one_attack(Path(name), 60, 1000)
    return figures


def main() -> None:
    """Print the figures beside their limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--incidents", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    figures = asyncio.run(measure(options.incidents, options.events))
    if options.json:
        print(json.dumps(figures))
        return
    attack = figures["one_attack"]
    print(f"{figures['open_incidents']:,} open incidents, {figures['events']:,} events")
    print(f"list 100        {figures['list_ms']:>9} ms          (at most 50)")
    print(f"open one        {figures['open_one_ms']:>9} ms          (at most 50)")
    print(
        f"verify          {figures['verify_events_per_second']:>9,} events/s    (at least 200,000)"
    )
    print(f"write in bulk   {figures['write_events_per_second']:>9,} events/s")
    print(f"one attack     {attack['per_second']:>9,} findings/s: {attack['incidents']} incident, "
          f"{attack['events']} events, count {attack['count']:,}")  # fmt: skip


if __name__ == "__main__":
    main()
