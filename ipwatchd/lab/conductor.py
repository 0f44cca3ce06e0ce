"""Plays the day over the built site, watches what ipwatchd makes of it, and asks the witnesses."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from ipwatchd.control.client import Client, RefusedError, SocketTransport, UnreachableError
from ipwatchd.lab import witness
from ipwatchd.lab.day import DAY, LENGTH, NIGHT, Step
from ipwatchd.lab.expect import CULPRITS, Scene, Seen, judge_day, pending
from ipwatchd.lab.programs import ProgramError
from ipwatchd.lab.site import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipwatchd.lab.actors import Cast
    from ipwatchd.lab.expect import Verdict
    from ipwatchd.lab.programs import Centre, Gateway
    from ipwatchd.lab.site import Site
    from ipwatchd.lab.summary import Narrator
    from ipwatchd.lab.truth import Truth

__all__ = ["Conductor"]

_START_SECONDS: Final = 60.0
"""The first start compiles the packet loop where no cache can be written."""
_SETTLE_SECONDS: Final = 25.0
_ROWS: Final = 5000


class Conductor:
    """Holds what is on the stage."""

    def __init__(
        self, site: Site, cast: Cast, truth: Truth, gateway: Gateway, centre: Centre,
        narrator: Narrator,
    ) -> None:  # fmt: skip
        self._site = site
        self._cast = cast
        self._truth = truth
        self._gateway = gateway
        self._centre = centre
        self._say = narrator.say
        self._client = Client(SocketTransport(gateway.socket, timeout=10.0))
        self._told: set[str] = set()

    async def start_daemon(self) -> None:
        """Start the daemon and wait until it answers, watches and enforces."""
        self._gateway.program.start()
        deadline = time.monotonic() + _START_SECONDS
        why = ""
        while time.monotonic() < deadline:
            if not self._gateway.program.running:
                break
            try:
                status = await asyncio.to_thread(self._client.status)
            except (UnreachableError, RefusedError) as error:
                why = str(error)
            else:
                up = all(one.state == "up" for one in status.interfaces)
                if up and status.interfaces and status.firewall.present:
                    return
                why = f"its state: {status.interfaces} {status.firewall}"
            await asyncio.sleep(0.2)
        raise ProgramError(
            f"ipwatchd did not come up ({why}); its last words:\n"
            f"{self._gateway.program.last_words()}"
        )

    async def play(self, *, pace: float = 1.0) -> None:
        """Play the day once; `pace` 2 is twice as slow."""
        begun = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for step in DAY:
                    await asyncio.sleep(max(begun + step.at * pace - time.monotonic(), 0))
                    self._say(step.text, step.clock)
                    group.create_task(self.step(step))
                await asyncio.sleep(max(begun + LENGTH * pace - time.monotonic(), 0))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def step(self, step: Step) -> None:
        """Play one step, the admin's ones by the command line."""
        if step.action == "deny":
            await self._gateway.ctl(
                "deny", "add", named(step.target).ipv4, "--reason", "named by the police",
                "--for", "2h", "--yes",
            )  # fmt: skip
        else:
            await self._cast.play(step)

    async def watch(self) -> None:
        """Tell of every incident and every deny entry as it comes, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self._news)
            except (UnreachableError, RefusedError):
                self._told.discard("")  # the daemon is being restarted: look again
            await asyncio.sleep(0.5)

    def _news(self) -> None:
        for row in reversed(self._client.incidents(state="all").rows):
            if str(row["id"]) not in self._told:
                self._told.add(str(row["id"]))
                self._say(
                    f"! incident {row['id']}  {row['priority']}  {row['rule']}  {row['subject']}  "
                    f"{row['title']}", colour="yellow",
                )  # fmt: skip
        for entry in self._client.entries("deny"):
            key = f"deny {entry['network']}"
            if key not in self._told:
                self._told.add(key)
                self._say(
                    f"! denied   {entry['network']} by {entry.get('source', 'admin')}: "
                    f"{entry['reason']}", colour="yellow",
                )  # fmt: skip

    async def settle(self) -> tuple[Seen, dict[str, list[Verdict]]]:
        """Ask the witnesses, then wait until all that is expected was seen, or for long enough."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        await self._until(self._accused, deadline)
        probes = await self._probe()
        while True:
            seen = await self._look(probes)
            verdicts = judge_day(self._truth.deeds, seen)
            if not pending(verdicts) or time.monotonic() > deadline:
                return seen, verdicts
            await asyncio.sleep(0.5)

    async def _until(self, true: Callable[[], bool], deadline: float) -> bool:
        while time.monotonic() < deadline:
            if await asyncio.to_thread(true):
                return True
            await asyncio.sleep(0.3)
        return False

    def _accused(self) -> bool:
        denied = witness.kernel(self._site.gateway).denied
        return all(named(who).ipv4 in denied for who in CULPRITS)

    async def _probe(self) -> dict[str, str]:
        tries = (
            ("scanner", "portal", 443), ("guesser", "ssh", 22), ("denied", "portal", 443),
            ("mailguesser", "mail", 993),
            ("desk3", "denied", 443), ("customer1", "portal", 443), ("admin", "ssh", 22),
        )  # fmt: skip
        outcomes = [await self._cast.reaches(*one) for one in tries]
        return {who: outcome for (who, _, _), outcome in zip(tries, outcomes, strict=True)}

    async def _look(self, probes: dict[str, str]) -> Seen:
        def ask() -> Seen:
            status = self._client.status()
            notes = {one.name: one.note for one in status.health}
            drops = {f"{one.name} drops": one.drops for one in status.interfaces}
            return Seen(
                flows=self._client.flows(limit=_ROWS).rows,
                events=self._client.events(limit=_ROWS).rows,
                incidents=self._client.incidents(state="all", limit=_ROWS).rows,
                deny=self._client.entries("deny"),
                central=(),
                kernel=witness.kernel(self._site.gateway),
                probes=probes,
                shed=drops | status.shed,
                source=notes.get("source", "").partition(":")[0],
            )

        seen = await asyncio.to_thread(ask)
        return seen._replace(central=await self._centre.incidents())

    async def cut_off(self) -> Scene:
        """Stop the collector, cause an incident, kill the daemon with -9, start both."""
        address = named("scanner2").ipv4
        self._say("the collector stops", NIGHT.clock)
        await self._centre.program.stop()
        self._say(NIGHT.text, NIGHT.clock)
        await self._cast.play(NIGHT)

        def incident() -> str:
            rows = self._client.incidents(state="all").rows
            return next((str(row["id"]) for row in rows if row["subject"] == address), "")

        deadline = time.monotonic() + _SETTLE_SECONDS
        await self._until(lambda: bool(incident()), deadline)
        name = await asyncio.to_thread(incident)
        self._say("ipwatchd is killed (kill -9)", NIGHT.clock)
        await self._gateway.program.kill()
        probe = await self._cast.reaches("denied", "portal", 443)
        self._say("the collector and ipwatchd start again", NIGHT.clock)
        self._centre.program.start()
        await self.start_daemon()
        return await self._after(name, probe)

    async def _after(self, name: str, probe: str) -> Scene:
        deadline = time.monotonic() + _SETTLE_SECONDS

        def status_quiet() -> bool:
            uplink = self._client.status().uplink
            return uplink.reachable and uplink.waiting == 0

        await self._until(status_quiet, deadline)
        stored: list[dict[str, Any]] = await asyncio.to_thread(self._client.entries, "deny")
        return Scene(
            probe_while_dead=probe,
            stored=frozenset(str(row["network"]).removesuffix("/32") for row in stored),
            kernel=await asyncio.to_thread(witness.kernel, self._site.gateway),
            central=await self._centre.incidents(),
            incident=name,
        )
