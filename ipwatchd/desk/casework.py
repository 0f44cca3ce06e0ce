"""What is done about incidents beside their log: reports held against our records, evidence taken.

`take` is the one way in for what people report, whichever channel it came by.
"""

from __future__ import annotations

import asyncio
import ipaddress
import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from ipwatchd.desk.archive import Member, members, papers, suffix_of
from ipwatchd.incidents.bodies import Checked, Collected, Suggested
from ipwatchd.incidents.chain import plain
from ipwatchd.incidents.intake.duplicates import COMPARED, duplicates
from ipwatchd.incidents.intake.scripts import claims
from ipwatchd.incidents.keep import Keep
from ipwatchd.incidents.legal.notices import local
from ipwatchd.records.duration import duration_text
from ipwatchd.records.filter import parse
from ipwatchd.records.incident import Exhibit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from ipwatchd.config import Config
    from ipwatchd.enrich import Enricher
    from ipwatchd.history import History
    from ipwatchd.incidents import Incidents
    from ipwatchd.incidents.bodies import Body
    from ipwatchd.lists import Lists
    from ipwatchd.records.incident import Incident, IncidentEvent, Report

__all__ = ["ACTOR", "Casework", "NoCaseError"]

ACTOR: Final = "ipwatchd"
WAITING: Final = 1_000
"""Incidents whose evidence is still to be taken: a flood of incidents can't fill the memory."""
AT_ONCE: Final = 4
"""Incidents whose evidence is taken in one go, so that the tick stays short."""
ROWS: Final = 1_000
EXHIBIT: Final = 4 << 20
"""Bytes of one piece of evidence."""
LOOK_BACK: Final = "24h"
CLAIMS: Final = 10


class NoCaseError(LookupError):
    """There is no such case, or no such file of it."""


class Shelf(Protocol):
    """What casework takes out of a state folder (`stores.Stores`)."""

    config: Config
    state_dir: Path
    incidents: Incidents
    history: History
    lists: Lists
    enricher: Enricher


class Casework:
    """Works on the incidents of one state folder."""

    def __init__(self, stores: Shelf) -> None:
        self._stores = stores
        most = stores.config.intake.keep_bytes
        self.reports = Keep(stores.state_dir / "reports", most)
        self.evidence = Keep(stores.state_dir / "evidence", most)
        self._opened: deque[str] = deque()
        self.on_opened: Callable[[Incident], None] | None = None
        """Called with each incident that opens, at once."""
        self.shed = 0
        """Incidents whose evidence was not taken because too many were opened at once."""

    def note_opened(self, incident: Incident) -> None:
        """Have the evidence of an incident taken at the next `work`."""
        if len(self._opened) >= WAITING:
            self._opened.popleft()
            self.shed += 1
        self._opened.append(incident.id)
        if self.on_opened is not None:
            self.on_opened(incident)

    async def work(self, now: float, most: int = AT_ONCE) -> int:
        """Take evidence for some of those that wait; return for how many."""
        done = 0
        while self._opened and done < most:
            identity = self._opened.popleft()
            incident = await self._stores.incidents.incident(identity)
            if incident is not None:
                await self.collect(incident, now)
                done += 1
        return done

    async def take(self, report: Report, now: float) -> Incident:
        """Take in a report: kept, opened as an incident, held against history, compared."""
        incidents = self._stores.incidents
        known = await incidents.of_report(report.id)
        if known:
            return known
        incident = await incidents.report(report, now)
        script = incidents.policy.script(report.kind)
        found = claims(script, report.answers) if script else []
        if report.subject:
            found = [
                ("address" if _is_address(report.subject) else "agent", report.subject),
                *found,
            ]
        facts = [await self._held_against(*claim, now) for claim in dict.fromkeys(found[:CLAIMS])]
        if facts:
            body = Checked(report=report.id, facts=tuple(facts))
            incident = await self._write(incident, "checked", body, now)
        others = await incidents.list(limit=COMPARED)
        alike = tuple(one._asdict() for one in duplicates(incident, others))
        if alike:
            incident = await self._write(incident, "suggested", Suggested(duplicates=alike), now)
        self.note_opened(incident)
        return incident

    async def _write(self, incident: Incident, kind: str, body: Body, now: float) -> Incident:
        return await self._stores.incidents.append(incident.id, kind, body, actor=ACTOR, now=now)

    async def _held_against(self, kind: str, text: str, now: float) -> dict[str, Any]:
        """Return whether our records know of what a report claims."""
        if kind == "time":
            return {"claim": kind, "said": text[:200], "known": None,
                    "fact": await self._recorded_span()}  # fmt: skip
        word = text[:200]
        if kind == "address" and not _is_address(word):
            return {"claim": kind, "said": word, "known": None, "fact": "is no address"}
        history = self._stores.history
        try:
            if kind == "address":
                row = await history.address(str(ipaddress.ip_address(word))) or {}
                rows = [row] if row else []
            else:
                query = parse(f'agent:"{word.replace(chr(34), "")}"', now)
                rows = await history.records("agent", query, 1)
        except (ValueError, OSError, sqlite3.Error) as error:
            return {"claim": kind, "said": word, "known": None, "fact": f"not looked up: {error}"}
        if not rows:
            return {"claim": kind, "said": word, "known": False, "fact": "is not in our records"}
        seen = float(rows[0].get("last_seen") or 0.0)
        where = rows[0].get("zone") or rows[0].get("address") or ""
        ago = f"last seen {duration_text(max(0.0, now - seen))} before" if seen else "known"
        place = f" ({where})" if where and where != word else ""
        return {"claim": kind, "said": word, "known": True, "fact": f"{ago}{place}",
                "last_seen": seen}  # fmt: skip

    async def _recorded_span(self) -> str:
        status = await self._stores.history.status()
        if not status.get("oldest"):
            return "nothing is recorded yet"
        zone = self._stores.incidents.policy.seat.zone
        oldest, newest = (local(float(status[end]), zone) for end in ("oldest", "newest"))
        return f"our records go from {oldest} to {newest}"

    async def collect(self, incident: Incident, now: float) -> Incident:
        """Take evidence on an incident's subject; what can't be had is named on the timeline."""
        exhibits: list[Exhibit] = []
        missing: dict[str, str] = {}
        if not _is_address(incident.subject):
            return incident
        for name, work in self._sources(incident.subject, now).items():
            try:
                found = await work
                if found:
                    exhibits.append(self._kept(name, found, now))
            except (ValueError, OSError, sqlite3.Error) as error:
                missing[name] = str(error)[:300]
        if not exhibits and not missing:
            return incident
        body = Collected(exhibits=tuple(exhibits), missing=missing)
        return await self._write(incident, "collected", body, now)

    def _sources(self, subject: str, now: float) -> dict[str, Awaitable[Any]]:
        stores = self._stores
        address = str(ipaddress.ip_address(subject))
        query = parse(f"addr:{address} since:{LOOK_BACK}", now)
        return {
            "address": stores.history.address(address),
            "flows": stores.history.flows(query, ROWS),
            "events": stores.history.events(query, ROWS),
            "lists": self._lists(address, now),
            "place": self._place(address),
        }

    async def _lists(self, address: str, now: float) -> Any:
        return self._stores.lists.why(address, now)

    async def _place(self, address: str) -> Any:
        return self._stores.enricher.place(address)

    def _kept(self, name: str, found: Any, now: float) -> Exhibit:
        data = msgspec.json.format(msgspec.json.encode(found, enc_hook=plain))
        note = ""
        if len(data) > EXHIBIT:
            note = f"cut: {len(data):,} bytes"
            data = data[:EXHIBIT]
        digest = self.evidence.put(data, ".json")
        rows = len(found) if isinstance(found, list) else 1
        return Exhibit(
            name=f"{name}.json", sha256=digest, bytes=len(data), taken=now, rows=rows, note=note
        )

    async def add_file(self, identity: str, name: str, data: bytes, rows: int, now: float) -> None:
        """Put a file to an incident's evidence."""
        digest = self.evidence.put(data, suffix_of(name))
        one = Exhibit(name=name, sha256=digest, bytes=len(data), taken=now, rows=rows)
        incident = await self._stores.incidents.incident(identity)
        if incident is not None:
            await self._write(incident, "collected", Collected(exhibits=(one,)), now)

    async def export(self, identity: str, now: float) -> tuple[dict[str, bytes], list[Member]]:
        """Return what an incident's archive consists of: small files, and kept ones by name.

        Reports of what was merged into it are its own. The manifest has every file's SHA-256; what
        is no longer there, or no longer what it was, is named in it. NoCaseError where there is no
        such incident.
        """
        incident, events, merged = await self._told(identity)
        documents: dict[str, object] = {"incident.json": incident, "timeline.json": events}
        for name, others in merged.items():
            documents[f"merged/{name}.json"] = others
        told = [*events, *(event for others in merged.values() for event in others)]
        there, lost = await asyncio.to_thread(self._sound, members(incident.exhibits, told))
        return papers(incident, documents, there, lost, now), there

    async def _told(
        self, identity: str
    ) -> tuple[Incident, list[IncidentEvent], dict[str, list[IncidentEvent]]]:
        """Return an incident, its events, and those of what was merged into it."""
        incidents = self._stores.incidents
        found = await incidents.show(identity)
        if found is None:
            raise NoCaseError(f"there is no incident {identity}")
        incident, events = found
        merged = {}
        for event in events:
            name = event.body.get("incident", "") if event.kind == "absorbed" else ""
            other = await incidents.show(name) if name else None
            if other:
                merged[name] = other[1]
        return incident, events, merged

    def _sound(self, wanted: list[Member]) -> tuple[list[Member], dict[str, str]]:
        """Return the kept files that are what they were, with their sizes, and why others not."""
        there, lost = [], {}
        for one in wanted:
            size = self._keep(one).sound(one.sha256, one.suffix)
            if size is None:
                lost[one.name] = f"not there, or changed since: SHA-256 was {one.sha256}"
            else:
                there.append(one._replace(bytes=size))
        return there, lost

    async def piece(self, identity: str, name: str, offset: int, most: int) -> bytes:
        """Return a piece of a kept file of an incident's archive; b"" behind its end.

        NoCaseError where there is no such incident or file, OSError where it can't be read.
        """
        incident, events, merged = await self._told(identity)
        told = [*events, *(event for others in merged.values() for event in others)]
        for one in members(incident.exhibits, told):
            if one.name == name:
                path = self._keep(one).path(one.sha256, one.suffix)
                return await asyncio.to_thread(_piece, path, offset, most)
        raise NoCaseError(f"{incident.id} has no file {name}")

    def _keep(self, one: Member) -> Keep:
        return self.evidence if one.folder == "evidence" else self.reports


def _piece(path: Path, offset: int, most: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(most)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
