"""Keeps the feeds: looks when one is due, takes what is good, remembers what is known of each."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ipwatchd.lists.block import Block
from ipwatchd.lists.feeds import FeedState, checksum, judge, retry_in
from ipwatchd.lists.fetch import fetch
from ipwatchd.lists.formats import Reader
from ipwatchd.records.duration import duration_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    import aiohttp

    from ipwatchd.config.settings import FeedSettings
    from ipwatchd.lists.fetch import Fetched
    from ipwatchd.lists.store import Lists

__all__ = ["FeedKeeper"]

_LOOK: Final = 1.0
NOTHING: Final = Block.gather((), "", 0.0)


class Taken(NamedTuple):
    """What a feed's bytes come to."""

    block: Block
    skipped: int
    problems: int


def read(
    data: bytes, name: str, settings: FeedSettings, *, own: Sequence[str], before: int, now: float
) -> Taken:
    """Return what of a feed is taken; ValueError says why it is not to be believed. Pure."""
    reader = Reader(data, settings.format, now=now, selectors=False)
    items = (item for item in reader if not item.expires or item.expires > now)
    block = Block.gather(items, f"listed by {name}", now)
    block, skipped = judge(block, settings, own, before)
    return Taken(block, skipped, reader.problem_count)


class FeedKeeper:
    """The feeds of one site. What is known survives in feeds.json of the state folder."""

    def __init__(
        self, feeds: Mapping[str, FeedSettings], lists: Lists, state_dir: Path,
        *, own: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Take feeds by name; `own` are the site's networks, which no feed may deny."""
        self._lists = lists
        self._path = state_dir / "feeds.json"
        self._states = _read(self._path)
        self._busy = asyncio.Lock()
        self._sizes = {name: lists.size(f"feed:{name}") for name in feeds}
        self.trouble = ""
        """Why the lists could not be written; empty where they could."""
        self._session: aiohttp.ClientSession | None = None
        self._feeds: dict[str, FeedSettings] = {}
        self.adopt(feeds, own)

    def adopt(self, feeds: Mapping[str, FeedSettings], own: Sequence[str]) -> None:
        """Take other settings (reload): new and changed feeds are due at once, others go."""
        for name, settings in feeds.items():
            if name in self._states and settings != self._feeds.get(name, settings):
                self._states[name].next = 0.0
        self._feeds = dict(feeds)
        self._own = tuple(own)

    async def run(
        self, stop: asyncio.Event, clock: Callable[[], float],
        changed: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        """Look after the feeds until `stop`; `changed` is called when entries came or went."""
        try:
            while not stop.is_set():
                try:
                    if await self.step(clock()):
                        await changed()
                    self.trouble = ""
                except (OSError, sqlite3.Error) as error:
                    self.trouble = f"feeds can't be written: {error}"
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _LOOK)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close what is open to servers."""
        if self._session is not None:
            await self._session.close()
        self._session = None

    async def step(self, now: float) -> bool:
        """Do what is due; tell whether any entries changed."""
        changed = False
        for name in [name for name in self._states if name not in self._feeds]:
            changed |= await self._drop(name, now)
        for name in [*self._feeds]:
            settings = self._feeds.get(name)
            if settings is None:
                continue  # gone by a reload, while an earlier one was looked at
            state = self._states.get(name) or FeedState(name=name)
            # A clock set back far must not silence a feed until it has caught up.
            if now >= state.next or now < state.tried - settings.every:
                changed |= await self._look(name, settings, now)
            changed |= await self._let_go(name, settings, now)
        # Entries of a feed also end by themselves (CrowdSec's durations).
        sizes = {name: self._lists.size(f"feed:{name}") for name in self._feeds}
        changed |= sizes != self._sizes
        self._sizes = sizes
        return changed

    async def refresh(self, name: str, now: float, *, force: bool = False) -> bool:
        """Look at one feed now; `force` takes it whatever its size. KeyError for no such feed."""
        return await self._look(name, self._feeds[name], now, force=force)

    async def _look(
        self, name: str, settings: FeedSettings, now: float, *, force: bool = False
    ) -> bool:
        async with self._busy:
            state = self._states.setdefault(name, FeedState(name=name))
            if state.entries and not self._lists.size(f"feed:{name}", settings.list):
                # The lists are other than when this was noted (a new lists.db, a backup), or the
                # feed is for another list now.
                state.checksum = state.etag = state.modified = ""
            state.tried = now
            try:
                changed = await self._take(state, settings, now, force=force)
            # A stranger's bytes: what no reader foresaw costs the feed, not the daemon.
            except Exception as error:  # noqa: BLE001 (see above)
                known = isinstance(error, ValueError | OSError | sqlite3.Error)
                state.failures += 1
                state.error = str(error) if known else f"it broke its reader: {error!r}"
                state.next = now + retry_in(state.failures, settings.every)
                changed = False
            else:
                state.failures, state.error = 0, ""
                state.success, state.next = now, now + settings.every
            self._keep()
        return changed

    async def _take(
        self, state: FeedState, settings: FeedSettings, now: float, *, force: bool
    ) -> bool:
        session = None if settings.file else self._connected()
        came = await fetch(session, settings, FeedState(name="") if force else state)
        if came is None:
            return False
        mark = await asyncio.to_thread(checksum, came.data)
        if mark == state.checksum and not force:
            state.etag, state.modified = came.etag, came.modified
            return False
        return await self._replace(state, settings, came, now, force=force)

    async def _replace(
        self, state: FeedState, settings: FeedSettings, came: Fetched, now: float, *, force: bool
    ) -> bool:
        before = 0 if force else state.entries
        taken = await asyncio.to_thread(
            read, came.data, state.name, settings, own=self._own, before=before, now=now
        )
        source = f"feed:{state.name}"
        done = await self._lists.replace_feed(source, settings.list, taken.block, now=now)
        state.checksum, state.etag, state.modified = checksum(came.data), came.etag, came.modified
        state.entries, state.skipped = len(taken.block), taken.skipped
        state.problems = taken.problems
        if done.added or done.removed or done.renewed:
            state.changed = now
            return True
        return False

    async def _let_go(self, name: str, settings: FeedSettings, now: float) -> bool:
        """Take a feed's entries off that nobody has confirmed for too long."""
        state = self._states[name]
        if not state.entries or now - state.success < settings.stale:
            return False
        await self._lists.replace_feed(f"feed:{name}", settings.list, NOTHING, now=now)
        state.error = (
            f"released its {state.entries} entries: no good copy for "
            f"{duration_text(settings.stale)} ({state.error})"
        )
        state.entries, state.checksum, state.etag, state.modified = 0, "", "", ""
        self._keep()
        return True

    async def _drop(self, name: str, now: float) -> bool:
        """Take off what a feed said that is no longer in the configuration."""
        done = await self._lists.replace_feed(f"feed:{name}", "deny", NOTHING, now=now)
        del self._states[name]
        self._keep()
        return bool(done.removed)

    def _connected(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            agent = {"User-Agent": "ipwatchd"}
            self._session = aiohttp.ClientSession(headers=agent)
        return self._session

    def _keep(self) -> None:
        """Write down what is known; a full disk costs the checksums, not the entries."""
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            temporary.write_bytes(msgspec.json.encode([*self._states.values()]))
            temporary.replace(self._path)

    def status(self) -> list[FeedState]:
        """Return what is known of each feed, those not yet looked at too."""
        return [self._states.get(name) or FeedState(name=name) for name in sorted(self._feeds)]


def _read(path: Path) -> dict[str, FeedState]:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[FeedState])
    except (OSError, msgspec.MsgspecError):
        return {}  # every feed is looked at anew
    return {state.name: state for state in found}
