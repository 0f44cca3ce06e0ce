"""Letters: written to the log, handed over, tried again for a day; the shell of paging.letters.

A letter is in the log before it leaves, and what became of it afterwards. What was on its way when
the daemon ended leaves after the next start.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from ipwatchd.incidents.bodies import Delivered, Posted, Updated
from ipwatchd.incidents.paging import letters
from ipwatchd.incidents.paging.escalate import Recipient
from ipwatchd.incidents.paging.replies import ref_of
from ipwatchd.records.incident import Receipt
from ipwatchd.trouble import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ipwatchd.incidents import Incidents
    from ipwatchd.incidents.paging.plan import Plan, Stakeholder
    from ipwatchd.incidents.updates import Draft
    from ipwatchd.paging.notify.outbox import Outbox
    from ipwatchd.records.incident import Incident
    from ipwatchd.records.paging import Letter, Message

__all__ = ["Post", "wrote"]

ACTOR: Final = "ipwatchd"
HOUR: Final = 3600.0
MOST: Final = 20
"""Times an hour that a target which has no name under [notify] may be told."""
NAMES: Final = 1_000
"""Names whose count is held, and incidents that were said to be over it."""
FIRST: Final = 60.0
"""Seconds until a letter is tried again after the channel gave up; each next wait is twice it."""
LONGEST: Final = 3600.0
NEVER: Final = float("inf")
"""It is being tried right now."""
WAITING: Final = 10_000
"""Letters that wait to be tried again; what is more is failed in the log, tried at the start."""
_LOG: Final = structlog.get_logger("post")


class Post:
    """Sends the letters of one site. `note` says what is wrong, "" when all is well."""

    def __init__(
        self, incidents: Incidents, outbox: Outbox, plan: Callable[[], Plan | None],
        clock: Callable[[], float], key: bytes,
    ) -> None:  # fmt: skip
        self._key = key
        self._incidents = incidents
        self._outbox = outbox
        self._plan = plan
        self._clock = clock
        self._told: dict[str, deque[float]] = {}
        self._over: dict[tuple[str, str], None] = {}
        self._again: dict[tuple[str, int], tuple[float, float, Message]] = {}
        """letter → when it is tried again, the wait before that, and what"""
        self._numbering = asyncio.Lock()
        """Two letters that are made at the same time have two numbers."""
        self.note = ""
        self.counters = {"letters": 0, "letters_delivered": 0, "letters_failed": 0, "untold": 0}

    async def notify(
        self, incident: Incident, name: str, reason: str, *, actor: str, now: float
    ) -> Incident | None:
        """Tell whom a name of [notify] or a target stands for; None where it stands for nobody.

        Raises ValueError where the limit of the hour is reached.
        """
        async with self._numbering:
            held = await self._incidents.incident(incident.id)
            return await self._notify(held or incident, name, reason, actor, now)

    async def _notify(
        self, incident: Incident, name: str, reason: str, actor: str, now: float
    ) -> Incident | None:
        plan = self._plan()
        found = letters.notified(plan, name, now) if plan else []
        if plan is None or not found:
            return None
        most = plan.notify[name].most_per_hour if name in plan.notify else MOST
        if not self._has_room(name, most, now):
            raise ValueError(f"{name} was told {most} times within an hour: call them")
        receipt = Receipt(
            id=f"n{len(incident.receipts) + 1}-{secrets.token_hex(3)}", kind=letters.NOTIFY,
            subject=name, time=now, by=actor, text=f"told {name}{': ' + reason if reason else ''}",
        )  # fmt: skip
        made = tuple(
            letters.letter_of(incident, who, plan, receipt.id, now, ahead=ahead)
            for ahead, who in enumerate(found)
        )
        ways = ", ".join(f"{one.name} by {one.channel}" for one in made)
        after = await self._incidents.act(
            incident.id, "response", actor=actor, reason=f"{receipt.text} ({ways})", now=now,
            details={"receipt": receipt, "letters": made},
        )  # fmt: skip
        self._told[name].append(now)
        for one in made:
            await self._put(after, one, now)
        return after

    async def by_itself(self, incident: Incident, now: float) -> bool:
        """Tell those of whom the plan says so, each once; False where there was no room for it."""
        plan, done = self._plan(), True
        for name in [*letters.by_themselves(incident, plan, now)] if plan else ():
            try:
                incident = await self.notify(incident, name, "", actor=ACTOR, now=now) or incident
            except ValueError as error:
                done = False
                await self._say_over(incident, name, str(error), now)
        return done

    async def _say_over(self, incident: Incident, name: str, why: str, now: float) -> None:
        """Put on the timeline, once, that somebody was not told; they are when there is room."""
        key = (incident.id, name)
        if key in self._over:
            return
        self.counters["untold"] += 1
        self._over[key] = None
        while len(self._over) > NAMES:
            del self._over[next(iter(self._over))]
        reason = f"{name} was not told by itself: {why}"
        await self._incidents.act(incident.id, "note", actor=ACTOR, reason=reason, now=now)

    def _has_room(self, name: str, most: int, now: float) -> bool:
        """Tell whether a name may be told once more: a storm of incidents must not flood people."""
        times = self._told.setdefault(name, deque(maxlen=1_000))
        while len(self._told) > NAMES:
            del self._told[next(iter(self._told))]
        while times and not now - HOUR < times[0] <= now:
            times.popleft()
        return len(times) < most

    async def update(
        self, identity: str, made: Draft, place: Stakeholder, original: str, *, name: str,
        actor: str, now: float,
    ) -> Incident:  # fmt: skip
        """Send an update to a place, after its marking let it go there."""
        async with self._numbering:
            return await self._update(identity, made, place, original, name, actor, now)

    async def _update(
        self, identity: str, made: Draft, place: Stakeholder, original: str, name: str,
        actor: str, now: float,
    ) -> Incident:  # fmt: skip
        held = await self._incidents.incident(identity)
        if held is None:
            raise LookupError(f"there is no incident {identity}")
        sent = tuple(
            msgspec.structs.replace(
                letters.letter_of(held, _to(place, address), self._must(), letters.UPDATE, now,
                                  ahead=ahead),
                name=name,
            )
            for ahead, address in enumerate(place.to)
        )  # fmt: skip
        body = Updated(
            audience=made.audience, language=made.language, tlp=made.tlp, to=", ".join(place.to),
            way=place.channel, subject=made.subject, text=made.text, original=original,
            letters=sent,
        )  # fmt: skip
        after = await self._incidents.append(held.id, "updated", body, actor=actor, now=now)
        for one in sent:
            self._send(letters.update_of(after, one, made.subject, made.text, original, made.tlp))
        return after

    def _must(self) -> Plan:
        plan = self._plan()
        if plan is None:
            raise ValueError("there is no escalation plan: name one under [escalation] plan")
        return plan

    def withdraw(self, incident: Incident, receipt: str) -> str:
        """Stop the letters of a response that have not left; say whom it reached."""
        held = [one for one in incident.letters if one.about == receipt]
        stopped = [one.number for one in held if one.state != "delivered"]
        self._outbox.withdraw(incident.id, stopped)
        for number in stopped:
            self._again.pop((incident.id, number), None)
        return letters.reached(held)

    async def resume(self, now: float) -> None:
        """Send what was on its way, or failed within the day, when the daemon ended."""
        for incident in await self._incidents.with_letters():
            for one in letters.posted(incident, now):
                await self._put(incident, one, now)

    async def _put(self, incident: Incident, letter: Letter, now: float) -> None:
        message = await self._message(incident, letter, now)
        if message:
            self._send(message)

    def _send(self, message: Message) -> None:
        ref = ref_of(self._key, message.incident, f"l{message.page}", message.to)
        message = msgspec.structs.replace(message, ref=ref)
        self.counters["letters"] += 1
        if not self._outbox.put(message):
            self._wait(message, FIRST)

    async def _message(self, incident: Incident, letter: Letter, now: float) -> Message | None:
        """Return what a letter of the log says; None where the log has it no more."""
        plan = self._plan()
        if plan is None:
            return None
        if letter.about != letters.UPDATE:
            receipt = next((one for one in incident.receipts if one.id == letter.about), None)
            if receipt is None or receipt.undone:
                return None
            reason = receipt.text.removeprefix(f"told {receipt.subject}").removeprefix(": ")
            who = "the escalation plan" if receipt.by == ACTOR else receipt.by
            why = f"{who} has you told{': ' + reason if reason else ''}"
            zone = self._incidents.policy.seat.zone
            return letters.notice_of(incident, letter, plan, why=why, zone=zone, now=now)
        shown = await self._incidents.show(incident.id)
        for event in reversed(shown[1] if shown else ()):
            if event.kind == "updated":
                body = msgspec.convert(event.body, Updated)
                if any(one.number == letter.number for one in body.letters):
                    return letters.update_of(
                        incident, letter, body.subject, body.text, body.original, body.tlp
                    )
        return None

    async def done(self, message: Message, ok: bool, why: str, tries: int) -> None:
        """Write what became of a letter; one that failed goes by another way, or later."""
        try:
            await self._done(message, ok, why, tries)
        except (OSError, LookupError, sqlite3.Error) as error:
            # What waits behind it for the same place must leave all the same.
            self.note = f"what became of a letter is not in the log: {sentence(error)}"
            if not ok:
                self._wait(message, FIRST)

    async def _done(self, message: Message, ok: bool, why: str, tries: int) -> None:
        key = (message.incident, message.page)
        first = key not in self._again
        now = self._clock()
        incident = await self._incidents.incident(message.incident)
        held = next((one for one in incident.letters if one.number == message.page), None) if (
            incident) else None  # fmt: skip
        # What was being handed over when it was taken back may have left: that is written down.
        if incident is None or held is None or (held.state == "withdrawn" and not ok):
            self._again.pop(key, None)
            return
        over = now >= held.time + letters.PATIENCE
        if ok or over or first:
            said = f"{why}; given up after a day" if over and not ok else why
            body = Delivered(page=0, letter=message.page, ok=ok, why=said, tries=tries)
            incident = await self._written(incident, "delivered", body, now)
        if ok or over:
            self._again.pop(key, None)
        else:
            self._wait(message, self._again.get(key, (0.0, FIRST, message))[1])
        self.counters["letters_delivered" if ok else "letters_failed"] += 1
        if ok or over:
            return
        _LOG.warning("a letter did not leave", incident=incident.id, to=message.to, why=why)
        if first:
            await self._instead(incident, held, now)

    async def bounced(self, incident: Incident, number: int, why: str) -> None:
        """Take that a mail server gave a letter back after it had taken it."""
        held = next((one for one in incident.letters if one.number == number), None)
        if held is not None and held.state == "delivered":
            now = self._clock()
            body = Delivered(page=0, letter=number, ok=False, why=why, tries=0)
            incident = await self._written(incident, "delivered", body, now)
            await self._instead(incident, held, now)

    async def _instead(self, incident: Incident, failed: Letter, now: float) -> None:
        plan = self._plan()
        async with self._numbering:
            held = await self._incidents.incident(incident.id) or incident
            other = letters.instead(held, failed, plan, now) if plan else None
            if other:
                body = Posted(letters=(other,))
                held = await self._written(held, "posted", body, now)
                await self._put(held, other, now)

    async def _written(self, incident: Incident, kind: str, body: Any, now: float) -> Incident:
        try:
            after = await self._incidents.append(incident.id, kind, body, actor=ACTOR, now=now)
        except (OSError, LookupError, sqlite3.Error) as error:
            self.note = f"what became of a letter is not in the log: {sentence(error)}"
            return incident
        self.note = ""
        return after

    def _wait(self, message: Message, wait: float) -> None:
        if len(self._again) < WAITING:
            due = self._clock() + wait
            self._again[(message.incident, message.page)] = (
                due, min(LONGEST, 2 * wait), message,
            )  # fmt: skip

    def tick(self, now: float) -> None:
        """Try again what is due; a clock that was set back tries at once."""
        for key, (due, wait, message) in tuple(self._again.items()):
            if due != NEVER and not 0 < due - now <= LONGEST:
                self._again[key] = (NEVER, wait, message)
                if not self._outbox.put(message):
                    self._wait(message, wait)

    def status(self) -> dict[str, Any]:
        """Return how many letters wait to be tried again, and the counts."""
        return {"letters_waiting": len(self._again), "letter_counters": dict(self.counters)}


def _to(place: Stakeholder, address: str) -> Recipient:
    return Recipient("", place.channel, address)


def wrote(events: Collection[Any]) -> list[str]:
    """Return the addresses of those who reported by mail, from a case's events."""
    found = (event.body.get("report") or {} for event in events
             if event.kind in {"opened", "reported"})  # fmt: skip
    return [str(one["reporter"]) for one in found if one.get("channel") == "e-mail"]
