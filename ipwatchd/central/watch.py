"""The centre's escalation: it pages for itself and, by lease, in the place of sites.

What it pages for are incidents of its own log (site "centre": hash-chained and signed as any), so
that who was told, who answered and when it ended is on record there.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from ipwatchd.central.takeover import ENDS, is_away, same_source, silent, taken_over
from ipwatchd.config import IncidentSettings
from ipwatchd.config.settings import EscalationSettings
from ipwatchd.incidents import Incidents
from ipwatchd.incidents.bodies import State
from ipwatchd.incidents.paging.escalate import is_answered
from ipwatchd.incidents.triage import severity_rank
from ipwatchd.paging.ackdrop import AckDrop
from ipwatchd.paging.pager import ACTOR, Pager
from ipwatchd.records.exchange import Acknowledged
from ipwatchd.records.incident import OPEN_STATES, STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ipwatchd.central.store import Store
    from ipwatchd.central.takeover import Lease
    from ipwatchd.config import CentralSettings
    from ipwatchd.incidents.paging.plan import Plan
    from ipwatchd.records.finding import Finding
    from ipwatchd.records.incident import Incident

__all__ = ["SITE", "Watch"]

SITE: Final = "centre"
LOOK: Final = 1.0
GRANT: Final = 60.0
"""Seconds for which a site may be quiet after the centre said that it pages for it."""
SOURCES: Final = 15.0
"""Seconds between two looks at incidents that did not change, and for one source at many sites:
each reads them all."""
ACKS: Final = 100
KEPT: Final = 3600.0
"""Seconds for which an answer is offered to the site that it is for."""
MOST: Final = 10_000


class Watch:
    """Escalates at the centre. `note` says what is wrong, "" when all is well."""

    def __init__(
        self, store: Store, incidents: Incidents, pager: Pager, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self.incidents = incidents
        self.pager = pager
        self._clock = clock
        self._begun = clock()
        self._sources = 0.0
        self._acks: dict[str, tuple[Acknowledged, ...]] = {}
        self._open: dict[str, Incident] = {}
        self._records: dict[str, Incident] = {}
        """The site's incident → ours that stands for it."""
        self._seen = -1
        self._found: dict[str, tuple[int, float, list[Finding]]] = {}
        self.note = ""

    @classmethod
    async def open(
        cls, store: Store, settings: CentralSettings, clock: Callable[[], float]
    ) -> Self:
        """Open the centre's own log in its state folder; ValueError for a plan with a fault."""
        folder = Path(settings.state_dir)
        chosen = EscalationSettings(
            plan=settings.escalation, listen=settings.acks, link=settings.link
        )
        incidents = await Incidents.open(folder, SITE, IncidentSettings())
        pager = Pager(chosen, incidents, folder, clock)
        if pager.note:
            await incidents.close()
            raise ValueError(pager.note)
        return cls(store, incidents, pager, clock)

    async def run(self, stop: asyncio.Event, listen: str = "") -> None:
        """Watch and page until told to stop."""
        drop = AckDrop(listen, self.pager, self._clock) if listen else None
        try:
            if drop:
                await drop.start()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.pager.run(stop), name="pager")
                while not stop.is_set():
                    await self._look()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), LOOK)
        finally:
            if drop:
                await drop.stop()
            await self.incidents.close()

    async def _look(self) -> None:
        try:
            await self.tick(self._clock())
        except (OSError, sqlite3.Error) as error:
            self.note = f"the centre's escalation: {error}"
        else:
            self.note = ""

    def grant(self, lease: float) -> float:
        """Return for how long a site that hands over may rely on the centre's pages."""
        well = self.pager.plan and not self.note and not self.pager.status()["troubles"]
        return min(GRANT, lease) if well else 0.0

    def acks(self, site: str) -> tuple[Acknowledged, ...]:
        """Return who answered at the centre for incidents of a site."""
        return self._acks.get(site, ())

    async def tick(self, now: float) -> None:
        """Open what must be paged of, raise what became worse, close what no longer must."""
        plan = self.pager.plan
        if plan is None:
            return
        await self._read_own(now)
        wanted = {found.key: found for found in await self._wanted(plan, now)}
        for key, found in wanted.items():
            held = self._open.get(key)
            if held is None or severity_rank(found.severity) > severity_rank(held.severity):
                await self.incidents.finding(found, now)
        for key, one in self._open.items():
            if one.rule in ENDS and key not in wanted and await self._is_over(one, now):
                await self._close(one, now)
        await self.incidents.flush(now)

    async def _wanted(self, plan: Plan, now: float) -> list[Finding]:
        """Return all that somebody at the centre must be paged of now."""
        wanted: list[Finding] = []
        for lease in await self._store.leases():
            away = is_away(lease, plan, now, self._begun)
            if away:
                wanted.append(silent(lease, now))
            if away or lease.hand_over:
                wanted += await self._of_site(lease, plan, now)
        if abs(now - self._sources) >= SOURCES:
            self._sources = now
            wanted += same_source(await self._store.incidents(limit=MOST), plan, now)
        return wanted

    async def _of_site(self, lease: Lease, plan: Plan, now: float) -> list[Finding]:
        """Return what is to be paged of a site's incidents, looked at anew where they changed."""
        seq, at, found = self._found.get(lease.site, (-1, 0.0, []))
        if seq != lease.seq or not 0 <= now - at < SOURCES:
            held = await self._store.incidents(site=lease.site, limit=MOST)
            found = await asyncio.to_thread(taken_over, lease, held, plan, now, self._records)
            self._found[lease.site] = (lease.seq, now, found)
        return found

    async def _is_over(self, one: Incident, now: float) -> bool:
        """Tell whether what the centre pages for has ended: the site is back, or has answered."""
        if one.rule == "site-silent":
            return True
        site, name = str(one.evidence.get("site")), str(one.evidence.get("incident"))
        leases = {lease.site: lease for lease in await self._store.leases()}
        plan = self.pager.plan
        if plan and site in leases and not leases[site].hand_over:
            return not is_away(leases[site], plan, now, self._begun)
        held = await self._store.incident(site, name)
        # At a site that handed over it ends when its people have answered or it is closed there.
        return held is None or held.state not in OPEN_STATES or is_answered(held)

    async def _close(self, one: Incident, now: float) -> None:
        why = "the site is heard again" if one.rule == "site-silent" else (
            "the site pages by itself again, or answered"
        )  # fmt: skip
        body = State(action="close", before=one.state, after="CLOSED", reason=why, resolution=why)
        await self.incidents.append(one.id, "state", body, actor=ACTOR, now=now)

    async def _read_own(self, now: float) -> None:
        """Read the centre's own incidents where they changed."""
        await self.incidents.refresh()
        if self._seen == self.incidents.last_seq:
            return
        self._seen = self.incidents.last_seq
        rows = await self.incidents.list(states=STATES, limit=MOST)
        self._open = {one.key: one for one in rows if one.state in OPEN_STATES}
        self._records = {
            str(one.evidence.get("incident")): one for one in reversed(rows)
            if one.rule == "taken-over"
        }  # fmt: skip
        acks: dict[str, list[Acknowledged]] = {}
        for one in rows:
            site, name = one.evidence.get("site"), one.evidence.get("incident")
            if one.paging and site and name and now - one.updated < KEPT:
                acks.setdefault(str(site), []).extend(_answers(one, str(name)))
        self._acks = {site: tuple(held[:ACKS]) for site, held in acks.items()}

    def status(self) -> dict[str, Any]:
        """Return how paging at the centre stands."""
        return self.pager.status() | {"note": self.note or self.pager.note}


def _answers(one: Incident, name: str) -> Sequence[Acknowledged]:
    paging = one.paging
    when = paging.acked or paging.begun if paging else 0.0
    return [Acknowledged(name, by, when) for by in (paging.acks if paging else ())]
