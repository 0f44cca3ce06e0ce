"""What the kernel shall do, decided: mode, confirm timer, lists → policy → firewall.

The mode that is in force can differ from the configuration's: an admin changed it at run time.
Such a change waits for a confirmation and rolls back by itself; both survive the daemon's death
in firewall.json of the state folder. Should the daemon die meanwhile, the kernel itself takes the
change back when the time is over: it stops dropping where enforce waits (Policy.enforce_until) and
drops again where observe or off does (Policy.enforce_from); so "off" only pauses until it is
confirmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.firewall import CommitWatch, Tally, who
from ipwatchd.lists.compile import network_ranges
from ipwatchd.pace import Pace
from ipwatchd.records.entry import MODES
from ipwatchd.trouble import sentence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from ipwatchd.bindings import Bindings
    from ipwatchd.config import FirewallSettings
    from ipwatchd.firewall import Diff, Firewall
    from ipwatchd.firewall.told import Victims
    from ipwatchd.lists import Lists
    from ipwatchd.records.policy import Policy

__all__ = [
    "Choice", "Enforcement", "NothingToConfirmError", "decide", "policy_of", "read_choice",
]  # fmt: skip


_FILE: Final = "firewall.json"
_LARGE: Final = 5000
"""Rows from which on a change goes down in another thread: a million take seconds."""
_GAP: Final = 0.25
"""Seconds between two looks at what others' commits did: fail2ban alone commits at each ban."""


class NothingToConfirmError(ValueError):
    """No change of mode is waiting."""


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """The mode chosen at run time: `mode` until `confirm_by` (0: for good), then `previous`.

    `configured` is the file's mode at the time: when the file changes, the file wins.
    """

    mode: str
    previous: str = ""
    confirm_by: float = 0.0
    configured: str = ""


def decide(choice: Choice | None, configured: str, now: float) -> Choice:
    """Return what is in force: the file's mode, the choice, or what it rolls back to. Pure."""
    if choice is None or choice.configured != configured:
        return Choice(configured, configured=configured)
    if choice.confirm_by and now >= choice.confirm_by:
        return Choice(choice.previous, configured=configured)
    return choice


def policy_of(choice: Choice, lists: Lists, management: Sequence[str], now: float) -> Policy:
    """Return what the kernel shall hold; what waits to be confirmed it ends by itself."""
    waits = choice.confirm_by
    if waits and choice.previous == "enforce" and choice.mode != "enforce":
        policy = lists.policy("enforce", management, now=now)
        return policy._replace(enforce_from=waits)
    until = waits if choice.previous != "enforce" else 0.0
    return lists.policy(choice.mode, management, now=now, enforce_until=until)


class Enforcement:
    """Joins lists and firewall. One task at a time: every change goes through the same lock."""

    def __init__(
        self, settings: FirewallSettings, lists: Lists, firewall: Firewall, state_dir: Path
    ) -> None:
        self.settings = settings
        self._lists = lists
        self._firewall = firewall
        self._path = state_dir / _FILE
        self._busy = asyncio.Lock()
        self._ending = asyncio.Lock()
        self.bindings: Bindings | None = None
        """Who says what countries, operators, names and agents stand for; None: nobody."""
        self._choice = read_choice(state_dir)
        self.note = ""
        """Why the kernel does not hold what the lists say; empty where it does."""
        self.unbound = ""
        """Why it can't be told whom names and agents stand for now; empty where it can."""
        self.unkept = ""
        """Why the mode in force is not on the disk; empty where it is."""
        self.changed_by = ""
        """The programs that last changed our rules, where the kernel said so."""
        self.bypass = ""
        """Which flowtables let connections past every rule; empty where none does."""
        self._known_generation = -1
        self.watch: CommitWatch | None = None
        self.pace = Pace()
        self._looking = asyncio.Lock()
        self._news = asyncio.Event()

    @property
    def repairs(self) -> int:
        """Return how often the rules were put back after somebody changed them."""
        return self.pace.repairs

    def choice(self, now: float) -> Choice:
        """Return the mode in force."""
        return decide(self._choice, self.settings.mode, now)

    async def sync(self, now: float) -> None:
        """Make the kernel hold what the lists say; a failure is kept in `note` and tried again."""
        if self.bindings:
            await self._bound(self.bindings.refresh(now))
        async with self._busy:
            choice = self.choice(now)
            if choice != self._choice:
                self._try_to_keep(choice)
            try:
                victims = await self._put(self._policy(choice, now), now)
            except OSError as error:
                self.note = str(error)
                return
            self.note = ""
        if victims is None:
            return
        async with self._ending:
            try:
                await asyncio.to_thread(self._firewall.kill, victims)
            except OSError as error:
                self.note = str(error)

    async def _put(self, policy: Policy, now: float) -> Victims | None:
        """Put a policy down: a small change here, a large one beside, with nobody listening."""
        if self._firewall.weight(policy) < _LARGE:
            return self._firewall.put(policy, now)[1]
        if self.watch:
            self.watch.pause()
        try:
            return (await asyncio.to_thread(self._firewall.put, policy, now))[1]
        finally:
            if self.watch:
                self.watch.resume()
                self._news.set()  # what others did meanwhile was not heard: look

    async def tick(self, now: float) -> bool:
        """Roll back what nobody confirmed, repair what somebody broke; True where it was broken."""
        if self._busy.locked():
            return False  # a large change is on its way down
        moved = self.bindings is not None and await self._bound(self.bindings.tick(now))
        if moved or self.choice(now) != self._choice or self.note:
            await self.sync(now)
            return False
        return await self.look(now)

    async def _bound(self, news: Awaitable[bool]) -> bool:
        """Tell whether selectors stand for others now; where that can't be read, for the same."""
        try:
            moved = await news
        except (OSError, sqlite3.Error) as error:
            self.unbound = f"names and agents stand for whom they stood for: {sentence(error)}"
            return False
        self.unbound = ""
        return moved

    async def look(self, now: float) -> bool:
        """Put the rules back where somebody changed them; True where that was so."""
        loop = asyncio.get_running_loop()
        if self._looking.locked() or self._busy.locked() or self.pace.wait(loop.time()):
            return False
        async with self._looking:
            if self._firewall.is_before(now):
                await self.sync(now)  # the clock's doing and nobody's: put anew, no incident
                return False
            try:
                self._look_for_bypass()
                if self._firewall.check(now):
                    return False
                self._hear()
                began = loop.time()
            except OSError as error:
                self.note = str(error)
                return False
            if self.watch:
                self.changed_by = who(self.watch.since(*self._firewall.own()))
            await self.sync(now)
            self.pace.repaired(began, loop.time())
        return True

    def _look_for_bypass(self) -> None:
        """Notice a flowtable that lets connections past every rule, where anybody committed."""
        generation = self._firewall.generation()
        if generation == self._known_generation:
            return
        self._known_generation = generation
        found = self._firewall.flowtables()
        self.bypass = (
            f"flowtable {', '.join(found)} lets connections past these rules: delete it, or deny "
            "what is in it there"
            if found
            else ""
        )

    def _hear(self) -> None:
        """Take what the kernel told of commits; what can't be read is news all the same."""
        try:
            news = self.watch is not None and self.watch.hear()
        except OSError:
            news = True
        if news:
            self._news.set()

    async def guard(
        self, stop: asyncio.Event, clock: Callable[[], float],
        changed: Callable[[float], Awaitable[None]],
    ) -> None:  # fmt: skip
        """Look as soon as somebody commits to the kernel's rules, until `stop`.

        `changed` is called when ours were changed and have been put back.
        """
        loop = asyncio.get_running_loop()
        if self.watch is None:
            await stop.wait()
            return
        loop.add_reader(self.watch.fileno(), self._hear)
        ending = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait([news, ending], return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                self._news.clear()
                if stop.is_set():
                    return
                if await self.look(clock()):
                    await changed(clock())
                await asyncio.wait([ending], timeout=max(_GAP, self.pace.wait(loop.time())))
        finally:
            ending.cancel()
            loop.remove_reader(self.watch.fileno())

    def fight(self) -> str:
        """Say who keeps changing our rules; "" where nobody does."""
        times = self.pace.lately(asyncio.get_running_loop().time())
        if not times:
            return ""
        by = self.changed_by or "a program"
        return f"{by} changes our rules again and again: put back {times} times in a minute; end it"

    def hasten(self, address: str, now: float) -> None:
        """Deny an address in the kernel at once; its entry is on its way to the disk.

        Safe in this order: without an entry the kernel lets go of it within a minute, management
        and what is allowed pass whatever is denied.
        """
        if not self._busy.locked():
            with contextlib.suppress(OSError):  # the entry comes by the way of all entries
                self._firewall.hasten(network_ranges([address]), now)

    def recall(self, addresses: Iterable[str], now: float) -> None:
        """Take back what was hastened and became no entry."""
        if not self._busy.locked():
            with contextlib.suppress(OSError):  # it ends by itself
                self._firewall.recall(network_ranges(addresses), now)

    def notes(self) -> dict[str, str]:
        """Return what is wrong now, a sentence a part."""
        found = {
            "firewall": self.note, "firewall mode": self.unkept, "firewall fight": self.fight(),
            "firewall by-pass": self.bypass, "firewall names": self.unbound,
        }  # fmt: skip
        return {part: note for part, note in found.items() if note}

    async def tally(self) -> Tally:
        """Return what each live element of the kernel's sets has met since it was put down."""
        return Tally(await asyncio.to_thread(self._firewall.hits))

    async def diff(self, now: float) -> Diff:
        """Return what differs between the stored lists and the kernel."""
        async with self._busy:
            policy = self._policy(self.choice(now), now)
            return await asyncio.to_thread(self._firewall.diff, policy, now)

    def _policy(self, choice: Choice, now: float) -> Policy:
        return policy_of(choice, self._lists, self.settings.management, now)

    async def set_mode(self, mode: str, confirm_seconds: float, now: float) -> Choice:
        """Switch modes; rolls back after `confirm_seconds` unless that is 0 or it is confirmed."""
        if mode not in MODES:
            raise ValueError(f"{mode!r} is none of {', '.join(MODES)}")
        before = self.choice(now).mode
        until = now + confirm_seconds if confirm_seconds else 0.0
        self._keep(Choice(mode, before, until, self.settings.mode))
        await self.sync(now)
        if self.note:
            raise OSError(self.note)
        return self.choice(now)

    async def confirm(self, now: float) -> Choice:
        """Keep the change that waits: the kernel's timer for it is taken off."""
        choice = self._waiting(now)
        self._keep(Choice(choice.mode, configured=choice.configured))
        await self.sync(now)
        if self.note:
            raise OSError(self.note)
        return self.choice(now)

    async def rollback(self, now: float) -> Choice:
        """Take the change that waits back."""
        # Its time is over now: holds in the kernel also where the disk can't take it.
        self._choice = msgspec.structs.replace(self._waiting(now), confirm_by=now)
        await self.sync(now)
        return self.choice(now)

    def _waiting(self, now: float) -> Choice:
        choice = self.choice(now)
        if not choice.confirm_by:
            raise NothingToConfirmError("no change of mode is waiting to be confirmed")
        return choice

    def _try_to_keep(self, choice: Choice) -> None:
        """Write down what time or the file decided; after a restart they decide it again."""
        try:
            self._keep(choice)
        except OSError as error:
            self.unkept = f"can't write {self._path} ({error.strerror or error}): make room"

    def _keep(self, choice: Choice) -> None:
        """Remember the choice on disk before it is acted on; OSError leaves all as it was."""
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(choice))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        self._choice = choice
        self.unkept = ""

    def stop(self) -> None:
        """Leave the rules or take them away, as configured."""
        if self.settings.on_stop == "remove":
            with contextlib.suppress(OSError):  # the box goes down: nothing is left to report to
                self._firewall.remove()
        if self.watch:
            self.watch.close()
        self._firewall.close()


def read_choice(state_dir: Path) -> Choice | None:
    """Return the mode that was chosen at run time, None where the file's holds."""
    try:
        return msgspec.json.decode((state_dir / _FILE).read_bytes(), type=Choice)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # a damaged choice is none: the file's mode holds, which is the admin's word
