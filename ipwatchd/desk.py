"""The front desk of a daemon: mail drop, reports over HTTP, evidence for what was opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ipwatchd.maildrop import MailDrop
from ipwatchd.webdrop import WebDrop

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.config.settings import IntakeSettings
    from ipwatchd.stores import Stores

__all__ = ["Desk"]


class Desk:
    """Takes in what people report. `note` says what is wrong, "" when all is well."""

    def __init__(
        self, settings: IntakeSettings, stores: Stores, clock: Callable[[], float]
    ) -> None:
        self._casework = stores.casework
        self.mail: MailDrop | None = None
        self.web: WebDrop | None = None
        self._web_note = ""
        if settings.maildir:
            self.mail = MailDrop(Path(settings.maildir), stores.casework, stores.incidents)
        if settings.listen:
            self.web = WebDrop(settings, stores.casework, stores.incidents, clock)

    @property
    def note(self) -> str:
        """Return what keeps reports from coming in."""
        mail = self.mail.note if self.mail else ""
        return "; ".join(part for part in (self._web_note, mail) if part)

    async def start(self) -> None:
        """Listen; where that can't be, the daemon goes on and `note` says so."""
        if self.web:
            try:
                await self.web.start()
            except OSError as error:
                self._web_note = str(error)
                self.web = None

    async def tick(self, now: float) -> None:
        """Take what has arrived, and evidence for what was opened."""
        if self.mail:
            await self.mail.poll(now)
        await self._casework.work(now)

    async def stop(self) -> None:
        """Take no more."""
        if self.web:
            await self.web.stop()
