"""A site that pages: a real log, a pager, a clock that the test moves, a mail server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ipwatchd.config import IncidentSettings
from ipwatchd.config.settings import EscalationSettings
from ipwatchd.incidents import Incidents
from ipwatchd.paging.pager import Pager
from ipwatchd.records.finding import Finding
from tests.incidents.paging.plans import PLAN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

NOW = 1_795_424_400.0  # Monday 23 November 2026, 17:00 in Manila


def finding(number: int = 1, **changes: Any) -> Finding:
    """Return a finding that is a P1."""
    fields: dict[str, Any] = {
        "rule": "data-upload", "subject": f"10.0.0.{number}", "key": f"x|{number}",
        "title": "a machine of ours sends a gigabyte", "first_seen": NOW, "last_seen": NOW,
        "count": 1, "severity": "critical", "classification": "data-leak", "score": 1.0,
        "value": 1.0, "threshold": 1.0, "evidence": {"direction": "outgoing"},
    }  # fmt: skip
    return Finding(**(fields | changes))


def _text(mail: Any) -> str:
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body else ""


class Box:
    """A mail server that can refuse; `arrived` is set with each mail."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.told: dict[str, set[str]] = {}
        """person → the incidents that their mails name"""
        self.refuse = ""
        self.port = 0
        self.arrived = asyncio.Event()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        del server, session
        if self.refuse:
            return self.refuse
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append(mail)
        said = re.findall(r"MANILA-\d+", f"{mail['Subject']} {_text(mail)}")
        self.told.setdefault(mail["To"], set()).update(said)
        self.arrived.set()
        return "250 taken"


class Site:
    """A log, a pager and a clock that the test moves."""

    def __init__(self, folder: Path, box: Box, more: str = "", **settings: Any) -> None:
        self.folder, self.now = folder, NOW
        plan = folder / "escalation.toml"
        sends = f"port = {box.port}\nreply_to = 'soc@site.example'\ntries = 2\nretry = 0.01"
        text = PLAN.replace("port = 2525", sends) + more
        plan.write_text(
            text.replace("2526", str(box.port)).replace(
                'kind = "webhook"', 'kind = "webhook"\ntries = 1'
            )
        )
        self.settings = EscalationSettings(plan=str(plan), **settings)
        self.log: Incidents
        self.pager: Pager

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Pager]:
        """Open the log and run the pager for a block."""
        self.log = await Incidents.open(self.folder, "manila", IncidentSettings())
        stop = asyncio.Event()
        self.pager = Pager(self.settings, self.log, self.folder, lambda: self.now)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pager.run(stop))
            try:
                yield self.pager
            finally:
                stop.set()
        await self.log.close()


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)
