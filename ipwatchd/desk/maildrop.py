"""The mail drop: a maildir that a mail server delivers reports to.

The original is kept by its hash before anything is read of it. A reply goes to the incident of its
thread where it comes from somebody who already wrote there; with another sender it becomes a report
of its own, so that nobody gets into a case by guessing a Message-ID.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from typing import TYPE_CHECKING, Final

import structlog

from ipwatchd.incidents.intake.mail import TEXT, Mail
from ipwatchd.incidents.intake.reader import read_mail
from ipwatchd.incidents.keep import FullError
from ipwatchd.records.incident import OPEN_STATES, Attachment, Report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from ipwatchd.desk.casework import Casework
    from ipwatchd.incidents import Incidents
    from ipwatchd.records.incident import Incident

    Answering = Callable[[Mail, Report, float], Awaitable[Incident | None]]

__all__ = ["MailDrop"]

AT_ONCE: Final = 5
"""Mails taken in one go: a flood of them is worked off by and by, the tick stays short."""
MOST: Final = 256 << 20
"""Bytes of a file that is read at all; a larger one stays where it is, and is said."""
ODD: Final = 1_000
"""Files whose names are held because we stumbled over them."""
_LOG: Final = structlog.get_logger("desk")


class MailDrop:
    """Takes mails out of a maildir's `new`, where there is one, and leaves them in its `cur`."""

    def __init__(self, maildir: Path | None, casework: Casework, incidents: Incidents) -> None:
        self._folder = maildir
        self._casework = casework
        self._incidents = incidents
        self.note = ""
        self._odd: dict[str, None] = {}
        """Files that could not be taken, left until the next start."""
        self.answers: Answering | None = None
        """Takes what answers a page; what it leaves is a report."""
        self.counters = {"mails": 0, "threaded": 0, "forged_threads": 0, "left": 0, "answers": 0}

    async def poll(self, now: float) -> list[Incident]:
        """Take what has arrived; what can't be taken now stays in `new`, and `note` says why."""
        taken: list[Incident] = []
        self.note = ""
        if self._folder is None:
            return taken
        try:
            names = await asyncio.to_thread(self._arrived, self._folder)
            for path in names:
                data = await asyncio.to_thread(path.read_bytes)
                taken += await self._taken(path, data, now)
        except OSError as error:
            self.note = f"mails wait in {self._folder}/new: {error}"
        return taken

    async def _taken(self, path: Path, data: bytes, now: float) -> list[Incident]:
        """Take a file's mail in and put it aside; one that can't ever be is left and said."""
        try:
            incident = await self.take(data, now)
        except (OSError, sqlite3.Error):
            raise
        except Exception as error:  # noqa: BLE001 - see below
            # A mail is made by strangers: one that we stumble over must not end the daemon, nor
            # keep those behind it.
            _LOG.exception("a mail can't be taken", path=str(path))
            self._odd[path.name] = None
            while len(self._odd) > ODD:
                del self._odd[next(iter(self._odd))]
            self.counters["left"] += 1
            self.note = f"{path} can't be taken ({type(error).__name__}): look at it by hand"
            return []
        await asyncio.to_thread(path.replace, path.parent.parent / "cur" / f"{path.name}:2,S")
        return [incident]

    def _arrived(self, folder: Path) -> list[Path]:
        (folder / "cur").mkdir(parents=True, exist_ok=True, mode=0o700)
        found = []
        for path in sorted((folder / "new").glob("*")):
            if path.name in self._odd:
                self.note = f"{path} can't be taken: look at it by hand"
                continue
            if path.is_symlink() or not path.is_file():
                continue
            if path.stat().st_size > MOST:
                self.counters["left"] += 1
                self.note = f"{path} is over {MOST:,} bytes: look at it by hand"
                continue
            found.append(path)
            if len(found) == AT_ONCE:
                break
        return found

    async def take(self, data: bytes, now: float) -> Incident:
        """Take one mail in; OSError where it can't be kept."""
        digest = await asyncio.to_thread(self._casework.reports.put, data, ".eml")
        mail = await asyncio.to_thread(read_mail, data)
        report = await asyncio.to_thread(self._report, mail, digest, now)
        self.counters["mails"] += 1
        answered = await self.answers(mail, report, now) if self.answers else None
        if answered is not None:
            self.counters["answers"] += 1
            return answered
        incident = await self._threaded(mail, report, now)
        if incident is None:
            incident = await self._casework.take(report, now)
        if mail.message_id:
            await self._incidents.remember_thread(mail.message_id, incident.id, mail.sender)
        return incident

    async def _threaded(self, mail: Mail, report: Report, now: float) -> Incident | None:
        """Put a reply to its incident; None where it is no reply, or from a stranger."""
        identity, senders = await self._incidents.thread(mail.references)
        if not identity or await self._incidents.of_report(report.id):
            return None
        incident = await self._incidents.incident(identity)
        if incident is None or incident.state not in OPEN_STATES:
            return None
        if mail.sender not in senders:
            self.counters["forged_threads"] += 1
            return None
        self.counters["threaded"] += 1
        return await self._incidents.attach(identity, report, now)

    def _report(self, mail: Mail, digest: str, now: float) -> Report:
        notes = list(mail.notes)
        files = []
        for one in mail.files:
            try:
                held = self._casework.reports.put(one.data)
            except FullError as error:
                notes.append(str(error))
                break
            files.append(Attachment(name=one.name, sha256=held, bytes=len(one.data), type=one.type))
        said = "".join(f"\n[{note}]" for note in notes)
        return Report(
            id=f"mail-{hashlib.sha256(digest.encode()).hexdigest()[:24]}", received=now,
            channel="e-mail", reporter=mail.sender or mail.name or "unknown",
            text=f"{mail.subject}\n{mail.text}{said}".strip()[: TEXT + 2_000] or "(empty mail)",
            language=mail.language, attachments=tuple(files), original=digest,
        )  # fmt: skip
