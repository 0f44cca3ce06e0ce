"""Incidents: 10,000 open and 1,000,000 events; list, open, verify; one attack's findings; a page.

Each incident of the log has a legal duty, and pages that were delivered and answered.

The log is made of the daemon's own links, folds and rows, every event signed, so that what is read
is what a site would have; signing alone takes a minute for a million, so `--keep DIR` keeps it for
the next time. Name parts to measure only those.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ipwatchd.config import IncidentSettings
from ipwatchd.config.settings import EscalationSettings
from ipwatchd.incidents.bodies import Acked, Delivered, Note, Obliged, Paged
from ipwatchd.incidents.chain import START, after, link
from ipwatchd.incidents.fold import apply
from ipwatchd.incidents.grouping import opened
from ipwatchd.incidents.log import INSERT_EVENT, INSERT_INCIDENT, columns_of, row_of
from ipwatchd.incidents.signing import load_public
from ipwatchd.incidents.store import FILE, Incidents
from ipwatchd.incidents.verify import verify_file
from ipwatchd.paging.pager import Pager
from ipwatchd.records.finding import Finding
from ipwatchd.records.incident import Obligation
from ipwatchd.records.paging import Page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from ipwatchd.records.incident import Incident

SITE = "bench"
T0 = 1_780_000_000.0
TIMES = 20
_AT_ONCE = 50_000
_NOTE = Note(text="asked the team lead, who knows of no test; the line is watched")


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


async def page(_: argparse.Namespace) -> dict[str, Any]:
    """Return the time from a P1 to the mail server's having its mail: median and worst."""
    with tempfile.TemporaryDirectory() as name:
        return {"page": await paged(Path(name), TIMES)}


async def paged(folder: Path, times: int) -> dict[str, float]:
    """Page of some P1 one after the other."""
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


class Bulk:
    """Writes a log with the links, folds and rows of the daemon, many events a transaction."""

    def __init__(self, incidents: Incidents, folder: Path) -> None:
        self._incidents = incidents
        signer = incidents._signer  # noqa: SLF001 - the site's key
        assert signer is not None
        self._sign = signer.sign
        self._db = sqlite3.connect(folder / FILE)
        self._head, self._rows = START, list[tuple[Any, ...]]()
        self.held: list[Incident] = []

    def open(self, number: int) -> None:
        """Open an incident with a duty, and pages that were delivered and answered."""
        at = T0 + number
        body = self._incidents._with_sops(opened(finding(number)))  # noqa: SLF001 - as the daemon
        one = self._event(None, f"{SITE.upper()}-{number + 1:06d}", "opened", body, "detector", at)
        for kind, part in escalated(at):
            one = self._event(one, one.id, kind, part, "ipwatchd", at)
        self.held.append(one)

    def note(self, place: int) -> None:
        """Write a note to an incident."""
        one = self.held[place]
        self.held[place] = self._event(one, one.id, "note", _NOTE, "ben", T0 + 86_400)

    def _event(
        self, before: Incident | None, identity: str, kind: str, body: Any, actor: str, now: float
    ) -> Incident:
        event = link(SITE, self._head, time=now, incident=identity, actor=actor, kind=kind,
                     body=body, sign=self._sign)  # fmt: skip
        self._head = after(event)
        self._rows.append(row_of(event))
        if len(self._rows) >= _AT_ONCE:
            self._write()
        return apply(before, event)

    def _write(self) -> None:
        with self._db:
            self._db.executemany(INSERT_EVENT, self._rows)
        self._rows.clear()
        say(f"  {self._head.seq:,} events written")

    def close(self) -> None:
        """Write what is left, and the incidents as they stand."""
        self._write()
        with self._db:
            self._db.executemany(INSERT_INCIDENT, (
                (number, one.id, one.key, *columns_of(one))
                for number, one in enumerate(self.held, 1)
            ))  # fmt: skip
        self._db.close()


def fill(incidents: Incidents, folder: Path, many: int, events: int) -> float:
    """Write the log; return the seconds it took."""
    begin = time.perf_counter()
    bulk = Bulk(incidents, folder)
    for number in range(many):
        bulk.open(number)
    for left in range(events - many * (1 + len(escalated(T0)))):
        bulk.note(left % many)
    bulk.close()
    return time.perf_counter() - begin


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


async def median(work: Callable[[], Awaitable[Any]], times: int = 21) -> float:
    """Return the middle of some runs, in seconds."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


async def attack(_: argparse.Namespace) -> dict[str, Any]:
    """Put findings of one attack into a log; the clock is the findings' own."""
    seconds, rate = 60, 1000
    with tempfile.TemporaryDirectory() as name:
        incidents = await Incidents.open(Path(name), SITE, IncidentSettings())
        begin = time.perf_counter()
        for number in range(seconds * rate):
            at = T0 + number / rate
            await incidents.finding(finding(1, count=20 + number, at=at), at)
            if number % (10 * rate) == 0:
                say(f"  {number:,} findings of one attack taken")
        await incidents.flush(T0 + seconds + 10)
        took = time.perf_counter() - begin
        rows = await incidents.list()
        verdict = await incidents.verify()
        figures = {
            "findings": seconds * rate, "per_second": round(seconds * rate / took),
            "incidents": len(rows), "count": rows[0].count, "events": incidents.last_seq,
            "whole": verdict.first_bad_seq is None,
        }  # fmt: skip
        await incidents.close()
    return {"one_attack": figures}


async def log(options: argparse.Namespace) -> dict[str, Any]:
    """Return how fast a long log is listed, opened and verified; it is written where it is not."""
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        figures: dict[str, Any] = {}
        incidents = await Incidents.open(folder, SITE, IncidentSettings())
        if not incidents.last_seq:
            took = fill(incidents, folder, options.incidents, options.events)
            figures["write_events_per_second"] = round(options.events / took)
            await incidents.refresh()
        say("  listing, opening, verifying")
        middle = f"{SITE.upper()}-{options.incidents // 2:06d}"
        figures |= {
            "open_incidents": sum((await incidents.open_counts()).values()),
            "events": incidents.last_seq,
            "list_ms": round(1000 * await median(incidents.list), 2),
            "open_one_ms": round(1000 * await median(lambda: incidents.show(middle)), 2),
            "clocks_ms": round(1000 * await median(lambda: incidents.with_duties(100)), 2),
        }  # fmt: skip
        verdict = await incidents.verify()
        assert (verdict.events, verdict.first_bad_seq) == (incidents.last_seq, None)
        seconds = await median(incidents.verify, 3)
        figures["verify_events_per_second"] = round(verdict.events / seconds)
        one = partial(asyncio.to_thread, verify_file, folder / FILE, SITE, load_public(folder), 1)
        seconds = await median(one, 3)
        figures["verify_one_process_events_per_second"] = round(verdict.events / seconds)
        begin = time.perf_counter()
        whole = await incidents.verify_whole()
        assert whole.bad == 0
        figures["verify_whole_seconds"] = round(time.perf_counter() - begin, 1)
        await incidents.close()
    return figures


PARTS: dict[str, Callable[[argparse.Namespace], Awaitable[dict[str, Any]]]] = {
    "log": log, "attack": attack, "page": page,
}  # fmt: skip


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of the parts that were asked for."""
    figures: dict[str, Any] = {}
    for name in options.parts or PARTS:
        say(f"{name} …")
        begin = time.perf_counter()
        figures |= await PARTS[name](options)
        say(f"{name}: {time.perf_counter() - begin:.0f} s")
    return figures


def main() -> None:
    """Print the figures beside their limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--incidents", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="write the log there, or read the one that is"
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"{min(unknown)} is no part: {', '.join(PARTS)}")
    figures = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(figures))
    else:
        print("\n".join(lines(figures)))


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """Return what was measured, beside what it must be."""
    if "list_ms" in figures:
        yield f"{figures['open_incidents']:,} open incidents, {figures['events']:,} events"
        yield f"list 100        {figures['list_ms']:>9} ms          (at most 50)"
        yield f"open one        {figures['open_one_ms']:>9} ms          (at most 50)"
        yield f"next 100 due    {figures['clocks_ms']:>9} ms"
        for name, text in (("verify", "(at least 200,000)"), ("verify_one_process", "in one")):
            rate = figures[f"{name}_events_per_second"]
            yield f"verify          {rate:>9,} events/s    {text}"
        yield f"verify --whole  {figures['verify_whole_seconds']:>9} s"
    if "write_events_per_second" in figures:
        yield f"write in bulk   {figures['write_events_per_second']:>9,} events/s"
    if "page" in figures:
        paged = figures["page"]
        yield (f"a page leaves   {paged['median_ms']:>9} ms, worst of {TIMES} "
               f"{paged['worst_ms']} ms (at most 1,000)")  # fmt: skip
    if "one_attack" in figures:
        one = figures["one_attack"]
        yield (f"one attack     {one['per_second']:>9,} findings/s: {one['incidents']} incident, "
               f"{one['events']} events, count {one['count']:,}")  # fmt: skip


if __name__ == "__main__":
    main()
