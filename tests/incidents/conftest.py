"""Findings, and a log to put them in."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.config import IncidentSettings
from ipwatchd.incidents.store import Incidents
from ipwatchd.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from ipwatchd.records.incident import Incident


@pytest.fixture
def finding() -> Callable[..., Finding]:
    """Make findings of a port scan."""

    def make(subject: str = "203.0.113.7", at: float = 1000.0, **changes: Any) -> Finding:
        fields: dict[str, Any] = {
            "rule": "port_scan", "subject": subject, "key": f"port_scan|{subject}",
            "title": f"{subject} scans ports", "first_seen": at, "last_seen": at, "count": 20,
            "severity": "medium", "classification": "scanner", "score": 0.9, "value": 20.0,
            "threshold": 20.0,
        }  # fmt: skip
        return Finding(**(fields | changes))

    return make


FACTS = {
    "confidentiality": "no", "integrity": "no", "availability": "no", "data": "none",
    "malicious": "yes", "ongoing": "no", "spread": "one",
}  # fmt: skip


async def to_the_end(incidents: Incidents, identity: str, now: float) -> None:
    """Do all that closing an incident needs, from wherever it is open."""

    async def act(action: str, reason: str = "done", **details: Any) -> Incident:
        return await incidents.act(
            identity, action, actor="ben", reason=reason, now=now, details=details
        )

    incident = await act("take")
    if incident.classification in {"", "undetermined"}:
        incident = await act("classify", "phishing")
    await act("assess", answers=FACTS)
    for action in ("confirm", "contain", "resolve", "review"):
        incident = await act(action)
    for task in incident.tasks:
        if not task.done:
            await act("tick", step=f"{task.sop}/{task.step}")
    await act("feedback", "true-positive: told the reporter")
    await act("close")


@pytest.fixture
def close_case() -> Callable[[Incidents, str, float], Awaitable[None]]:
    """Return `to_the_end`."""
    return to_the_end


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Incidents]]:
    """Open the log of tmp_path for a block."""

    @asynccontextmanager
    async def open_it(site: str = "manila", *, read_only: bool = False) -> AsyncIterator[Incidents]:
        settings = IncidentSettings(reopen_seconds=3600.0)
        incidents = await Incidents.open(tmp_path, site, settings, read_only=read_only)
        try:
            yield incidents
        finally:
            await incidents.close()

    return open_it
