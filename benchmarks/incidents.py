"""Incidents: 10,000 open and 1,000,000 events; list, open, verify; one attack's findings; a page.

Each incident of the log has a legal duty, and pages that were delivered and answered.

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

import msgspec

from ipwatchd.config import IncidentSettings
from ipwatchd.config.settings import EscalationSettings
from ipwatchd.incidents.bodies import Acked, Delivered, Note, Obliged, Paged
from ipwatchd.incidents.grouping import opened
from ipwatchd.incidents.log import writing
from ipwatchd.incidents.store import FILE, Incidents
from ipwatchd.paging.pager import Pager
from ipwatchd.records.finding import Finding
from ipwatchd.records.incident import Obligation
from ipwatchd.records.paging import Page

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


def escalated(now: float) -> list[tuple[str, Any]]:
    """Return the events of a duty and of three pages, one of which was answered."""
    duty = Obligation(
        id="gdpr.authority", title="Notify the supervisory authority (GDPR)", started=now,
        due=now + 72 * 3600, to="the authority", cite="Art. 33(1)", regime="gdpr 2016/679",
    )  # fmt: skip
    pages = tuple(
        Page(number=number, time=now, person=name, channel="mail", to=f"{name}@example.net")
        for number, name in enumerate(("ana", "ben", "cho"), 1)
    )
    paged = Paged(policy="urgent", cause="opened", priority="P3", step=0, round=0, need=1,
                  pages=pages)  # fmt: skip
    sent = [("delivered", Delivered(page=number, ok=True)) for number in (1, 2, 3)]
    return [("obliged", Obliged(obligation=duty)), ("paged", paged), *sent,
            ("acked", Acked(by="ana"))]  # fmt: skip


PLAN = """
[channels.mail]
kind = "smtp"
host = "127.0.0.1"
port = PORT
tls = "none"
sender = "ipwatchd@example.net"
[people.ana]
contacts = [{ channel = "mail", to = "ana@example.net" }]
[catch_all]
targets = ["person:ana"]
"""


async def page(folder: Path, times: int) -> dict[str, float]:
    """Return seconds from a P1 to the mail server's having its mail: median and worst."""
    from aiosmtpd.smtp import SMTP

    arrived = asyncio.Event()

    class Box:
        async def handle_DATA(self, *_: Any) -> str:  # noqa: N802 - aiosmtpd's name
            arrived.set()
            return "250 taken"

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Box(), loop=loop), "127.0.0.1", 0)
    plan = folder / "escalation.toml"
    plan.write_text(PLAN.replace("PORT", str(server.sockets[0].getsockname()[1])))
    incidents = await Incidents.open(folder, SITE, IncidentSettings())
    pager = Pager(EscalationSettings(plan=str(plan)), incidents, folder, time.time)
    stop, taken = asyncio.Event(), []
    running = asyncio.ensure_future(pager.run(stop))
    for number in range(times):
        arrived.clear()
        begin = time.perf_counter()
        urgent = msgspec.structs.replace(
            finding(number, at=time.time()), severity="critical", first_seen=time.time()
        )
        await incidents.finding(urgent, time.time())
        await arrived.wait()
        taken.append(time.perf_counter() - begin)
        await asyncio.sleep(0.05)
    stop.set()
    await running
    await incidents.close()
    server.close()
    return {"median_ms": round(1000 * statistics.median(taken), 1),
            "worst_ms": round(1000 * max(taken), 1)}  # fmt: skip


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
            one = await batch.open(body, actor="detector:port-scan", now=T0 + number)
            for kind, part in escalated(T0 + number):
                one = await batch.append(one, kind, part, actor="ipwatchd", now=T0 + number)
            held.append(one)
    left = events - batch.head.seq
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
            "clocks_ms": round(1000 * await median(lambda: incidents.with_duties(100)), 2),
        }  # fmt: skip
        seconds = await median(incidents.verify, 3)
        figures["verify_events_per_second"] = round(events / seconds)
        assert (await incidents.verify()).first_bad_seq is None
        await incidents.close()
    with tempfile.TemporaryDirectory() as name:
        figures["one_attack"] = await one_attack(Path(name), 60, 1000)
    with tempfile.TemporaryDirectory() as name:
        figures["page"] = await page(Path(name), 20)
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
    print(f"next 100 due    {figures['clocks_ms']:>9} ms")
    print(
        f"verify          {figures['verify_events_per_second']:>9,} events/s    (at least 200,000)"
    )
    print(f"write in bulk   {figures['write_events_per_second']:>9,} events/s")
    print(f"a page leaves   {figures['page']['median_ms']:>9} ms, worst of 20 "
          f"{figures['page']['worst_ms']} ms (at most 1,000)")  # fmt: skip
    print(f"one attack     {attack['per_second']:>9,} findings/s: {attack['incidents']} incident, "
          f"{attack['events']} events, count {attack['count']:,}")  # fmt: skip


if __name__ == "__main__":
    main()
