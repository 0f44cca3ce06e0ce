"""The lists as they are kept: lists.db on disk, ranges in memory, one writer.

Every method that changes something commits (synced to disk) before it changes what is in memory
and before it returns: what the caller was told stands after kill -9.
"""

# ruff: noqa: A002 ("list" is the vocabulary's word for allow and deny, also as an argument)

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import msgspec
import numpy as np

from ipwatchd import sqlite
from ipwatchd.lists import blocks, rows
from ipwatchd.lists.admit import ENTRIES, RESPONSES, FullError, admit
from ipwatchd.lists.block import Block, DamagedError, step
from ipwatchd.lists.blocks import Feed
from ipwatchd.lists.compile import merge, nanoseconds, network_ranges
from ipwatchd.lists.enter import Imported, guard, prepare, renewal
from ipwatchd.lists.memory import Memory
from ipwatchd.lists.replace import Replaced, plan
from ipwatchd.lists.schema import MIGRATIONS
from ipwatchd.lists.tier import is_bulk, is_replaced
from ipwatchd.lists.why import Why, considered, explain, explain_service
from ipwatchd.records.entry import ListEntry
from ipwatchd.records.network import canonical
from ipwatchd.records.policy import Policy, ServicePolicy, empty_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import aiosqlite
    from numpy.typing import NDArray

    from ipwatchd.lists.block import Step
    from ipwatchd.lists.memory import Tiers

__all__ = ["Change", "Lists", "NoEntryError"]

_TOLD: Final = 1000
"""Changes of a feed at once that are recorded one by one: a feed that turns over each hour must not
fill the disk with its history."""
_MANY: Final = "*"
_SMALL: Final = 5000
"""Up to so many live rows are merged in a millisecond: a hop to another thread costs more."""


class NoEntryError(ValueError):
    """There is no such entry to remove."""


class Change(NamedTuple):
    """What a change left: the entry (as added or as it was) and what else a person should know."""

    entry: ListEntry
    note: str = ""


class Lists:
    """Allow and deny entries of one site.

    `denied` may be asked from any thread, all else from the event loop that opened the store.
    """

    def __init__(self, db: aiosqlite.Connection, memory: Memory) -> None:
        self._db = db
        self._memory = memory
        self._writing = asyncio.Lock()
        self._refused_full = 0
        self._services: dict[str, ServicePolicy] = {}

    @classmethod
    async def open(
        cls, state_dir: Path, read_only: bool = False, *, management: Sequence[str] = ()
    ) -> Self:
        """Open state_dir/lists.db; `management` are the networks that no deny may touch.

        Entries that ended while nothing ran are still there: call `expire` next. Raises
        CorruptStoreError, OSError (see sqlite.connect), ValueError for a bad management network.
        """
        db = await sqlite.connect(
            state_dir / "lists.db", MIGRATIONS, durable=True, read_only=read_only
        )
        try:
            memory = Memory(*await rows.load(db), await blocks.load(db))
            memory.protect(management)
        except DamagedError as error:
            await db.close()
            raise sqlite.CorruptStoreError(
                f"{state_dir / 'lists.db'} is damaged ({error}): move it aside (a new one is made "
                "at the next start) or put back a backup"
            ) from error
        except BaseException:
            await db.close()
            raise
        return cls(db, memory)

    async def close(self) -> None:
        """Close the store."""
        async with self._writing:
            await self._db.close()

    def protect(self, management: Sequence[str]) -> None:
        """Take these as the management networks from now on (config, at start and reload)."""
        self._memory.protect(management)

    def serve(self, services: Sequence[ServicePolicy]) -> None:
        """Take these as the services that entries may be for (their allow and deny aside)."""
        self._services = {one.name: one for one in services}

    async def add(
        self, list: str, network: str, *, reason: str, author: str, now: float,
        expires: float = 0.0, source: str = "admin", ticket: str = "", scope: str = "site",
        force: bool = False, sessions: Sequence[str] = (),
        stands_for: NDArray[np.void] | None = None,
    ) -> Change:  # fmt: skip
        """Put a network on a list, or renew the entry that list, network, scope and source share.

        Raises ValueError for what can't be an entry, LockOutError for a deny over a management
        network (given to `protect`) or one of `sessions` (addresses that admins are logged in
        from), FullError where the lists are full; `force` lets /0 and these through (the firewall
        still lets management pass). `stands_for` is what a selector means now.
        """
        network, mended = canonical(network)
        entry = ListEntry(
            id=0, list=list, network=network, reason=rows.clean(reason), author=rows.clean(author),
            created=now, expires=expires, scope=scope, source=source, ticket=rows.clean(ticket),
        )  # fmt: skip
        admit(entry, now=now, force=force, services=self._services)
        guarded = guard(
            entry, self._memory.management, force=force, sessions=sessions, stands_for=stands_for
        )
        async with self._writing:
            old = self._memory.twin(entry)
            if old is None:
                self._make_room(entry)
            entry, renewed = renewal(entry, old)
            async with sqlite.transaction(self._db):
                [entry] = await rows.write(self._db, [entry])
                await rows.record(self._db, "renew" if old else "add", [entry], time=now)
                gone = [old] if old else []
                tiers = await self._tiers(gone, [entry])
            self._memory.apply(tiers, gone, [entry])
        return Change(
            entry, "; ".join(filter(None, (mended, renewed, guarded, self._eclipse(entry))))
        )

    async def _tiers(self, removed: list[ListEntry], added: list[ListEntry]) -> Tiers:
        """Prepare memory for a change of few entries: here where the tier is small, else beside."""
        small = len(self._memory.live.ids) < _SMALL
        if small and all(one.scope == "site" and not is_bulk(one.source) for one in added):
            return self._memory.tiers(removed, added)
        return await asyncio.to_thread(self._memory.tiers, removed, added)

    async def add_all(
        self, entries: Sequence[ListEntry], *, now: float, sessions: Sequence[str] = (),
        only_look: bool = False,
    ) -> Imported:  # fmt: skip
        """Put many entries on the lists in one transaction; what can't be one is left out, named.

        Entries need no id; one that is there (list, network, scope, source) is renewed. Raises
        FullError where they are too many. `only_look` tells what would come of it.
        """
        async with self._writing:
            if len(entries) + len(self._memory) > ENTRIES:
                self._refused_full += 1
                raise FullError(f"{len(entries)} entries more are over {ENTRIES}: remove some")
            ready = await asyncio.to_thread(
                prepare, entries, self._memory.management, self._memory.twin, now=now,
                services=self._services, sessions=sessions,
            )  # fmt: skip
            if only_look:
                return Imported(*ready)
            async with sqlite.transaction(self._db):
                added = await rows.write(self._db, ready.added)
                renewed = await rows.write(self._db, ready.renewed)
                await rows.record(self._db, "add", added, time=now)
                await rows.record(self._db, "renew", renewed, time=now)
                before = [self._memory.entries[one.id] for one in renewed]
                tiers = await asyncio.to_thread(self._memory.tiers, before, [*added, *renewed])
            self._memory.apply(tiers, before, [*added, *renewed])
        return Imported(added, renewed, ready.refused)

    async def remove(
        self, list: str, network: str, *, author: str, reason: str, now: float, scope: str = "site"
    ) -> Change:
        """Take a network off a list, whoever of people and responses put it there.

        Raises NoEntryError where it is not on the list itself, or only through a feed or the
        centre, which would bring it back.
        """
        network, mended = canonical(network)
        async with self._writing:
            covering = self._memory.covering(list, network, scope)
            found = [one for one in covering if one.network == network]
            gone = [entry for entry in found if not is_replaced(entry.source)]
            if not gone:
                raise NoEntryError(self._why_not(list, network, found))
            async with sqlite.transaction(self._db):
                await rows.delete(self._db, [entry.id for entry in gone])
                await rows.record(
                    self._db, "remove", gone, time=now, author=rows.clean(author),
                    reason=rows.clean(reason),
                )  # fmt: skip
                tiers = await asyncio.to_thread(self._memory.tiers, gone, [])
            self._memory.apply(tiers, gone, [])
        rest = self._memory.covering(list, network, scope)
        stays = f"{rest[0].network} ({rest[0].source}) still holds it" if rest else ""
        return Change(gone[0], "; ".join(filter(None, (mended, stays))))

    async def expire(self, now: float) -> list[ListEntry]:
        """Remove and return the entries whose end has come; a clock set back brings none back."""
        async with self._writing:
            gone, rows_of_feeds = self._memory.ended(now)
            for source, over in rows_of_feeds.items():
                feed = self._memory.feeds[source]
                rest = feed.block.take(~over)
                await self._put(source, feed.list, step(feed.block, rest), now, "its time was over")
            if gone:
                async with sqlite.transaction(self._db):
                    await rows.delete(self._db, [entry.id for entry in gone])
                    await rows.record(
                        self._db, "expire", gone, time=now, author="ipwatchd",
                        reason="its time was over",
                    )  # fmt: skip
                    tiers = await asyncio.to_thread(self._memory.tiers, gone, [])
                self._memory.apply(tiers, gone, [])
        return gone

    async def replace_source(
        self, source: str, entries: Iterable[ListEntry], *, now: float
    ) -> Replaced:
        """Make these (their id and source aside) all that the centre says, at once.

        What can't be an entry is left out and named in `refused`. Raises ValueError where `source`
        is not central, FullError where the lists would be too full.
        """
        if source != "central":
            raise ValueError(f"{source!r} is not the centre: add entries one by one")
        async with self._writing:
            old = [entry for entry in self._memory.entries.values() if entry.source == source]
            wanted = [*entries]
            if len(wanted) + len(self._memory) - len(old) > ENTRIES:
                self._refused_full += 1
                raise FullError(f"{source} has {len(wanted)} entries: over {ENTRIES} with the rest")
            change = await asyncio.to_thread(plan, source, old, wanted, now=now)
            before = [*change.removed, *(self._memory.entries[one.id] for one in change.renewed)]
            async with sqlite.transaction(self._db):
                await rows.delete(self._db, [entry.id for entry in change.removed])
                await rows.record(
                    self._db, "remove", change.removed, time=now, author=source,
                    reason="no longer in the source",
                )  # fmt: skip
                added = await rows.write(self._db, change.added)
                renewed = await rows.write(self._db, change.renewed)
                await rows.record(self._db, "add", added, time=now)
                await rows.record(self._db, "renew", renewed, time=now)
                tiers = await asyncio.to_thread(self._memory.tiers, before, [*added, *renewed])
            self._memory.apply(tiers, before, [*added, *renewed])
        return change.replaced()

    async def replace_feed(self, source: str, list: str, block: Block, *, now: float) -> Replaced:
        """Make these rows all that a feed (feed:NAME) says, at once; FullError for too many."""
        async with self._writing:
            old = self._memory.feeds.get(source)
            before = old.block if old and old.list == list else _EMPTY
            if len(block) + len(self._memory) - (len(old.block) if old else 0) > ENTRIES:
                self._refused_full += 1
                raise FullError(f"{source} has {len(block)} entries: over {ENTRIES} with the rest")
            change = await asyncio.to_thread(step, before, block)
            if old is None or old.list == list:
                reason = "no longer in the source"
            else:
                reason = f"the feed is for the {list} list now"
                await self._put(source, old.list, step(old.block, _EMPTY), now, reason)
            await self._put(source, list, change, now, reason)
        renewed = int(change.put.sum() - change.added.sum())
        return Replaced(int(change.added.sum()), int(change.gone.sum()), renewed)

    async def _put(self, source: str, list: str, change: Step, now: float, reason: str) -> None:
        """Commit a change of a feed and bring memory to it."""
        if not (change.put.any() or change.gone.any()):
            return
        old = self._memory.feeds.get(source)
        before = old.block if old else _EMPTY
        feeds = {**self._memory.feeds, source: Feed(list, change.block)}
        if not len(change.block):
            del feeds[source]
        async with sqlite.transaction(self._db):
            if len(change.block):
                await blocks.write(self._db, source, list, change, now=now)
            else:
                await blocks.drop(self._db, source)
            edits = _edits(source, list, before, change)
            for action, entries in edits.items():
                many = entries[0].network == _MANY
                await rows.record(
                    self._db, action, entries, time=now, author=source,
                    reason=reason if action == "remove" and not many else "",
                )  # fmt: skip
            tier = await asyncio.to_thread(self._memory.bulk_with, feeds)
        self._memory.apply_feeds(feeds, tier)

    @property
    def management(self) -> tuple[str, ...]:
        """The networks that always pass."""
        return self._memory.management

    def service(self, name: str, *, now: float) -> ServicePolicy:
        """Return a service with its lists as they stand; ValueError names those there are."""
        if name not in self._services:
            known = ", ".join(sorted(self._services)) or "none"
            raise ValueError(f"there is no service {name[:40]!r}: known are {known}")
        return self._service(self._services[name], nanoseconds(now))

    def size(self, source: str, list: str = "") -> int:
        """Return how many entries a feed (feed:NAME) has on the lists, or on one of them alone."""
        feed = self._memory.feeds.get(source)
        return len(feed.block) if feed and list in {"", feed.list} else 0

    def selectors(self) -> set[str]:
        """Return what entries choose addresses by, such as country:RU or name:vpn.example.com."""
        return {entry.network for entry in self._memory.selected.values()}

    async def bind(self, bindings: Mapping[str, NDArray[np.void]]) -> bool:
        """Say which addresses selectors stand for from now on; tell whether that is news."""
        async with self._writing:
            memory = self._memory
            news = {
                name: ranges for name, ranges in bindings.items()
                if not np.array_equal(memory.bindings.get(name, empty_ranges()), ranges)
            }  # fmt: skip
            if not news:
                return False
            memory.bindings.update(news)
            touched = [one for one in memory.selected.values() if one.network in news]
            tiers = await asyncio.to_thread(memory.tiers, touched, touched)
            memory.apply(tiers, touched, touched)
        return True

    def entries(self, list: str | None = None, *, now: float) -> list[ListEntry]:
        """Return the entries in force at `now`, of one list or both: see `each`."""
        return [*self.each(list, now=now)]

    def each(
        self, list: str | None = None, *, now: float, feeds: bool = True
    ) -> Iterator[ListEntry]:
        """Yield the entries in force: those of line by line oldest first, then feed by feed."""
        for entry in self._memory.all(feeds=feeds):
            if (list is None or entry.list == list) and (not entry.expires or entry.expires > now):
                yield entry

    async def changes(
        self, limit: int = 100, *, before: int = 0, network: str = ""
    ) -> list[rows.Edit]:
        """Return the newest changes first: below the number `before`, of one network if given."""
        name = canonical(network)[0] if network else ""
        async with self._writing:
            return await rows.changes(self._db, limit, before, name)

    async def denied_before(self, network: str, since: float) -> int:
        """Return how often responses have denied a network since then: how long the next lasts."""
        name = canonical(network)[0]
        async with self._writing:
            return await rows.responses(self._db, name, since)

    async def forget(self, before: float) -> int:
        """Delete changes older than `before` of entries no longer in force; return how many."""
        async with self._writing, sqlite.transaction(self._db):
            return await rows.forget(self._db, before)

    def policy(
        self, mode: str, management: Sequence[str], *, now: float, enforce_until: float = 0.0
    ) -> Policy:
        """Return what the firewall shall hold at `now`; cheap, whatever the lists hold."""
        live, bulk, moment = self._memory.live, self._memory.bulk, nanoseconds(now)
        wanted = tuple(canonical(network)[0] for network in management)
        managed = self._memory.managed
        if wanted != self._memory.management:
            managed = merge(network_ranges(wanted))
        return Policy(
            mode=mode, management=managed,
            allow=live.standing("allow", moment), deny=live.standing("deny", moment),
            bulk_allow=bulk.standing("allow", moment), bulk_deny=bulk.standing("deny", moment),
            enforce_until=enforce_until,
            services=tuple(self._service(one, moment) for one in self._services.values()),
        )  # fmt: skip

    def own_policy(self, policy: Policy, *, now: float) -> Policy:
        """Return a policy without what feeds and the centre say."""
        own = [
            one for one in self._memory.entries.values()
            if one.scope == "site" and is_bulk(one.source) and not is_replaced(one.source)
        ]  # fmt: skip
        tier, moment = self._memory.compiled(own), nanoseconds(now)
        return policy._replace(
            bulk_allow=tier.standing("allow", moment), bulk_deny=tier.standing("deny", moment)
        )

    def _service(self, service: ServicePolicy, moment: int) -> ServicePolicy:
        tier = self._memory.scoped.get(service.name)
        if tier is None:
            return service
        return service._replace(
            allow=tier.standing("allow", moment), deny=tier.standing("deny", moment)
        )

    def denied(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell which addresses may not pass, as of the last change or `expire`; from any thread."""
        return self._memory.view.denied(hi, lo)

    def why(self, address: str, now: float, service: str = "") -> Why:
        """Return which entry decides over an address, and the precedence; may raise ValueError.

        With a service also what is said of that alone.
        """
        parsed = ipaddress.ip_address(canonical(address)[0].partition("/")[0])
        memory = self._memory
        holding = memory.holding(parsed)
        found = explain(parsed, memory.management, holding, now=now)
        policy, own = None, []
        if service:
            policy, own = self.service(service, now=now), memory.holding(parsed, service)
            found = explain_service(policy, found, own, now=now)
        rules = considered(
            parsed, memory.management, holding, now=now, service=policy, own=own
        )  # fmt: skip
        return msgspec.structs.replace(found, rules=rules)

    def next_expiry(self) -> float | None:
        """Return when the next entry ends (epoch seconds), or None."""
        return self._memory.next_expiry()

    def counters(self) -> dict[str, int]:
        """Return what status shows."""
        return {
            "entries": len(self._memory),
            "response_entries": self._memory.responses,
            "deny_ranges": len(self._memory.live.deny) + len(self._memory.bulk.deny),
            "allow_ranges": len(self._memory.live.allow) + len(self._memory.bulk.allow),
            "refused_full": self._refused_full,
        }

    def _make_room(self, entry: ListEntry) -> None:
        response = entry.source.startswith("response:")
        if len(self._memory) >= ENTRIES or (response and self._memory.responses >= RESPONSES):
            self._refused_full += 1
            bound = RESPONSES if response else ENTRIES
            raise FullError(
                f"{entry.network} was not added: the lists hold {bound} entries"
                f"{' of automatic responses' if response else ''}; remove some first"
            )

    def _why_not(self, list: str, network: str, found: Sequence[ListEntry]) -> str:
        if found:
            return (
                f"{network} is on the {list} list by {found[0].source}, which would bring it back: "
                f"put it on the {'allow' if list == 'deny' else 'deny'} list instead"
            )
        wider = self._memory.covering(list, network)
        held = f"; {wider[0].network} ({wider[0].source}), which holds it, is" if wider else ""
        return f"{network} is not on the {list} list{held}"

    def _eclipse(self, entry: ListEntry) -> str:
        """Say where a new deny changes nothing because an allow holds all of it."""
        if entry.list != "deny" or not self._memory.may_be_allowed(entry.network):
            return ""
        allows = self._memory.covering("allow", entry.network)
        return f"without effect while {allows[0].network} is allowed" if allows else ""


_EMPTY: Final = Block.gather((), "", 0.0)


def _edits(source: str, list: str, before: Block, change: Step) -> dict[str, list[ListEntry]]:
    """Return the entries of a change by action; of many one line that says how many."""
    chosen = {
        "remove": (before, change.gone), "add": (change.block, change.added),
        "renew": (change.block, change.put & ~change.added),
    }  # fmt: skip
    edits = {}
    for action, (block, mask) in chosen.items():
        many = int(mask.sum())
        if many > _TOLD:
            edits[action] = [
                ListEntry(id=0, list=list, network=_MANY, reason=f"{many} entries", author=source,
                          created=0.0, source=source)
            ]  # fmt: skip
        elif many:
            edits[action] = [*block.take(mask).entries(source, list)]
    return edits
