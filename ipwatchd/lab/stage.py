"""Everything that is built and started for a run of the lab, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipwatchd.lab import syslog
from ipwatchd.lab.actors import Cast
from ipwatchd.lab.certificates import Authority
from ipwatchd.lab.conductor import Conductor
from ipwatchd.lab.programs import Centre, Gateway
from ipwatchd.lab.site import named
from ipwatchd.lab.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AsyncExitStack
    from pathlib import Path

    from ipwatchd.lab.site import Site
    from ipwatchd.lab.summary import Narrator

__all__ = ["Stage"]


class Stage:
    """The servers, the centre, the gateway and their conductor. `options` are the centre's."""

    def __init__(
        self, site: Site, state: Path, narrator: Narrator, options: Sequence[str] = ()
    ) -> None:
        self.narrator = narrator
        logs = state / "logs"
        pki = state / "pki"
        for folder in (logs, pki, state / "gateway", state / "centre"):
            folder.mkdir()
        authority = Authority(pki)
        self._logs = logs
        self._authority = authority
        self.truth = Truth(state / "truth.jsonl")
        self.gateway = Gateway(site.gateway, state / "gateway")
        pair = authority.issue([named("centre").ipv4])
        self.centre = Centre(site.hosts["centre"], state / "centre", pair, options)
        self.cast = Cast(site, self.truth, authority, logs)
        self.conductor = Conductor(site, self.cast, self.truth, self.gateway, self.centre, narrator)

    async def open(
        self, stack: AsyncExitStack, *, incidents: str = "", more: str = "", poll: float = 2.0
    ) -> None:
        """Start the servers, the collector and the daemon; they stop with the stack.

        What is added to the daemon's configuration is as in `Gateway.configure`.
        """
        stack.callback(self.truth.close)
        await self.cast.open(stack)
        pair = self._authority.issue([syslog.COLLECTOR])
        more += syslog.settings(pair, str(self._authority.certificate))
        self.gateway.configure(
            url=self.centre.url, token=await self.centre.token(),
            authority=self._authority.certificate,
            logs=(self._logs / "auth.log", self._logs / "access.log"),
            incidents=incidents, more=more, poll=poll,
        )  # fmt: skip
        stack.push_async_callback(self.centre.program.stop)
        self.centre.program.start()
        stack.push_async_callback(self.gateway.program.stop)
        await self.conductor.start_daemon()
