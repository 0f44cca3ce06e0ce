"""What `watch` does: while it stands, what its subject does is told on the incident's timeline."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.incidents.bodies import Watched
from ipwatchd.records.filter import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ipwatchd.records.incident import Incident, Receipt
    from ipwatchd.stores import Stores

__all__ = ["EVERY", "Watching"]

EVERY: Final = 600.0
"""Seconds between two looks: a timeline is read by people."""
MOST: Final = 100
"""Incidents that are watched at a time: watching thousands would hold up the rest."""
ROWS: Final = 5_000
PEERS: Final = 20
ACTOR: Final = "ipwatchd"


class Watching:
    """Looks at the subjects of standing watches; `note` says what keeps it from it."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._looked: dict[str, float] = {}
        self._next = 0.0
        self.note = ""

    async def tick(self, now: float) -> None:
        """Look where it is time; a clock that was set back looks at once."""
        if 0.0 <= self._next - now <= EVERY:
            return
        self._next = now + EVERY
        self.note = ""
        standing = {one.id: (one, receipt) for one, receipt in await self._standing(now)}
        self._looked = {name: at for name, at in self._looked.items() if name in standing}
        for incident, receipt in standing.values():
            try:
                await self._look(incident, receipt, now)
            except (OSError, ValueError, sqlite3.Error) as error:
                self.note = f"can't watch {receipt.subject}: {error}"

    async def _standing(self, now: float) -> list[tuple[Incident, Receipt]]:
        found = []
        for incident in await self._stores.incidents.list(limit=10_000):
            receipt = next(_watches(incident.receipts, now), None)
            if receipt is not None:
                found.append((incident, receipt))
        if len(found) > MOST:
            self.note = f"{len(found)} watches stand, the newest {MOST} are looked at"
        return found[:MOST]

    async def _look(self, incident: Incident, receipt: Receipt, now: float) -> None:
        since = self._looked.get(incident.id, now + 1)
        if since > now:  # never looked, or a clock that was set back
            since = max(receipt.time, now - EVERY)
        query = parse(f"addr:{receipt.subject} since:{max(now - since, 1):.0f}s", now)
        rows = await self._stores.history.flows(query, ROWS)
        self._looked[incident.id] = now
        fresh = [row for row in rows if row["end"] > since]
        if fresh:
            body = watched(receipt.subject, fresh, since, now)
            await self._stores.incidents.append(
                incident.id, "watched", body, actor=ACTOR, now=now
            )  # fmt: skip


def _watches(receipts: Sequence[Receipt], now: float) -> Iterator[Receipt]:
    for one in receipts:
        if one.kind == "watch" and not one.undone and not 0 < one.expires <= now:
            yield one


def watched(subject: str, rows: Sequence[Mapping[str, Any]], since: float, until: float) -> Watched:
    """Return what flows say of a subject: how much, with whom, by which services."""
    peers: dict[str, int] = {}
    services: dict[str, int] = {}
    for row in rows:
        peer = str(row["resp"] if row["orig"] == subject else row["orig"])
        peers[peer] = peers.get(peer, 0) + 1
        service = str(row.get("service") or f"{row['resp_port']}/{row['proto']}")
        services[service] = services.get(service, 0) + 1
    return Watched(
        subject=subject, since=since, until=until, flows=len(rows),
        bytes=sum(int(row["orig_bytes"]) + int(row["resp_bytes"]) for row in rows),
        peers=tuple(sorted(peers, key=lambda one: -peers[one])[:PEERS]), peer_count=len(peers),
        services=tuple(sorted(services, key=lambda one: -services[one])[:PEERS]),
    )  # fmt: skip
