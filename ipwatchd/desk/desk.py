"""The front desk of a daemon: mail drops, reports over HTTP, evidence for what was opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ipwatchd.desk.lmtpdrop import SHED, LmtpDrop
from ipwatchd.desk.maildrop import MailDrop
from ipwatchd.desk.snippets import Snippets
from ipwatchd.desk.watching import Watching
from ipwatchd.desk.webdrop import WebDrop

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
        self.watching = Watching(stores)
        self.mail: MailDrop | None = None
        self.web: WebDrop | None = None
        self.lmtp: LmtpDrop | None = None
        self._clock = clock
        self.snippets: Snippets | None = None
        if seconds := stores.config.incidents.headers_seconds:
            self.snippets = Snippets(seconds, stores.casework.add_file)
            begin = self.snippets.begin
            stores.casework.on_opened = lambda incident: begin(incident, clock())
        self._doors: list[str] = []
        if settings.maildir or settings.lmtp:
            folder = Path(settings.maildir) if settings.maildir else None
            self.mail = MailDrop(folder, stores.casework, stores.incidents)
            if settings.lmtp:
                self.lmtp = LmtpDrop(Path(settings.lmtp), self.mail, clock)
        if settings.listen:
            self.web = WebDrop(settings, stores.casework, stores.incidents, clock)

    @property
    def note(self) -> str:
        """Return what keeps reports from coming in."""
        mail = self.mail.note if self.mail else ""
        taken = self.snippets.note if self.snippets else ""
        notes = (*self._doors, mail, taken, self.watching.note)
        return "; ".join(part for part in notes if part)

    def shed(self) -> dict[str, int]:
        """Return what was put off because too much came at once, by name."""
        return {f"intake.{name}": self.lmtp.counters[name] for name in SHED} if self.lmtp else {}

    async def start(self) -> None:
        """Listen; where that can't be, the daemon goes on and `note` says so."""
        for door in (self.web, self.lmtp):
            try:
                if door:
                    await door.start()
            except OSError as error:
                self._doors.append(str(error))

    async def tick(self, now: float) -> None:
        """Take what has arrived, and evidence for what was opened."""
        if self.mail:
            await self.mail.poll(now)
        if self.snippets:
            await self.snippets.tick(now)
        await self.watching.tick(now)
        await self._casework.work(now)

    async def stop(self) -> None:
        """Take no more."""
        self._casework.on_opened = None
        if self.snippets:
            await self.snippets.stop(self._clock())
        for door in (self.web, self.lmtp):
            if door:
                await door.stop()
