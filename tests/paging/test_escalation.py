"""Each promise of escalation once, over a real mail server, webhook and syslog listener."""

from __future__ import annotations

import datetime as dt
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from ipwatchd.config import IncidentSettings
from ipwatchd.incidents import Incidents
from ipwatchd.incidents.bodies import Obliged
from ipwatchd.paging.pager import Pager
from ipwatchd.records.incident import Obligation
from tests.paging.notify.conftest import Posts, hook
from tests.paging.stage import NOW, Box, Site, finding, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
FIRST = "MANILA-000001"
MIDDLE: dict[str, Any] = {"severity": "medium", "evidence": {}}
"""A finding that is a P3."""


class Ears:
    """What the mail server, the webhook and the syslog listener heard."""

    def __init__(self, site: Site, box: Box, posts: Posts, syslog: socket.socket) -> None:
        self.site, self.box, self.posts, self._syslog = site, box, posts, syslog

    async def wait(self, seconds: float) -> None:
        """Let time go by, and all that is due leave."""
        self.site.now += seconds
        await self.settle()

    async def settle(self) -> None:
        """Let all that is due leave."""
        for _ in range(3):
            await self.site.pager.look(self.site.now)
            await until(lambda: not self.site.pager.outbox._lines)

    def mails(self) -> list[tuple[str, str]]:
        """Return to whom the mails since the last look went, and why."""
        found = [(str(mail["To"]).partition("@")[0], _cause(mail)) for mail in self.box.mails]
        self.box.mails.clear()
        return found

    def posted(self) -> list[str]:
        """Return the causes that the webhook was told since the last look."""
        found = [str(json.loads(body)["cause"]) for _, body in self.posts.taken]
        self.posts.taken.clear()
        return found

    def lines(self) -> list[str]:
        """Return what the syslog listener has."""
        found = []
        while True:
            try:
                found.append(self._syslog.recv(4096).decode())
            except BlockingIOError:
                return found

    async def do(self, action: str, actor: str = "ana", **details: Any) -> None:
        """Let somebody do something."""
        await self.site.log.act(
            FIRST, action, actor=actor, reason="x", now=self.site.now, details=details
        )
        await self.settle()


def _cause(mail: Any) -> str:
    words = ("Por qué: ", "why now: ")
    lines = mail.get_content().splitlines()
    return next((line.removeprefix(word) for line in lines for word in words if word in line), "")


@asynccontextmanager
async def ears(folder: Path, box: Box) -> AsyncIterator[Ears]:
    """Run a site that pages by mail, webhook and syslog."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as syslog:
        syslog.bind(("127.0.0.1", 0))
        syslog.setblocking(False)
        port = syslog.getsockname()[1]
        async with hook() as posts:
            more = f'[channels.siem]\nkind = "syslog"\naddress = "udp:127.0.0.1:{port}"\n'
            site = Site(folder, box, more)
            plan = folder / "escalation.toml"
            text = plan.read_text().replace(f":{box.port}/page", f":{posts.port}/page")
            plan.write_text(text.replace('"channel:hook"]', '"channel:siem"]'))
            site.log = await Incidents.open(folder, "manila", IncidentSettings())
            # Looked at by the test alone: what a look does is done when it returns.
            site.pager = Pager(site.settings, site.log, folder, lambda: site.now)
            try:
                yield Ears(site, box, posts, syslog)
            finally:
                await site.pager.outbox.close()
                await site.log.close()


async def test_steps_order_of_channels_language_and_catch_all(tmp_path: Path, box: Box) -> None:
    """On call in Spanish; the group by the step's channel; again; then all and syslog for ever."""
    async with ears(tmp_path, box) as one:
        await one.site.log.finding(finding(), NOW)
        await one.settle()
        assert "Por qué" in one.box.mails[0].get_content()
        assert one.mails() == [("ana", "opened")]
        await one.wait(5 * MINUTE)
        assert sorted(name for name, _ in one.mails()) == ["cho"]
        assert one.posted() == ["opened", "opened"]
        await one.wait(10 * MINUTE)
        assert [name for name, _ in one.mails()] == ["ana"]
        await one.wait(5 * MINUTE)
        one.mails(), one.posted()
        assert one.lines() == []
        for _ in range(3):
            await one.wait(15 * MINUTE)
            assert sorted(name for name, _ in one.mails()) == ["ana", "ben", "cho"]
            (line,) = one.lines()
            assert f'incident="{FIRST}"' in line


async def test_an_acknowledgement_times_out_and_so_does_progress(tmp_path: Path, box: Box) -> None:
    """Half an hour without anything done pages again; then two hours without progress do."""
    async with ears(tmp_path, box) as one:
        await one.site.log.finding(finding(), NOW)
        await one.settle()
        await one.do("ack")
        one.mails()
        await one.wait(29 * MINUTE)
        assert one.mails() == []
        await one.wait(2 * MINUTE)
        assert one.mails() == [("ana", "acknowledged, and nothing was done")]
        await one.do("ack")
        await one.wait(MINUTE)
        await one.do("note")
        await one.wait(119 * MINUTE)
        assert one.mails() == []
        await one.wait(2 * MINUTE)
        # 19:32 in Manila: ana is still on call.
        assert one.mails() == [("ana", "no progress")]


async def test_who_is_on_call_changes_at_the_hand_over(tmp_path: Path, box: Box) -> None:
    """Monday 07:59 in Manila is Bogota's shift; at 08:00 the next of the rotation begins."""
    manila = ZoneInfo("Asia/Manila")
    shifts = [
        ("2026-11-29 10:00", "ana"), ("2026-11-30 07:59", "cho"), ("2026-11-30 08:00", "ben"),
        ("2026-12-24 12:00", "cho"),
    ]  # fmt: skip
    async with ears(tmp_path, box) as one:
        for number, (when, who) in enumerate(shifts):
            one.site.now = dt.datetime.fromisoformat(when).replace(tzinfo=manila).timestamp()
            now = one.site.now
            await one.site.log.finding(finding(number, first_seen=now, last_seen=now), now)
            await one.settle()
            assert one.mails()[-1] == (who, "opened"), when
            identity = f"MANILA-{number + 1:06d}"
            for actor in ("x", "y"):
                await one.site.log.act(identity, "reject", actor=actor, reason="x", now=now)


async def test_a_step_that_is_asked_for_is_paged_at_once(tmp_path: Path, box: Box) -> None:
    """Answered or not: step two goes to the group by its channel."""
    async with ears(tmp_path, box) as one:
        await one.site.log.finding(finding(), NOW)
        await one.settle()
        await one.do("ack")
        one.mails()
        await one.do("escalate", step="2")
        assert one.posted() == ["asked for step 2"] * 2
        assert one.mails() == [("cho", "asked for step 2")]


async def test_so_many_of_them_must_answer(tmp_path: Path, box: Box) -> None:
    """Two of the group: one answer does not stop it, the second does."""
    async with ears(tmp_path, box) as one:
        await one.site.log.finding(finding(), NOW)
        await one.settle()
        await one.wait(5 * MINUTE)
        await one.do("ack", "ana")
        one.mails()
        await one.wait(10 * MINUTE)
        assert [name for name, _ in one.mails()] == ["ana"]
        await one.wait(5 * MINUTE)
        await one.do("ack", "ben")
        one.mails(), one.posted()
        await one.wait(15 * MINUTE)
        assert one.mails() == []
        assert one.posted() == []


async def test_a_clock_pages_at_its_shares(tmp_path: Path, box: Box) -> None:
    """50, 75, 90 per cent and over of 40 hours: each once, though the case is in hand."""
    async with ears(tmp_path, box) as one:
        await one.site.log.finding(finding(**MIDDLE), NOW)
        await one.do("take", "ben")
        duty = Obligation(id="npc", title="tell the NPC", started=NOW, due=NOW + 40 * HOUR)
        await one.site.log.append(
            FIRST, "obliged", Obliged(obligation=duty), actor="ipwatchd", now=NOW
        )
        heard = []
        for hour in range(1, 44):
            one.site.now = NOW + hour * HOUR
            await one.do("note", "ben")
            heard += [(hour, why.split()[2]) for _, why in one.mails() if why.startswith("clock")]
            await one.do("ack", "ben")
        # 17:00 and 20 hours are 13:00; 30 are 23:00, when it is quiet: 07:00 is hour 38.
        assert [share for _, share in heard] == ["50%", "90%", "100%"]
        assert heard[0] == (20, "50%")
        assert heard[1] == (36, "90%")


async def test_quiet_hours_hold_back_all_but_a_p1(tmp_path: Path, box: Box) -> None:
    """At 23:00 a P3 waits until seven; a P1 does not."""
    async with ears(tmp_path, box) as one:
        one.site.now = NOW + 6 * HOUR
        await one.site.log.finding(finding(1, **MIDDLE), one.site.now)
        await one.settle()
        assert one.mails() == []
        await one.site.log.finding(finding(2), one.site.now)
        await one.settle()
        assert [why for _, why in one.mails()][:1] == ["opened"]
        one.site.now = NOW + 14 * HOUR + 60
        await one.settle()
        assert ("ben", "opened") in one.mails()


async def test_a_failed_delivery_goes_on_at_once(tmp_path: Path, box: Box) -> None:
    """Mail refused: the person's webhook; both gone: step after step to the catch-all, no wait."""
    async with ears(tmp_path, box) as one:
        box.refuse = "550 no"
        await one.site.log.finding(finding(1), NOW)
        await one.settle()
        assert one.posted() == ["opened"]
        one.posts.status = 500
        await one.site.log.finding(finding(2), NOW)
        for _ in range(4):
            await one.settle()
        (line,) = one.lines()
        assert 'incident="MANILA-000002"' in line
        held = await one.site.log.incident("MANILA-000002")
        assert held is not None
        assert held.paging is not None
        failed = [page for page in held.paging.pages if page.state == "failed"]
        assert {page.step for page in failed} == {0, 1, 2}
        assert all(page.why for page in failed)
