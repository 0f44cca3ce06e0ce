"""What the people at the desk do: `ipwatchctl` as they type it, each as a user of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ipwatchd.control.client import Client, SocketTransport
from ipwatchd.lab.people import as_person
from ipwatchd.lab.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ipwatchd.lab.casebook import Work
    from ipwatchd.lab.programs import Gateway

__all__ = ["Desk", "Refusal"]

_AT_ONCE: Final = 4
"""Commands that run at the same time: so many hands there are at the desk."""
_SECONDS: Final = 60.0
_CLOSING: Final = (
    ("closing with a mandatory step unticked", "needs the mandatory steps"),
    ("closing with a duty pending", "needs the pending obligations"),
    ("closing without feedback to who raised it", "needs feedback"),
)
"""What is refused, and its words, before each thing that is settled before the end."""


class Refusal(NamedTuple):
    """Something that must be refused, the words that say so, what was said, the exit status."""

    what: str
    wanted: str
    said: str
    status: int


class Desk:
    """Runs commands on the gateway and keeps what was refused."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._hands = asyncio.Semaphore(_AT_ONCE)
        self.client = Client(SocketTransport(gateway.socket, timeout=10.0))
        self.refusals: list[Refusal] = []
        self.commands = 0

    async def do(self, who: str, *words: str) -> str:
        """Type a command and return what it printed; ProgramError where it says no."""
        done = await self._type(who, words)
        if done.returncode:
            raise ProgramError(f"{who}: ipwatchctl {' '.join(words)}: {_said(done)}")
        return str(done.stdout)

    async def refused(self, what: str, wanted: str, who: str, *words: str) -> None:
        """Type a command that must be refused with some words."""
        done = await self._type(who, words)
        said = _said(done) if done.returncode else f"it was done: {_said(done)}"
        self.refusals.append(Refusal(what, wanted, said, done.returncode))

    async def _type(self, who: str, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        module, *options = self._gateway.command(*words)
        if words[0] == "--state":
            options = list(words)  # a folder is read without the daemon
        command = [*as_person(who), sys.executable, "-m", module, *options]
        async with self._hands:
            self.commands += 1
            return await asyncio.to_thread(
                self._gateway.namespace.run, command, check=False, timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    async def answer(self, who: str, words: Sequence[str], answers: Sequence[str]) -> str:
        """Type a command on a terminal and answer what it asks; return all that stood there."""
        command = [*as_person(who), sys.executable, "-m", *self._gateway.command(*words)]

        def run() -> tuple[int, str]:
            master, slave = pty.openpty()
            typed = self._gateway.namespace.popen(
                command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
            )
            os.close(slave)
            os.write(master, "".join(f"{one}\n" for one in answers).encode())
            shown = b""
            # the terminal is gone (EIO) when the last one who had it has ended
            with contextlib.suppress(OSError):
                while piece := os.read(master, 4096):
                    shown += piece
            os.close(master)
            return typed.wait(_SECONDS), shown.decode("utf-8", "replace").replace("\r\n", "\n")

        async with self._hands:
            self.commands += 1
            status, shown = await asyncio.to_thread(run)
        if status:
            raise ProgramError(f"{who}: ipwatchctl {' '.join(words)}: {shown.strip()[-500:]}")
        return shown

    async def incident(self, identity: str) -> dict[str, Any]:
        """Return how an incident stands."""
        return dict((await asyncio.to_thread(self.client.incident, identity)).incident)

    async def timeline(self, identity: str) -> list[dict[str, Any]]:
        """Return an incident's events."""
        detail = await asyncio.to_thread(self.client.incident, identity)
        return [dict(event) for event in detail.timeline]

    async def rows(self) -> list[dict[str, Any]]:
        """Return all incidents, the oldest first."""
        page = await asyncio.to_thread(self.client.incidents, state="all", limit=1000)
        return [dict(row) for row in page.rows][::-1]

    async def judge(self, identity: str, work: Work) -> None:
        """Take an incident on, answer what is asked of it, and say that it is real."""
        if (await self.incident(identity))["state"] == "NEW":
            await self.do(work.who, "incidents", "take", identity)
        if work.hasty:
            await self.refused(
                "confirming without a class", "needs its class", work.who, "incidents", "confirm",
                identity,
            )  # fmt: skip
        if work.kind:
            await self.do(
                work.who, "incidents", "classify", identity, work.kind, "--reason", work.kind_why
            )
        await self.do(work.who, "incidents", "assess", identity, *work.facts)
        await self.do(work.who, "incidents", "confirm", identity)

    async def end(self, identity: str, work: Work, fields: dict[str, str]) -> None:
        """Bring a confirmed incident to its end: responses, steps, duties, feedback.

        Who is hasty tries to close it before each of the last three.
        """
        for words in work.responses:
            await self.do(work.who, "incidents", words[0], identity, *words[1:])
        await self.do(work.who, "incidents", "contain", identity, "--reason", work.contained)
        if work.hasty:
            await self._reviewed(identity, work)
        close = ("incidents", "close", identity, "--reason", work.resolved)
        settled: tuple[Callable[[], Awaitable[object]], ...] = (
            partial(self.steps, identity, work.who),
            partial(self.duties, identity, work.who, fields),
            partial(
                self.do, work.who, "incidents", "feedback", identity, "--reason", work.feedback
            ),
        )
        for (what, wanted), settle in zip(_CLOSING, settled, strict=True):
            if work.hasty:
                await self.refused(what, wanted, work.who, *close)
            await settle()
        if not work.hasty:
            await self._reviewed(identity, work)
        if work.late:
            what = "closing while a fact is open that decides on duties"
            await self.refused(what, f"needs answers to {_names(work.late)}", work.who, *close)
            await self.do(work.who, "incidents", "assess", identity, *work.late)
        await self.do(work.who, *close)

    async def _reviewed(self, identity: str, work: Work) -> None:
        await self.do(work.who, "incidents", "resolve", identity, "--reason", work.resolved)
        await self.do(work.who, "incidents", "review", identity, "--reason", work.learnt)

    async def steps(self, identity: str, who: str) -> None:
        """Tick the mandatory steps of an incident's SOPs, after reading them."""
        incident = await self.incident(identity)
        for one in incident.get("sops", ()):
            await self.do(who, "incidents", "read", identity, one["id"])
        for one in incident.get("tasks", ()):
            if one.get("mandatory") and not one.get("done"):
                await self.do(who, "incidents", "tick", identity, f"{one['sop']}/{one['step']}")

    async def duties(self, identity: str, who: str, fields: dict[str, str]) -> None:
        """Send the notices that are owed, with what their drafts lack written in."""
        answer = await asyncio.to_thread(self.client.clocks, identity)
        for row in answer["rows"]:
            if row["state"] not in {"pending", "late"} and not row.get("open"):
                continue
            draft = await asyncio.to_thread(self.client.notice, identity, row["id"])
            written = [f"{name}={fields[name]}" for name in draft["missing"]]
            words = [word for text in written for word in ("--set", text)]
            await self.do(
                who, "incidents", "notice", identity, row["id"], *words, "--sent",
                "--reference", f"{row['id']}/{identity}",
            )  # fmt: skip


def _names(answers: Sequence[str]) -> str:
    return ", ".join(one.partition("=")[0] for one in answers)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")[-600:]
