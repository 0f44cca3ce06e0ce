"""What the detectors say of one log, line by line, on the log's own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from detect import ENRICHER, nobody

from ipwatchd.config.settings import DetectSettings
from ipwatchd.detect import build
from ipwatchd.logs import Reader
from ipwatchd.records.event import Api, Auth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ipwatchd.records.finding import Finding

__all__ = ["Told", "log", "refused"]

NOW = 1_795_287_601.0
"""Gives the year to stamps without one."""


class Told(NamedTuple):
    """Lines, how many of them are events, and the findings."""

    lines: int
    events: int
    findings: tuple[Finding, ...]


def log(path: Path, *, times: int = 1, failures: int = 0) -> Told:
    """Return what is said of a log, read so many times; `failures` is another line for guessing."""
    lines = [
        line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line
    ]
    reader = Reader()
    found = [event for line in lines if (event := reader.line(line, now=NOW, source=path.name))]
    return Told(len(lines), len(found), _findings(found * times, failures))


def refused(reader: Reader, line: str) -> str | None:
    """Return whom a line accuses of a login that failed or broke off, or of a refused request.

    None where it accuses nobody; "" where it tells of a failure and not of whom.
    """
    event = reader.line(line, now=NOW, source="peer")
    bad = event.status >= 400 if isinstance(event, Api) else (
        isinstance(event, Auth) and event.result != "success"
    )  # fmt: skip
    return event.orig if event and bad else None


def _findings(events: Sequence[Any], failures: int) -> tuple[Finding, ...]:
    settings = DetectSettings()
    if failures:
        guessing = msgspec.structs.replace(settings.password_guessing, failures=failures)
        settings = msgspec.structs.replace(settings, password_guessing=guessing)
    detectors = build(settings, denied=nobody, zones=(), place=ENRICHER.place)
    told: dict[str, Finding] = {}
    for event in sorted(events, key=lambda one: one.ts):
        for detector in detectors:
            told |= {one.key: one for one in detector.events([event], event.ts)}
    return tuple(told.values())
