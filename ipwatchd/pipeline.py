"""The one place where the parts are joined: captures and events in, records and incidents out."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.detect import (
    Batch,
    Crowd,
    Silenced,
    build,
    load_baselines,
    save_baselines,
    with_event_examples,
    with_flow_examples,
)
from ipwatchd.detect.baselines import unlearn
from ipwatchd.enrich.presence import Presence
from ipwatchd.enrich.roster import Roster, load_roster
from ipwatchd.lists import ban_seconds
from ipwatchd.records.duration import duration_text
from ipwatchd.records.incident import OPEN_STATES, Receipt
from ipwatchd.trouble import sentence
from ipwatchd.whereabouts import bindings_told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ipwatchd.capture import Capture
    from ipwatchd.detect import Detector
    from ipwatchd.enforcement import Enforcement
    from ipwatchd.records.agent import Agent
    from ipwatchd.records.entry import ListEntry
    from ipwatchd.records.event import AnyEvent
    from ipwatchd.records.finding import Finding
    from ipwatchd.records.incident import Incident
    from ipwatchd.stores import Stores
    from ipwatchd.whereabouts import Ground

__all__ = ["Outcome", "Pipeline"]

_SAVE_SECONDS: Final = 60.0
"""A crash loses as much of what detectors learned."""
_NOBODY: Final = frozenset(("0.0.0.0", "::"))  # noqa: S104 - not an address to listen on
"""Who stands for the many sources, or targets, of a flood that capture summed: nobody to blame."""

_WAITING: Final = 10_000
"""Findings kept in memory while incidents can't be written (full disk), and responses while lists
can't. An attack that goes on for hours with the disk full would else fill the memory."""


class Outcome(msgspec.Struct):
    """What a step led to: incidents opened or grown, networks denied."""

    incidents: list[Incident] = []
    denied: list[str] = []


class Pipeline:
    """Joins the stores of one state folder. One step at a time, in the order of arrival."""

    def __init__(self, stores: Stores, ground: Ground | None = None) -> None:
        """`ground` is what the kernel says of the site; None for captures of somewhere else."""
        self.stores = stores
        self._ground = ground
        self._roster: dict[str, Agent] = {}
        self.roster_fault = ""
        """What of the roster can't be used, and why; empty when all can."""
        self.detectors = self._build()
        self.presence = stores.presence = Presence(self._roster)
        self.silenced = Silenced(stores.config.detect.expected)
        self._crowd = Crowd(stores.config.detect.quiet)
        self._baselines = stores.state_dir / "baselines.bin"
        self.unlearned = load_baselines(self._baselines, self.detectors)
        """Why detectors began anew; empty when they did not."""
        self._saved = 0.0
        self._waiting: deque[Finding] = deque()
        self._unanswered: deque[tuple[Finding, Incident]] = deque(maxlen=_WAITING)
        # Captures, log lines and blocked packets come from tasks of their own: one at a time may
        # turn findings into incidents, or a finding is taken twice.
        self._settling = asyncio.Lock()
        self.findings_shed = 0
        self.responses_shed = 0
        self.enforcement: Enforcement | None = None
        """Who denies in the kernel while an entry is on its way to the disk; None: nobody."""
        self._foreseen: set[str] = set()
        """Whom the kernel denies without an entry, in this step."""
        self._denials: dict[str, deque[float]] = {}
        self.echoes = 0
        """Contacts with an address that were but the answer to our denying it."""
        self.trouble = ""
        """Why incidents can't be written now; empty when they can."""

    def _build(self) -> list[Detector]:
        stores = self.stores
        return build(
            stores.config.detect, denied=stores.lists.denied, zones=stores.enricher.zones,
            place=stores.enricher.place, agents=self._agents(),
            gateways=self._ground.gateways if self._ground else None,
        )  # fmt: skip

    def _agents(self) -> dict[str, Agent]:
        """Return the roster; what of it can't be used stays as it last was."""
        path = self.stores.config.site.roster
        try:
            told = load_roster(Path(path)) if path else Roster({})
            self._roster, self.roster_fault = told.over(self._roster), told.sentence()
        except (ValueError, OSError) as error:
            last = "the last good one stays" if self._roster else "nobody is held to shift or place"
            self.roster_fault = f"{last}: {error}"
        return self._roster

    async def take(self, capture: Capture) -> Outcome:
        """Take one delivery of a source through the house."""
        found: list[Finding] = []
        if len(capture.flows):
            self.stores.enricher.flows(capture.flows)
            self.stores.history.add_flows(capture.flows, capture.now)
            batch = Batch(capture.flows)
            for detector in self.detectors:
                found += detector.batch(batch, capture.now)
            found = with_flow_examples(found, capture.flows)
        if capture.events:
            found += self._events(capture.events, capture.now)
        return await self.settle(found, capture.now)

    async def take_events(
        self, events: Sequence[AnyEvent], now: float, heard: Mapping[str, int] | None = None
    ) -> Outcome:
        """Take events of logs or of the firewall through the house; called each second.

        `heard` are the lines that came, by source of logs.
        """
        for detector in self.detectors if heard else ():
            detector.heard(heard or {}, now)
        found = self._events(events, now) if events else []
        if faded := self.presence.expire(now):
            self.stores.history.add_events(faded, now)
        for detector in self.detectors:
            found += detector.tick(now)
        if abs(now - self._saved) >= _SAVE_SECONDS:
            self._saved = now
            try:
                self.save()
                self.unlearned = ""
            except OSError as error:
                self.unlearned = f"can't keep what detectors learned: {sentence(error)}"
        return await self.settle(found, now)

    def _events(self, events: Sequence[AnyEvent], now: float) -> list[Finding]:
        self.stores.history.add_events([*events, *self.presence.take(events)], now)
        found = [finding for one in self.detectors for finding in one.events(events, now)]
        return with_event_examples(found, events)

    def unlearn(self, without: Callable[[Any], Any]) -> int:
        """Forget somebody; return how many detectors knew them. What they counted begins anew."""
        fresh = self._build()
        changed = unlearn(self.detectors, fresh, without)
        self.detectors = fresh
        self.presence.forget(without)
        self.save()
        return changed

    @property
    def roster(self) -> Mapping[str, Agent]:
        """Return the agents in use, by name."""
        return self._roster

    async def recall_presence(self, now: float) -> None:
        """Take up who was where before a restart, from history."""
        self.presence.restore(await bindings_told(self.stores.history, now))

    def save(self) -> None:
        """Keep what detectors learned. Raises OSError."""
        save_baselines(self._baselines, self.detectors)

    async def settle(self, found: Sequence[Finding], now: float) -> Outcome:
        """Make incidents of findings, and of those that had to wait; respond where configured."""
        async with self._settling:
            return await self._settle(found, now)

    async def _settle(self, found: Sequence[Finding], now: float) -> Outcome:
        meant = [one for one in self.silenced.raised(found) if one.subject not in _NOBODY]
        for finding in self._crowd.passed(meant):
            if self._is_an_echo(finding, now):
                self.echoes += 1
                continue
            if len(self._waiting) >= _WAITING:
                self._waiting.popleft()
                self.findings_shed += 1
            self._waiting.append(finding)
        outcome = Outcome([], [])
        try:
            await self._record(now, outcome)
        except (OSError, sqlite3.Error) as error:
            waiting = f"{len(self._waiting)} findings wait in memory"
            self.trouble = f"can't write incidents, {waiting}: {sentence(error)}"
            return outcome
        try:
            await self._answer(now, outcome)
        except (OSError, sqlite3.Error) as error:
            self.trouble = f"can't respond to incidents: {sentence(error)}"
            return outcome
        self.trouble = ""
        return outcome

    async def _record(self, now: float, outcome: Outcome) -> None:
        """Hand the findings that wait to the incidents, each exactly once."""
        while self._waiting:
            finding = self._waiting[0]
            await self._foresee(finding, now)
            try:
                incident = await self.stores.incidents.finding(finding, now)
            except OSError:
                if self.stores.incidents.holds(finding, now):
                    self._waiting.popleft()  # it counts as growth: again would count it twice
                raise
            self._waiting.popleft()
            if incident is not None:
                outcome.incidents.append(incident)
                if incident.opened == incident.updated:
                    self.stores.casework.note_opened(incident)
                if self._calls_for_denying(finding):
                    self._unanswered.append((finding, incident))

    async def _answer(self, now: float, outcome: Outcome) -> None:
        """Respond to the incidents that were opened or grew."""
        while self._unanswered:
            await self._respond(*self._unanswered[0], now, outcome)
            self._unanswered.popleft()
        if self._foreseen and self.enforcement:
            self.enforcement.recall(self._foreseen, now)
        self._foreseen.clear()

    async def _foresee(self, finding: Finding, now: float) -> None:
        """Deny in the kernel whom the response to a new incident will deny, before the disk has it.

        What becomes no entry after all is taken back; while nothing can be written it stands for
        the kernel's minute.
        """
        if self.enforcement is None or not self._calls_for_denying(finding):
            return
        waiting = len(self._foreseen)
        if not self._deniable(finding.subject) or not self._room(finding.rule, now, waiting):
            return
        if await self.stores.incidents.opens(finding, now):
            self.enforcement.hasten(finding.subject, now)
            self._foreseen.add(finding.subject)

    def _calls_for_denying(self, finding: Finding) -> bool:
        """Tell whether a response is configured; what is but for information gets none."""
        rules = self.stores.config.incidents.auto_deny
        return finding.rule in rules and finding.severity != "info"

    def _deniable(self, subject: str) -> bool:
        """Tell whether a response may deny an address: abroad, and not denied yet."""
        place = self.stores.enricher.place(subject)
        return place is not None and place.zone == "internet" and not self._denied(subject)

    def _is_an_echo(self, finding: Finding, now: float) -> bool:
        """Tell whether a contact with a denied address is only the answer to our own denying it.

        What was going on when the address was denied is no new contact. An attacker whom a response
        denied and who keeps knocking belongs to the incident that denied it; one of ours who calls
        it does not.
        """
        if finding.rule != "denied-contact":
            return False
        entry = self.stores.lists.why(finding.subject, now).decided_by
        if entry is None:
            return False
        if finding.last_seen < entry.created:
            return True
        outgoing = finding.evidence.get("direction") in {"outgoing", "internal"}
        return entry.source.startswith("response:") and not outgoing

    async def _respond(
        self, finding: Finding, incident: Incident, now: float, outcome: Outcome
    ) -> None:
        """Deny the subject for a time where the rule is configured to, and ours it is not."""
        settings = self.stores.config.incidents
        if incident.state not in OPEN_STATES:
            return
        if not self._deniable(finding.subject):
            return
        if not self._may_deny(finding.rule, now):
            self.responses_shed += 1
            reason = f"not denied: {finding.rule} denied {settings.denies_per_minute} in a minute"
            await self.stores.incidents.act(
                incident.id, "note", actor="ipwatchd", reason=reason, now=now
            )
            return
        if self.enforcement and finding.subject not in self._foreseen:
            self.enforcement.hasten(finding.subject, now)
            self._foreseen.add(finding.subject)
        before = await self.stores.lists.denied_before(
            finding.subject, now - settings.deny_memory_seconds
        )
        seconds = ban_seconds(settings, before)
        try:
            change = await self.stores.lists.add(
                "deny", finding.subject, reason=f"{finding.title} ({incident.id})",
                author="ipwatchd", source=f"response:{finding.rule}", now=now,
                expires=now + seconds,
            )  # fmt: skip
        except ValueError as error:
            await self.stores.incidents.act(
                incident.id, "note", actor="ipwatchd", reason=f"not denied: {error}", now=now
            )
            return
        self._foreseen.discard(finding.subject)
        outcome.denied.append(change.entry.network)
        self.note_change(change.entry, "add", "ipwatchd", now)
        note = f"denied {finding.subject} for {duration_text(seconds)}"
        if before:
            note += f" (denied {before} times before)"
        receipt = Receipt(
            id=f"auto-{now:.3f}", kind="deny", subject=finding.subject, time=now, by="ipwatchd",
            expires=now + seconds, text=note,
        )  # fmt: skip
        await self.stores.incidents.act(
            incident.id, "response", actor="ipwatchd", reason=note, now=now,
            details={"receipt": receipt},
        )  # fmt: skip

    def _may_deny(self, rule: str, now: float) -> bool:
        """Tell whether a rule may deny one more now, and count it as done."""
        room = self._room(rule, now)
        if room:
            self._denials[rule].append(now)
        return room

    def _room(self, rule: str, now: float, waiting: int = 0) -> bool:
        """Tell whether a rule has denies left: a storm of findings must not fill the list."""
        times = self._denials.setdefault(rule, deque(maxlen=10_000))
        while times and not now - 60 < times[0] <= now:
            times.popleft()
        return len(times) + waiting < self.stores.config.incidents.denies_per_minute

    def note_change(self, entry: ListEntry, action: str, author: str, now: float) -> None:
        """Put a change of a list on record: action is add, remove or expire."""
        self.stores.history.add_list_change(
            ts=now, list=entry.list, network=entry.network, action=action, author=author,
            reason=entry.reason,
        )  # fmt: skip

    def _denied(self, address: str) -> bool:
        from ipwatchd.records.address import address_array

        one = address_array([address])
        return bool(self.stores.lists.denied(one["hi"], one["lo"])[0])

    def retune(self) -> None:
        """Take new thresholds after a reload; counts start anew, what was learned stays."""
        learned = {one.rule: state for one in self.detectors if (state := one.remember())}
        self.detectors = self._build()
        self.presence.adopt(self._roster)
        for detector in self.detectors:
            if detector.rule in learned:
                detector.recall(learned[detector.rule])
        self.silenced = Silenced(self.stores.config.detect.expected)

    def shed(self) -> dict[str, int]:
        """Return what detectors and this pipeline had to let go, by name."""
        counts = {
            "findings": self.findings_shed, "findings_summed": self._crowd.summed,
            "responses": self.responses_shed,
            "evidence": self.stores.casework.shed, "presence": self.presence.shed,
        }  # fmt: skip
        for detector in self.detectors:
            for name, value in detector.counters().items():
                if name.endswith("shed"):
                    counts[f"{detector.rule}.{name}"] = value
        return {name: value for name, value in counts.items() if value}
