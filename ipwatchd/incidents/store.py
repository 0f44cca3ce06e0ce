"""The incidents of a site: one SQLite file, incidents.db, whose event log is the truth.

An opening is on the disk before `finding` returns. Growth gathers in memory (`grouping`) and is
written every few seconds; a kill -9 can lose seconds of counting, never an incident.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from msgspec import structs

from ipwatchd.incidents.actions import decide, reopened
from ipwatchd.incidents.ask import GuardError, InvalidActionError
from ipwatchd.incidents.bodies import Absorbed, Body, Obliged, Opened, Reported, State
from ipwatchd.incidents.grouping import Group, opened, opened_by
from ipwatchd.incidents.legal.clocks import awareness, reconcile
from ipwatchd.incidents.log import MIGRATIONS, Batch, incident_of, owned_by, writing
from ipwatchd.incidents.policy import Policy, site_policy
from ipwatchd.incidents.queries import IncidentQueries, Page
from ipwatchd.incidents.signing import Signer
from ipwatchd.incidents.sops import assigned, matching
from ipwatchd.incidents.taxonomy import UNDETERMINED
from ipwatchd.records.incident import OPEN_STATES
from ipwatchd.sqlite import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from typing import Any

    import aiosqlite

    from ipwatchd.config import IncidentSettings
    from ipwatchd.records.finding import Finding
    from ipwatchd.records.incident import Incident, Report

__all__ = ["FILE", "Incidents", "UnknownIncidentError"]

FILE: Final = "incidents.db"
GROUPS: Final = 65_536
"""Keys remembered in memory; the others are looked up: spoofed sources can't fill the memory."""
PENDING: Final = 4_096
"""Incidents with growth that is not written yet; at the limit all are written at once."""

MACHINE: Final = "ipwatchd"
MERGES: Final = 8
"""Merges of merged incidents that are followed: a log that was edited makes no endless loop."""


_DUTIFUL: Final = frozenset({
    "opened", "grown", "state", "classified", "assessed", "prioritised", "aware", "noticed",
    "absorbed",
})  # fmt: skip
"""Events that what is owed to laws and contracts may follow from."""


class UnknownIncidentError(LookupError, ValueError):
    """There is no incident of this id: nothing was found, and what was asked for is wrong."""


class Incidents(IncidentQueries):
    """A site's incidents. `counters` says what was gathered, written and reopened."""

    def __init__(
        self, path: Path, site: str, settings: IncidentSettings, reader: aiosqlite.Connection,
        writer: aiosqlite.Connection | None, policy: Policy,
    ) -> None:  # fmt: skip
        super().__init__(reader, site, path)
        self.policy = policy
        self._signer: Signer | None = None
        self._settings = settings
        self._writer = writer
        self._lock = asyncio.Lock()
        self._groups: OrderedDict[str, Group] = OrderedDict()
        self._pending: dict[str, Group] = {}
        self._refused: OSError | None = None
        self.watcher: Callable[[Incident], None] | None = None
        """Is told of each incident whose events are on the disk; must not wait."""
        self._now = 0.0
        self.counters = {"findings": 0, "opened": 0, "grown": 0, "reopened": 0, "write_errors": 0}

    @classmethod
    async def open(
        cls, state_dir: Path, site: str, settings: IncidentSettings, read_only: bool = False
    ) -> Self:
        """Open the log of a state folder; CorruptStoreError or OSError where it can't be used."""
        path = Path(state_dir) / FILE
        policy = site_policy(settings)
        writer = None if read_only else await connect(path, MIGRATIONS, durable=True)
        reader = None
        try:
            if writer:
                await owned_by(writer, path, site)
            # Readers never see a transaction that may yet be rolled back: what the uplink sent
            # must be on the disk.
            reader = await connect(path, MIGRATIONS, read_only=True)
            await owned_by(reader, path, site, read_only=True)
            incidents = cls(path, site, settings, reader, writer, policy)
            await incidents.refresh()
            if writer:
                incidents._signer = Signer.open(path.parent, incidents.last_seq)
        except BaseException:
            for db in (reader, writer):
                if db:
                    await db.close()
            raise
        return incidents

    async def finding(self, f: Finding, now: float) -> Incident | None:
        """Take in a finding; return its incident where it was opened or its growth written.

        Raises OSError where it can't be written; an opening was then not recorded, a growth is
        kept for the next write.
        """
        async with self._lock:
            self._now = now
            self.counters["findings"] += 1
            f = f if f.key else structs.replace(f, key=f"{f.rule}|{f.subject}")
            group = await self._group(f.key)
            if group is None or group.over(now, self._settings.reopen_seconds):
                return await self._open(f, now)
            group.add(f)
            self._pending[group.key] = group
            if len(self._pending) >= PENDING:
                await self._write_growth(list(self._pending.values()), now)
            elif group.due(now):
                await self._write_growth([group], now)
            else:
                return None
            return await self.incident(group.id)

    async def opens(self, f: Finding, now: float) -> bool:
        """Tell whether a finding would open an incident; nothing is written."""
        async with self._lock:
            group = await self._group(f.key or f"{f.rule}|{f.subject}")
            return group is None or group.over(now, self._settings.reopen_seconds)

    def holds(self, f: Finding, now: float) -> bool:
        """Tell whether a finding that was refused is kept all the same, as growth in memory."""
        group = self._living(f.key or f"{f.rule}|{f.subject}")
        return group is not None and not group.over(now, self._settings.reopen_seconds)

    async def report(self, r: Report, now: float) -> Incident:
        """Take in a person's report as a new incident; the same report again changes nothing."""
        async with self._lock:
            self._now = now
            async with self._write() as batch:
                known = await batch.reported(r.id)
                if known:
                    return known
                actor = r.reporter or r.channel
                script = self.policy.script(r.kind)
                body = opened_by(r, script.classification if script else UNDETERMINED)
                body = self._with_sops(body, kind=r.kind, language=r.language)
                incident = await batch.open(body, actor=actor, now=now)
                await batch.remember(r.id, incident.id)
                incident = await self._obliged(batch, incident, "opened", now)
            self.counters["opened"] += 1
            return incident

    async def attach(self, identity: str, r: Report, now: float) -> Incident:
        """Put a person's report to an incident that is there already."""
        async with self._lock:
            async with self._write() as batch:
                incident = await batch.reported(r.id)
                if incident:
                    return incident
                incident = await self._load(batch, identity)
                actor = r.reporter or r.channel
                body = Reported(report=r)
                incident = await batch.append(incident, "reported", body, actor=actor, now=now)
                await batch.remember(r.id, incident.id)
            return incident

    async def act(
        self, id: str, action: str, *, actor: str, reason: str = "", now: float,  # noqa: A002 - API
        details: Mapping[str, Any] | None = None,
    ) -> Incident:  # fmt: skip
        """Do something about an incident (`actions`) and return how it stands then.

        Raises UnknownIncidentError, InvalidActionError with what is possible, or OSError.
        """
        async with self._lock:
            self._now = now
            target: Incident | None = None
            async with self._write() as batch:
                incident = await self._load(batch, id)
                group = self._living(incident.key)
                pending = group if group and group.id == incident.id and group.pending else None
                if pending:
                    incident = await self._grow(batch, incident, pending, now)
                kind, body = decide(
                    incident, action, actor=actor, reason=reason, policy=self.policy,
                    details=details, now=now,
                )  # fmt: skip
                if isinstance(body, State) and body.target:
                    body, target = await self._target(batch, incident, body)
                incident = await batch.append(incident, kind, body, actor=actor, now=now)
                incident = await self._obliged(batch, incident, kind, now)
                if target:
                    target = await self._absorb(batch, incident, target, actor, now)
            if pending:
                self._settle(pending, incident, now)
            elif group and group.id == incident.id:
                group.follow(incident)
            if target:
                self._forget(incident, target)
            return incident

    async def append(
        self, identity: str, kind: str, body: Body, *, actor: str, now: float
    ) -> Incident:
        """Put on the timeline what the machine itself did or found out."""
        async with self._lock, self._write() as batch:
            incident = await self._load(batch, identity)
            incident = await batch.append(incident, kind, body, actor=actor, now=now)
            return await self._obliged(batch, incident, kind, now)

    async def flush(self, now: float) -> Page:
        """Write the growth that is due; return its incidents.

        Raises OSError from the first refusal on until growth is written again.
        """
        async with self._lock:
            self._now = now
            due = [group for group in self._pending.values() if group.due(now)]
            if self._refused and self._pending and not due:
                raise self._refused
            return await self._write_growth(due, now)

    async def close(self) -> None:
        """Write all growth and let the file go."""
        async with self._lock:
            try:
                if self._writer:
                    await self._write_growth(list(self._pending.values()), self._now)
            finally:
                await self._reader.close()
                if self._writer:
                    await self._writer.close()

    def _with_sops(self, body: Opened, *, kind: str = "", language: str = "") -> Opened:
        """Return the body that opens an incident with the SOPs that the case gets."""
        uses, tasks = assigned(
            matching(
                self.policy.sops, rule=body.rule, kind=kind, classification=body.classification,
                language=language,
            )
        )  # fmt: skip
        return structs.replace(body, sops=uses, tasks=tasks)

    async def _target(self, batch: Batch, source: Incident, body: State) -> tuple[State, Incident]:
        """Return the incident that another is to be merged into; a reason why not as an error."""
        target = await self._load(batch, body.target)
        if target.id == source.id:
            raise InvalidActionError(f"{source.id} can't be merged into itself")
        if target.state not in OPEN_STATES:
            mend = f"merge into {target.merged_into}" if target.merged_into else (
                "merge into an open incident, or reopen it first"
            )  # fmt: skip
            raise GuardError(f"{target.id} is {target.state}: {mend}")
        return structs.replace(body, target=target.id), target

    async def _absorb(
        self, batch: Batch, source: Incident, target: Incident, actor: str, now: float
    ) -> Incident:
        body = Absorbed(
            incident=source.id, count=source.count, first_seen=source.first_seen,
            last_seen=source.last_seen, reports=source.reports, targets=source.targets,
            aware=awareness(source) if awareness(source) < awareness(target) else 0.0,
        )  # fmt: skip
        await batch.absorb(source.id, target.id)
        target = await batch.append(target, "absorbed", body, actor=actor, now=now)
        return await self._obliged(batch, target, "absorbed", now)

    async def _obliged(self, batch: Batch, incident: Incident, kind: str, now: float) -> Incident:
        """Write the duties that follow from what an event of some kind changed."""
        if kind in _DUTIFUL:
            for duty in reconcile(incident, self.policy, now):
                body = Obliged(obligation=duty)
                incident = await batch.append(incident, "obliged", body, actor=MACHINE, now=now)
        return incident

    def _forget(self, source: Incident, target: Incident) -> None:
        """Let what grew the merged incident grow the one it went into from now on."""
        self._groups.pop(source.key, None)
        group = self._living(target.key)
        if group and group.id == target.id:
            group.follow(target)

    async def _followed(self, incident: Incident) -> Incident:
        """Return what an incident was merged into, itself where it was not."""
        for _ in range(MERGES):
            if incident.state != "MERGED":
                break
            incident = await self.incident(incident.merged_into) or incident
        return incident

    async def remember_thread(self, message_id: str, incident: str, sender: str) -> None:
        """Note which incident a mail belongs to, so that replies find it."""
        async with self._lock, self._write() as batch:
            await batch.remember_thread(message_id, incident, sender)

    async def _open(self, f: Finding, now: float) -> Incident:
        async with self._write() as batch:
            body = self._with_sops(opened(f))
            incident = await batch.open(body, actor=f"detector:{f.rule}", now=now)
            incident = await self._obliged(batch, incident, "opened", now)
        self._pending.pop(f.key, None)
        self._hold(Group.of(incident, written=now, finding=f))
        self.counters["opened"] += 1
        return incident

    async def _write_growth(self, groups: Sequence[Group], now: float) -> Page:
        """Write what is pending; where the disk refuses, it is kept and tried again later."""
        if not groups:
            return []
        try:
            async with self._write() as batch:
                grown = [
                    await self._grow(batch, await self._load(batch, one.id), one, now)
                    for one in groups
                ]
        except OSError as error:
            self._refused = error
            for one in groups:
                one.written = now
            raise
        self._refused = None
        for one, incident in zip(groups, grown, strict=True):
            self._settle(one, incident, now)
        return grown

    async def _grow(self, batch: Batch, incident: Incident, group: Group, now: float) -> Incident:
        body = group.growth()
        if body is None:
            return incident
        actor = f"detector:{incident.rule}"
        if incident.state == "CLOSED":
            again = reopened(incident, "it goes on")
            incident = await batch.append(incident, "state", again, actor=MACHINE, now=now)
            self.counters["reopened"] += 1
        incident = await batch.append(incident, "grown", body, actor=actor, now=now)
        return await self._obliged(batch, incident, "grown", now)

    def _settle(self, group: Group, incident: Incident, now: float) -> None:
        group.settled(incident, now)
        self._pending.pop(group.key, None)
        self.counters["grown"] += 1

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[Batch]:
        if self._writer is None:
            raise OSError(f"{self._path} was opened for reading only")
        try:
            sign = self._signer.sign if self._signer else None
            async with writing(self._writer, self._path, self._site, sign) as batch:
                yield batch
        except OSError:
            self.counters["write_errors"] += 1
            raise
        self._last_seq = batch.head.seq
        if self.watcher:
            for incident in batch.changed.values():
                self.watcher(incident)

    async def _load(self, batch: Batch, identity: str) -> Incident:
        incident = await batch.load(identity.strip().upper())
        if incident is None:
            raise UnknownIncidentError(f"there is no incident {identity!r}")
        return incident

    def _living(self, key: str) -> Group | None:
        return (self._pending.get(key) or self._groups.get(key)) if key else None

    async def _group(self, key: str) -> Group | None:
        group = self._living(key)
        if group is None:
            query = "SELECT doc FROM incidents WHERE key = ? ORDER BY number DESC LIMIT 1"
            for row in await self._rows(query, (key,)):
                incident = await self._followed(incident_of(row))
                group = Group.of(incident, written=incident.updated, key=key)
                self._hold(group)
        elif key in self._groups:
            self._groups.move_to_end(key)
        return group

    def _hold(self, group: Group) -> None:
        self._groups[group.key] = group
        self._groups.move_to_end(group.key)
        while len(self._groups) > GROUPS:
            self._groups.popitem(last=False)
