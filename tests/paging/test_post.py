"""Letters over a real log, a real mail server and a real webhook: sent, tried again, taken back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ipwatchd.config import IncidentSettings
from ipwatchd.incidents import Incidents
from ipwatchd.incidents.paging.plan import Stakeholder
from ipwatchd.incidents.updates import Draft
from ipwatchd.paging.pager import Pager
from tests.paging.notify.conftest import hook
from tests.paging.stage import NOW, Box, Site, finding, until

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.records.incident import Incident

NOTIFY = """
[notify."privacy officer"]
targets = ["person:cho"]
[notify.floor]
targets = ["person:ben"]
match = { rule = ["data-upload"] }
by_itself = true
most_per_hour = 2
[notices.es]
subject = "AVISO {id}"
body = "{cause} {title}"
"""
QUIET = {"severity": "info", "evidence": {}}
"""A finding of which nobody is paged."""
BOARD = Stakeholder(audience="management", channel="mail", to=("board@example.net",))


async def case(site: Site, identity: str = "MANILA-000001") -> Incident:
    """Return an incident as it stands."""
    one = await site.log.incident(identity)
    assert one is not None
    return one


def mails_to(box: Box, address: str, subject: str = "") -> int:
    """Return how many mails an address was sent."""
    return sum(mail["To"] == address and subject in mail["Subject"] for mail in box.mails)


async def test_notify_tells_whom_the_plan_names_and_says_so(tmp_path: Path, box: Box) -> None:
    """The mail has the reason and asks for no answer; letter and delivery are in the log."""
    site = Site(tmp_path, box, NOTIFY)
    async with site.running() as pager:
        await site.log.finding(finding(rule="port-scan", **QUIET), NOW)
        after = await pager.post.notify(
            await case(site), "privacy officer", "12 people of Acme", actor="dina", now=NOW
        )
        assert after is not None
        await until(lambda: mails_to(box, "cho@example.net"))
        (mail,) = box.mails
        assert "dina has you told: 12 people of Acme" in mail.get_content()
        assert "no answer is asked for" in mail.get_content()
        await until(lambda: pager.post.counters["letters_delivered"])
        one = await case(site)
        assert one.receipts[0].kind == "notify"
        assert [(letter.name, letter.state) for letter in one.letters] == [("cho", "delivered")]
        shown = await site.log.show(one.id)
        assert shown is not None
        assert [event.kind for event in shown[1]][-2:] == ["response", "delivered"]
        assert await pager.post.notify(one, "nobody", "", actor="dina", now=NOW) is None
        with pytest.raises(ValueError, match="'zoe' is no person of the escalation plan"):
            await pager.post.notify(one, "person:zoe", "", actor="dina", now=NOW)


async def test_undo_says_what_can_not_be_unsent_and_stops_the_rest(
    tmp_path: Path, box: Box
) -> None:
    """Of two told one has it already; the other's letter waits for the server and never leaves."""
    site = Site(tmp_path, box, NOTIFY)
    async with site.running() as pager:
        await site.log.finding(finding(rule="port-scan", **QUIET), NOW)
        await pager.post.notify(await case(site), "person:ben", "first", actor="dina", now=NOW)
        await until(lambda: pager.post.counters["letters_delivered"])
        one = await case(site)
        assert pager.post.withdraw(one, one.receipts[0].id) == (
            "it reached ben by mail and can't be unsent"
        )
        box.refuse = "451 later"
        after = await pager.post.notify(one, "person:cho", "second", actor="dina", now=NOW)
        assert after is not None
        await until(lambda: pager.post.counters["letters_failed"])
        assert pager.post.withdraw(after, after.receipts[1].id) == "stopped on its way to cho"
        await site.log.act(
            one.id, "undone", actor="dina", now=NOW, details={"receipt": after.receipts[1].id}
        )
        box.refuse = ""
        site.now += 7200
        pager.post.tick(site.now)
        assert (await case(site)).letters[-1].state == "withdrawn"
        assert not mails_to(box, "cho@example.net")


async def test_the_plan_tells_by_itself_once_and_not_in_a_flood(tmp_path: Path, box: Box) -> None:
    """Three cases fit and two an hour may be told: the third says why, and is told later."""
    site = Site(tmp_path, box, NOTIFY)
    async with site.running() as pager:
        for number in (1, 2, 3):
            await site.log.finding(finding(number, **QUIET), NOW)
        await until(lambda: pager.post.counters["letters_delivered"] == 2)
        await until(lambda: pager.post.counters["untold"])
        shown = await site.log.show("MANILA-000003")
        assert shown is not None
        assert "was told 2 times within an hour" in shown[1][-1].body["text"]
        await pager.look(NOW)
        assert mails_to(box, "ben@example.net") == 2
        site.now += 3700
        await pager.look(site.now)
        await until(lambda: mails_to(box, "ben@example.net") == 3)
        assert len((await case(site)).receipts) == 1


async def test_a_new_name_is_not_told_of_old_cases(tmp_path: Path, box: Box) -> None:
    """What lay open for days is left alone at the start; once it changes, its name is told."""
    site = Site(tmp_path, box)
    async with site.running():
        await site.log.finding(finding(**QUIET), NOW)
    plan = tmp_path / "escalation.toml"
    plan.write_text(plan.read_text() + NOTIFY)
    site.now = NOW + 3 * 86_400
    async with site.running() as pager:
        await pager.look(site.now)
        await until(lambda: not pager._changed)
        assert not (await case(site)).receipts
        await site.log.act("MANILA-000001", "note", actor="ben", reason="x", now=site.now)
        await until(lambda: mails_to(box, "ben@example.net"))


async def test_a_letter_that_reaches_nobody_goes_another_way_then_pages(
    tmp_path: Path, box: Box
) -> None:
    """Mail refused: the webhook; where that fails too, somebody is paged of it."""
    async with hook() as posts:
        site = Site(tmp_path, box, NOTIFY)
        plan = tmp_path / "escalation.toml"
        plan.write_text(plan.read_text().replace(
            f"http://127.0.0.1:{box.port}/page", f"http://127.0.0.1:{posts.port}/page"
        ))  # fmt: skip
        async with site.running() as pager:
            await site.log.finding(finding(rule="port-scan"), NOW)
            await until(lambda: mails_to(box, "ana@example.net"))
            box.refuse = "550 no"
            await pager.post.notify(await case(site), "person:ben", "x", actor="dina", now=NOW)
            await until(lambda: posts.taken)
            await until(lambda: pager.post.counters["letters_delivered"])
            assert {one.state for one in (await case(site)).letters} == {"failed", "delivered"}
            posts.status = 500
            await pager.post.notify(await case(site), "person:ben", "y", actor="dina", now=NOW)

            await until(lambda: pager.post.counters["letters_failed"] >= 3)
            lost: list[str] = []
            async with asyncio.timeout(20):
                while not lost:
                    await asyncio.sleep(0.01)
                    paging = (await case(site)).paging
                    raised = paging.raised if paging else ()
                    lost = [one for one in raised if "was not delivered" in one]
            assert lost == ["letter 3 to ben was not delivered"]


async def test_an_update_leaves_with_its_marking_and_its_original(tmp_path: Path, box: Box) -> None:
    """The translation and beneath it the English; the marking is a header; both in the log."""
    site = Site(tmp_path, box)
    async with site.running() as pager:
        await site.log.finding(finding(**QUIET), NOW)
        made = Draft("management", "es", "TLP:AMBER", "Asunto", "Hola")
        await pager.post.update(
            "MANILA-000001", made, BOARD, "Hello", name="board", actor="dina", now=NOW
        )
        await until(lambda: pager.post.counters["letters_delivered"])
        (mail,) = box.mails
        assert (mail["To"], mail["X-TLP"]) == ("board@example.net", "TLP:AMBER")
        assert mail.get_content().replace("\r", "") == "Hola\n\n-- in English --\n\nHello\n"
        shown = await site.log.show("MANILA-000001")
        assert shown is not None
        sent, left = shown[1][-2:]
        assert (sent.body["text"], sent.body["original"]) == ("Hola", "Hello")
        assert (left.body["letter"], left.body["ok"]) == (1, True)


async def test_what_was_on_its_way_at_a_kill_leaves_after_the_next_start(
    tmp_path: Path, box: Box
) -> None:
    """An update of a closed case and a notice: each once, in the words that the log has."""
    site = Site(tmp_path, box, NOTIFY)
    site.log = await Incidents.open(tmp_path, "manila", IncidentSettings())
    pager = Pager(site.settings, site.log, tmp_path, lambda: site.now)
    pager.outbox.put = lambda _: True  # type: ignore[method-assign]  # killed before it left
    await site.log.finding(finding(rule="port-scan", **QUIET), NOW)
    made = Draft("management", "en", "TLP:GREEN", "it is over", "closed")
    await pager.post.update("MANILA-000001", made, BOARD, "", name="b", actor="dina", now=NOW)
    held = await case(site)
    await pager.post.notify(held, "privacy officer", "late", actor="dina", now=NOW)
    for action in ("take", "reject"):
        await site.log.act("MANILA-000001", action, actor="dina", reason="x", now=NOW)
    await pager.outbox.close()
    await site.log.close()
    site.now += 60
    async with site.running() as again:
        await until(lambda: again.post.counters["letters_delivered"] == 2)
        assert mails_to(box, "board@example.net", "it is over") == 1
        assert mails_to(box, "cho@example.net") == 1
        assert {one.state for one in (await case(site)).letters} == {"delivered"}
    box.mails.clear()
    async with site.running() as third:
        await third.look(site.now)
        assert not third.outbox.waiting
        assert not box.mails


async def test_a_letter_is_tried_for_a_day(tmp_path: Path, box: Box) -> None:
    """The server is away for hours: one failure in the log, then the delivery."""
    site = Site(tmp_path, box)
    async with site.running() as pager:
        await site.log.finding(finding(**QUIET), NOW)
        box.refuse = "451 later"
        made = Draft("management", "en", "TLP:GREEN", "s", "t")
        for _ in range(2):
            await pager.post.update(
                "MANILA-000001", made, BOARD, "", name="b", actor="dina", now=NOW
            )
        await until(lambda: pager.post.counters["letters_failed"] == 2)
        for hour in range(1, 4):
            before = pager.post.counters["letters_failed"]
            site.now = NOW + hour * 3600
            pager.post.tick(site.now)
            await until(lambda before=before: pager.post.counters["letters_failed"] >= before + 2)
        box.refuse = ""
        site.now = NOW + 9 * 3600
        pager.post.tick(site.now)
        await until(lambda: pager.post.counters["letters_delivered"] == 2)
        assert [one.state for one in (await case(site)).letters] == ["delivered"] * 2
        shown = await site.log.show("MANILA-000001")
        assert shown is not None
        outcomes = [event.body["ok"] for event in shown[1] if event.kind == "delivered"]
        assert sorted(outcomes) == [False, False, True, True]
