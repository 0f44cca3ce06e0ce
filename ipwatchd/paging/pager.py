"""The shell of escalation: looks at incidents when they change or their time comes, and pages.

A page is on the disk before it goes out; where the disk refuses, it goes out all the same. What the
log has as on its way when the daemon starts is sent again: twice is allowed, not at all is not.
"""

from __future__ import annotations

import asyncio
import heapq
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import structlog

from ipwatchd.incidents.bodies import Delivered
from ipwatchd.incidents.legal.duties import CENTRE
from ipwatchd.incidents.paging.escalate import BACK, NEVER, is_answered, move, wake
from ipwatchd.incidents.paging.letters import check_stakeholders
from ipwatchd.incidents.paging.pages import message_of, read_token, token_of
from ipwatchd.incidents.paging.plan_file import load_plan, warnings
from ipwatchd.incidents.paging.replies import ref_of
from ipwatchd.paging.key import key_of
from ipwatchd.paging.notify.outbox import Outbox
from ipwatchd.paging.post import Post
from ipwatchd.records.incident import OPEN_STATES
from ipwatchd.trouble import sentence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from ipwatchd.config.settings import EscalationSettings
    from ipwatchd.incidents import Incidents
    from ipwatchd.incidents.bodies import Paged
    from ipwatchd.incidents.paging.plan import Plan
    from ipwatchd.incidents.updates import Audience
    from ipwatchd.records.exchange import Acknowledged
    from ipwatchd.records.incident import Incident
    from ipwatchd.records.paging import Message

__all__ = ["ACTOR", "Pager"]

ACTOR: Final = "ipwatchd"
LOOK: Final = 1.0
"""Seconds between two looks at the clock at most: it may be set back or ahead."""
AGAIN: Final = 60.0
"""Seconds until an incident is looked at again that could not be written."""
ROOM: Final = 600.0
"""Seconds until it is looked at again whether somebody may be told who was told too often."""
AT_ONCE: Final = 1_000
"""Incidents looked at before the clock and the wish to stop are looked at again."""
IN_A_ROW: Final = 10
"""Moves of one incident at one time; a plan that never comes to rest blocks nobody else."""
ALL: Final = 10_000
_LOG: Final = structlog.get_logger("pager")


class Pager:
    """Escalates the incidents of one site. `note` says what is wrong, "" when all is well."""

    def __init__(
        self, settings: EscalationSettings, incidents: Incidents, state_dir: Path,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._incidents = incidents
        self._clock = clock
        self.key = key_of(state_dir)
        self._changed: dict[str, None] = {}
        self._urgent: dict[str, None] = {}
        """What of the changed is a P1: it does not wait behind a storm of others."""
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._bell = asyncio.Event()
        self._waiting: dict[str, float] = {}
        self._names: dict[str, None] = {}
        """Open incidents, to be looked at when the centre gives paging back."""
        self._looked = 0.0
        self._failed: dict[tuple[str, int], str] = {}
        self.plan: Plan | None = None
        self.outbox = Outbox({}, self._done)
        self.post = Post(incidents, self.outbox, lambda: self.plan, clock, self.key)
        self.papers: Callable[[Message, bool, str], Awaitable[None]] | None = None
        """Is told what became of a report that went out on a schedule."""
        self.note = ""
        self.hushed = False
        """The centre pages for this site by a lease: nothing leaves here."""
        self.lease: Callable[[float], bool] | None = None
        """Tells whether the centre pages now."""
        self.counters = {"pages": 0, "unwritten": 0}
        self.adopt(settings)
        incidents.watcher = self.changed

    def adopt(self, settings: EscalationSettings) -> None:
        """Take a plan; of one that can't be used the last good one stays."""
        self._settings = settings
        if not settings.plan:
            self.plan, self.note = None, ""
            return
        try:
            plan = load_plan(settings.plan)
            check_stakeholders(plan, self._incidents.policy.audiences)
        except (OSError, ValueError) as error:
            kept = ": the last good one stays" if self.plan else ": nobody is paged"
            self.note = f"escalation{kept}: {sentence(error)}"
            return
        self.plan, self.note = plan, ""
        self.outbox.channels = self.plan.channels
        for warning in warnings(self.plan, self._clock()):
            _LOG.warning(warning)

    @property
    def audiences(self) -> Mapping[str, Audience]:
        """Return who updates and reports may go to."""
        return self._incidents.policy.audiences

    def changed(self, incident: Incident) -> None:
        """Have an incident looked at; called when its events are on the disk."""
        (self._urgent if incident.priority == "P1" else self._changed)[incident.id] = None
        self._bell.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Escalate until told to stop."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await self._resume()
            while not stop.is_set():
                await self.look(self._clock())
                ring = asyncio.ensure_future(self._bell.wait())
                await asyncio.wait(
                    (ring, stopping), timeout=self._sleep(), return_when=asyncio.FIRST_COMPLETED
                )
                ring.cancel()
        finally:
            stopping.cancel()
            await self.outbox.close()

    def _sleep(self) -> float:
        first = self._heap[0][0] - self._clock() if self._heap else LOOK
        return max(0.0, min(LOOK, first))

    async def _resume(self) -> None:
        """Look at all open incidents; send again what was on its way when the daemon ended."""
        now = self._clock()
        await self.post.resume(now)
        for incident in await self._incidents.list(limit=ALL):
            self._changed[incident.id] = None
            paging = incident.paging
            if self.plan and paging and not is_answered(incident):
                for page in paging.pages:
                    if not page.state:
                        self._post(incident, page.number, now)

    async def look(self, now: float) -> None:
        """Do what is due."""
        self._bell.clear()
        self.hush(hushed=self.lease is not None and self.lease(now))
        if now + BACK < self._looked:
            self._changed |= self._names
        self._looked = now
        self.post.tick(now)
        while self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            if self._due.get(name) == due:
                del self._due[name]
                self._changed[name] = None
        for _ in range(AT_ONCE):
            waiting = self._urgent or self._changed
            if not waiting:
                return
            await self._look_at(next(iter(waiting)), now)
        self._bell.set()

    async def _look_at(self, name: str, now: float) -> None:
        self._urgent.pop(name, None)
        self._changed.pop(name, None)
        try:
            await self._escalate(name, now)
        except (OSError, sqlite3.Error) as error:
            # The incident can't be read now: its pages come when it can.
            self.note = f"escalation: {sentence(error)}"
            self._wake(name, now + AGAIN)

    async def _escalate(self, name: str, now: float) -> None:
        incident = await self._incidents.incident(name)
        if incident is None or self.plan is None:
            return
        told = await self.post.by_itself(incident, now)
        incident = await self._incidents.incident(name) or incident
        if self.hushed:
            self._remember(incident)
            return
        for _ in range(IN_A_ROW):
            made = move(incident, self.plan, now)
            if made is None:
                break
            try:
                incident = await self._incidents.append(name, "paged", made, actor=ACTOR, now=now)
            except OSError as error:
                self._unwritten(incident, made, error, now)
                self._wake(name, now + AGAIN)
                return
            self.note = ""
            for page in made.pages:
                self._post(incident, page.number, now)
        due = wake(incident, self.plan, now)
        self._wake(name, due if told else min(due, now + ROOM))
        self._remember(incident)

    def _unwritten(self, incident: Incident, made: Paged, error: OSError, now: float) -> None:
        """Page although the disk refuses: a full disk is a night in which somebody must come."""
        from ipwatchd.incidents.chain import START, link
        from ipwatchd.incidents.fold import apply

        self.counters["unwritten"] += 1
        self.note = f"pages go out and are not in the log: {sentence(error)}"
        event = link(
            incident.site, START, time=now, incident=incident.id, actor=ACTOR, kind="paged",
            body=made,
        )  # fmt: skip
        shown = apply(incident, event)
        for page in made.pages:
            self._post(shown, page.number, now)

    def _post(self, incident: Incident, number: int, now: float) -> None:
        paging = incident.paging
        page = next((one for one in paging.pages if one.number == number), None) if paging else None
        if page is None or self.plan is None:
            return
        link = ""
        if self._settings.link:
            token = token_of(self.key, incident.id, number, page.person or page.channel)
            link = f"{self._settings.link.rstrip('/')}/ack/{token}"
        zone = self._incidents.policy.seat.zone
        ref = ref_of(self.key, incident.id, number, page.to)
        self.outbox.put(
            message_of(incident, page, self.plan, zone=zone, link=link, now=now, ref=ref)
        )
        self.counters["pages"] += 1

    async def _done(self, message: Message, ok: bool, why: str, tries: int) -> None:
        """Write what became of a page; a failure is looked at at once."""
        if message.kind == "letter":
            await self.post.done(message, ok, why, tries)
            return
        if message.kind == "paper":
            if self.papers:
                await self.papers(message, ok, why)
            return
        key = (message.incident, message.page)
        if ok:
            self._failed.pop(key, None)
        else:
            self._failed[key] = why
            while len(self._failed) > ALL:
                del self._failed[next(iter(self._failed))]
            _LOG.warning("a page did not leave", incident=message.incident, to=message.to, why=why)
        body = Delivered(page=message.page, ok=ok, why=why, tries=tries)
        try:
            await self._incidents.append(
                message.incident, "delivered", body, actor=ACTOR, now=self._clock()
            )
        except (OSError, LookupError, sqlite3.Error) as error:
            self.note = f"what became of a page is not in the log: {sentence(error)}"

    def _wake(self, name: str, due: float) -> None:
        if self._due.get(name) == due:
            return
        self._due.pop(name, None)
        if due != NEVER:
            self._due[name] = due
            heapq.heappush(self._heap, (due, name))

    def _remember(self, incident: Incident) -> None:
        if incident.state in OPEN_STATES:
            self._names[incident.id] = None
        else:
            self._names.pop(incident.id, None)
        if is_answered(incident) or incident.state not in OPEN_STATES:
            self._waiting.pop(incident.id, None)
            for key in [one for one in self._failed if one[0] == incident.id]:
                del self._failed[key]
        elif incident.paging:
            self._waiting[incident.id] = incident.paging.begun

    async def acknowledge(self, token: str, now: float) -> Incident | None:
        """Take a page's token as its person's acknowledgement; None where it is none of ours."""
        found = read_token(self.key, token[:500])
        if found is None:
            return None
        name, _, person = found
        return await self._incidents.act(
            name, "ack", actor=person, now=now, details={"via": "link"}
        )

    async def take_acks(self, acks: Sequence[Acknowledged]) -> None:
        """Take what was answered at the centre: each once, for the run that it answers."""
        for one in acks:
            incident = await self._incidents.incident(one.incident)
            if incident is None or incident.state not in OPEN_STATES:
                continue
            paging = incident.paging
            if paging and (one.by in paging.acks or one.time < paging.begun or paging.acked):
                continue
            await self._incidents.act(
                one.incident, "ack", actor=one.by, now=self._clock(), details={"via": CENTRE}
            )

    def hush(self, *, hushed: bool) -> None:
        """Leave paging to the centre, or take it back: then all is looked at anew."""
        if self.hushed and not hushed:
            for name in self._names:
                self._changed[name] = None
            self._bell.set()
        self.hushed = hushed

    def describe(self, token: str) -> str:
        """Return the incident that a token is for, "" where it is none of ours."""
        found = read_token(self.key, token[:500])
        return found[0] if found else ""

    def status(self) -> dict[str, Any]:
        """Return what waits for an answer, what did not leave, and how paging is."""
        return {
            "on": self.plan is not None, "unanswered": len(self._waiting),
            "oldest": min(self._waiting.values(), default=0.0),
            "sending": self.outbox.waiting, "failed": len(self._failed),
            "troubles": dict(self.outbox.troubles), "hushed": self.hushed,
            "note": self.note or self.post.note, **self.post.status(),
            "counters": {**self.counters, **self.outbox.counters},
        }  # fmt: skip
