"""Chains of events to hand to a collector, and collectors as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ipwatchd.central.store import Store
from ipwatchd.incidents.chain import START, Head, link
from ipwatchd.incidents.grouping import opened_by
from ipwatchd.records.incident import IncidentEvent, Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


def chain(count: int, site: str = "manila", salt: str = "") -> list[IncidentEvent]:
    """Return a chain: every third event opens an incident, the others are notes on it."""
    events: list[IncidentEvent] = []
    head = START
    for number in range(count):
        identity = f"{site.upper()}-{number // 3 + 1:06d}"
        report = Report(
            id=f"r{number}", received=1.0, channel="call", reporter="ana", text=f"text {salt}"
        )
        kind, body = ("opened", opened_by(report)) if number % 3 == 0 else ("note", {"text": salt})
        event = link(
            site, head, time=float(number), incident=identity, actor="ana", kind=kind, body=body
        )
        events.append(event)
        head = Head(event.seq, event.hash)
    return events


@pytest.fixture(name="chain")
def chain_fixture() -> Callable[..., list[IncidentEvent]]:
    """Return `chain`."""
    return chain


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Return the store of a centre."""
    made = await Store.open(tmp_path / "centre")
    yield made
    await made.close()


class Process(NamedTuple):
    """A collector that runs: its process and URL."""

    process: subprocess.Popen[str]
    url: str


def command(*arguments: str) -> list[str]:
    """Return the command line of ipwatch-central."""
    return [sys.executable, "-m", "ipwatchd.cli.central", *arguments]


@pytest.fixture
def central(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of ipwatch-central on the centre's folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments, "--state", str(tmp_path / "centre")), capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip

    return run


@pytest.fixture
def collector(tmp_path: Path) -> Callable[..., AbstractContextManager[Process]]:
    """Run a collector as a process for a block, killed with -9 at its end if it still runs."""

    @contextmanager
    def run(*arguments: str) -> Iterator[Process]:
        words = command("run", "--state", str(tmp_path / "centre"), "--port", "0", *arguments)
        environment: dict[str, Any] = dict(os.environ)
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
            try:
                assert process.stdout is not None
                yield Process(
                    process, process.stdout.readline().removeprefix("listening on ").strip()
                )
            finally:
                process.kill()

    return run
