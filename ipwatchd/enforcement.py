"""What the kernel shall do, decided: mode, confirm timer, lists → policy → firewall.

The mode that is in force can differ from the configuration's: an admin changed it at run time.
Such a change waits for a confirmation and rolls back by itself; both survive the daemon's death
in firewall.json of the state folder. Should the daemon die while "enforce" waits, the kernel itself
stops dropping when the time is over (Policy.enforce_until).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from ipwatchd.records.entry import MODES

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.bindings import Bindings
    from ipwatchd.config import FirewallSettings
    from ipwatchd.firewall import Diff, Firewall
    from ipwatchd.lists import Lists
    from ipwatchd.records.policy import Policy

__all__ = ["Choice", "Enforcement", "NothingToConfirmError", "decide"]


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


class Enforcement:
    """Joins lists and firewall. One task at a time: every change goes through the same lock."""

    def __init__(
        self, settings: FirewallSettings, lists: Lists, firewall: Firewall, state_dir: Path
    ) -> None:
        self.settings = settings
        self._lists = lists
        self._firewall = firewall
        self._path = state_dir / "firewall.json"
        self._busy = asyncio.Lock()
        self._ending = asyncio.Lock()
        self.bindings: Bindings | None = None
        """Who says what countries, operators, names and agents stand for; None: nobody."""
        self._choice = _read(self._path)
        self.note = ""
        """Why the kernel does not hold what the lists say; empty where it does."""
        self.unkept = ""
        """Why the mode in force is not on the disk; empty where it is."""
        self.repairs = 0

    def choice(self, now: float) -> Choice:
        """Return the mode in force."""
        return decide(self._choice, self.settings.mode, now)

    async def sync(self, now: float) -> None:
        """Make the kernel hold what the lists say; a failure is kept in `note` and tried again."""
        if self.bindings:
            await self.bindings.refresh(now)
        async with self._busy:
            choice = self.choice(now)
            if choice != self._choice:
                self._try_to_keep(choice)
            policy = self._policy(choice, now)
            try:
                _, victims = self._firewall.put(policy, now)
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

    async def tick(self, now: float) -> bool:
        """Roll back what nobody confirmed, repair what somebody broke; True where it was broken."""
        moved = self.bindings is not None and await self.bindings.tick(now)
        if moved or self.choice(now) != self._choice or self.note:
            await self.sync(now)
            return False
        try:
            if self._firewall.check(now):
                return False
        except OSError as error:
            self.note = str(error)
            return False
        self.repairs += 1
        await self.sync(now)
        return True

    async def diff(self, now: float) -> Diff:
        """Return what differs between the stored lists and the kernel."""
        async with self._busy:
            return self._firewall.diff(self._policy(self.choice(now), now), now)

    def _policy(self, choice: Choice, now: float) -> Policy:
        """Return what the kernel shall hold; what waits to be confirmed it ends by itself."""
        until = choice.confirm_by if choice.previous != "enforce" else 0.0
        return self._lists.policy(
            choice.mode, self.settings.management, now=now, enforce_until=until
        )

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
        """Keep the change that waits."""
        choice = self._waiting(now)
        self._keep(Choice(choice.mode, configured=choice.configured))
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
        self._firewall.close()


def _read(path: Path) -> Choice | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Choice)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # a damaged choice is none: the file's mode holds, which is the admin's word
