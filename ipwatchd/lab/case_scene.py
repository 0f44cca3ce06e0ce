"""What all scenes of the day of cases share: who is on the stage and what everybody does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ipwatchd.lab import post
from ipwatchd.lab.case_expect import Story
from ipwatchd.lab.casebook import DETECTED, FIELDS, REPORTED
from ipwatchd.lab.programs import ProgramError
from ipwatchd.lab.site import named

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import aiohttp

    from ipwatchd.lab.actors import Cast
    from ipwatchd.lab.analysts import Desk
    from ipwatchd.lab.casebook import Case
    from ipwatchd.lab.conductor import Conductor
    from ipwatchd.lab.programs import Centre, Gateway
    from ipwatchd.lab.site import Site
    from ipwatchd.lab.summary import Narrator


__all__ = ["ACK_PORT", "DOOR_PORT", "GATEWAY", "WORKS", "Scene", "until"]

GATEWAY: Final = {"agents": "10.20.0.1", "servers": "10.30.0.1"}
"""The gateway's address on each LAN."""
ACK_PORT: Final = 8480
DOOR_PORT: Final = 8481
_WAIT: Final = 40.0
_Found = TypeVar("_Found")
WORKS: Final = {one.name: one.work for one in (*DETECTED, *REPORTED) if one.work}
"""What the desk does about a case, by the case's name."""


class Scene:
    """Who is on the stage, and the story so far."""

    def __init__(
        self, site: Site, cast: Cast, conductor: Conductor, gateway: Gateway, centre: Centre,
        desk: Desk, narrator: Narrator, kept: Path, token: str,
    ) -> None:  # fmt: skip
        self.site, self.cast, self.conductor = site, cast, conductor
        self.gateway, self.centre, self.desk = gateway, centre, desk
        self.say = narrator.say
        self.kept, self.token = kept, token
        drop = gateway.socket.with_name("lmtp.sock")
        self.mail = post.MailServer(site.hosts["mail"], named("mail").ipv4, drop)
        self.far_mail = post.MailServer(site.hosts["centre"], named("centre").ipv4)
        self.hook = post.Hook(site.hosts["alerts"], named("alerts").ipv4)
        self.story = Story()

    async def detected(self, case: Case) -> None:
        """Wait for the incident that a detector makes of a case."""
        address = named(case.host).ipv4

        async def there() -> str:
            rows = await self.desk.rows()
            found = [r for r in rows if r["rule"] == case.rule and r["subject"] == address]
            return str(found[0]["id"]) if found else ""

        self.story.ids[case.name] = await until(there, f"{case.rule} of {address}")

    async def reported(self, name: str, handed_in: Awaitable[Any]) -> str:
        """Hand a report in and return its incident's id."""
        before = await self._known()
        text = await handed_in
        self.story.texts[name] = str(text or "")
        self.story.ids[name] = identity = await self._newest(before, name)
        return identity

    async def _newest(self, before: set[str], what: str) -> str:
        async def there() -> str:
            rows = [row for row in await self.desk.rows() if row["rule"] == "report"]
            return next((str(r["id"]) for r in rows if str(r["id"]) not in before), "")

        return await until(there, what)

    async def _known(self) -> set[str]:
        return {str(row["id"]) for row in await self.desk.rows()}

    async def through(self, name: str) -> None:
        """Work a case from taking it on to closing it."""
        identity, work = self.story.ids[name], WORKS[name]
        state = (await self.desk.incident(identity))["state"]
        if state in {"NEW", "TRIAGE"}:
            await self.desk.judge(identity, work)
        await self.desk.end(identity, work, FIELDS)
        self.say(f"{identity} is closed: {work.resolved}")

    async def page(self, server: post.MailServer | post.Hook, identity: str) -> post.Receipt:
        """Wait for the first page of an incident and return it."""

        async def there() -> list[post.Receipt]:
            return [one for one in server.receipts if one.incident == identity]

        return (await until(there, f"a page of {identity}"))[0]

    async def delivered(self) -> None:
        """Wait until the centre holds all events of the site."""

        async def all_there() -> bool:
            status = await asyncio.to_thread(self.desk.client.status)
            return status.uplink.reachable and status.uplink.waiting == 0

        await until(all_there, "delivery of all events to the centre")

    def browser(self, host: str) -> aiohttp.ClientSession:
        """Return an HTTP client on a host."""
        import aiohttp

        def make(info: Any) -> socket.socket:
            return self.site.hosts[host].socket(info[0], info[1])

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=make),
            timeout=aiohttp.ClientTimeout(total=10.0),
        )


async def until(look: Callable[[], Awaitable[_Found]], what: str) -> _Found:
    """Wait until something is there and return it; ProgramError where it does not come."""
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        if found := await look():
            return found
        await asyncio.sleep(0.2)
    raise ProgramError(f"{what} did not come within {_WAIT:.0f} s")
