"""The pager over a real log, a real mail server and a real webhook; kill -9 and full disks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import aiohttp

from ipwatchd.config import IncidentSettings
from ipwatchd.incidents import Incidents
from ipwatchd.paging.ackdrop import AckDrop
from ipwatchd.paging.pager import Pager
from ipwatchd.records.exchange import Acknowledged
from tests.paging.stage import NOW, Box, Site, finding, until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_a_p1_is_paged_with_a_link_that_acknowledges(tmp_path: Path, box: Box) -> None:
    """It goes to who is on call, in their language; its link answers by the button alone."""
    site = Site(tmp_path, box, link="http://127.0.0.1:1", listen="127.0.0.1:0")
    async with site.running() as pager:
        drop = AckDrop("127.0.0.1:0", pager, lambda: site.now)
        await drop.start()
        await site.log.finding(finding(), site.now)
        await box.arrived.wait()
        (mail,) = box.mails
        assert mail["To"] == "ana@example.net"
        body = mail.get_content()
        assert "Por qué: opened" in body
        path = re.search(r"http://127.0.0.1:1(/ack/\S+)", body)
        assert path is not None
        url = f"http://127.0.0.1:{drop.port}{path[1]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as answer:
                assert "MANILA-000001" in await answer.text()
            one = await site.log.incident("MANILA-000001")
            assert one is not None
            assert one.paging is not None
            assert not one.paging.acked
            async with session.post(url) as answer:
                assert answer.status == 200
            async with session.post(url[:-6] + "AAAAAA") as answer:
                assert answer.status == 404
        one = await site.log.incident("MANILA-000001")
        assert one is not None
        assert one.paging is not None
        assert one.paging.acks == ("ana",)
        assert one.paging.acked
        await drop.stop()


async def test_what_can_not_be_handed_over_goes_on_by_itself(tmp_path: Path, box: Box) -> None:
    """Mail refused, webhook away: the next step, then the catch-all; log and status name it."""
    box.refuse = "550 no"
    site = Site(tmp_path, box)
    async with site.running() as pager:
        await site.log.finding(finding(), site.now)
        await until(lambda: pager.outbox.counters["failed"] >= 5)
        state = pager.status()
        assert state["failed"]
        assert "550" in state["troubles"]["mail"]
        site.now += 3600
        box.refuse = ""
        await box.arrived.wait()
        shown = await site.log.show("MANILA-000001")
        assert shown is not None
        kinds = [event.kind for event in shown[1]]
        assert kinds.count("paged") >= 3
        assert {event.body["ok"] for event in shown[1] if event.kind == "delivered"} >= {False}
        assert (await site.log.verify()).first_bad_seq is None


async def test_what_was_on_its_way_at_a_kill_goes_out_after_the_next_start(
    tmp_path: Path, box: Box
) -> None:
    """A page that is in the log and was never handed over is sent again, and only that one."""
    site = Site(tmp_path, box)
    site.log = await Incidents.open(tmp_path, "manila", IncidentSettings())
    site.pager = Pager(site.settings, site.log, tmp_path, lambda: site.now)
    await site.log.finding(finding(), site.now)
    site.pager.outbox.put = lambda _: True  # type: ignore[method-assign]  # killed before it left
    await site.pager.look(site.now)
    await site.pager.outbox.close()
    await site.log.close()
    assert not box.mails
    async with site.running() as pager:
        await box.arrived.wait()
        await until(lambda: not pager.outbox.waiting and not pager.outbox._lines)
        shown = await site.log.show("MANILA-000001")
        assert shown is not None
        assert [event.kind for event in shown[1]].count("paged") == 1
        assert len(box.mails) == 1


async def test_a_full_disk_pages_all_the_same(
    tmp_path: Path, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the log can't be written the page goes out, and the status says that it did."""
    site = Site(tmp_path, box)
    async with site.running() as pager:
        append = site.log.append

        async def refuse(*_: Any, **__: Any) -> Any:
            raise OSError(28, "No space left on device")

        await site.log.finding(finding(2, severity="info", evidence={}), site.now)
        monkeypatch.setattr(site.log, "append", refuse)
        await site.log.finding(finding(), site.now)
        await box.arrived.wait()
        await until(lambda: "not in the log" in pager.note)
        monkeypatch.setattr(site.log, "append", append)


async def test_a_bad_plan_keeps_the_last_good_one(tmp_path: Path, box: Box) -> None:
    """A reload with a fault changes nothing and names the line."""
    site = Site(tmp_path, box)
    async with site.running() as pager:
        path = tmp_path / "escalation.toml"
        path.write_text(path.read_text().replace("repeat = 1", "repeats = 1"))
        pager.adopt(site.settings)
        assert "the last good one stays" in pager.note
        assert re.search(r"escalation.toml:\d+", pager.note)
        await site.log.finding(finding(), site.now)
        await box.arrived.wait()


async def test_what_was_answered_at_the_centre_is_taken_once(tmp_path: Path, box: Box) -> None:
    """It answers the run that goes on, or the first that never began; older ones answer nothing."""
    site = Site(tmp_path, box)
    site.log = await Incidents.open(tmp_path, "manila", IncidentSettings())
    pager = Pager(site.settings, site.log, tmp_path, lambda: site.now)
    pager.hush(hushed=True)
    pager.lease = lambda _: True
    await site.log.finding(finding(), site.now)
    await pager.look(site.now)
    told = [Acknowledged("MANILA-000001", "cho", NOW + 5), Acknowledged("MANILA-000009", "x", NOW)]
    await pager.take_acks(told)
    await pager.take_acks(told)
    events = await site.log.after(0, 100)
    assert [event.kind for event in events].count("acked") == 1
    pager.lease = lambda _: False
    await pager.look(site.now)
    assert not [event for event in await site.log.after(0, 100) if event.kind == "paged"]
    site.now += 1800
    await pager.look(site.now)
    await pager.take_acks(told)
    kinds = [event.kind for event in await site.log.after(0, 100)]
    assert kinds.count("paged") == 1
    assert kinds.count("acked") == 1
    await pager.outbox.close()
    await site.log.close()


async def test_a_storm_of_incidents_is_joined_and_loses_none(tmp_path: Path, box: Box) -> None:
    """A hundred P1 at once: each reaches the person on call, and all are in the log."""
    site = Site(tmp_path, box)
    async with site.running() as pager:
        for number in range(100):
            await site.log.finding(finding(number), site.now)
        await until(lambda: len(box.told.get("ana@example.net", ())) == 100)
        await until(lambda: pager.status()["unanswered"] == 100)
        rows = await site.log.list(limit=1000)
        assert all(one.paging and one.paging.pages for one in rows)


async def test_a_p1_does_not_wait_behind_a_storm_of_others(tmp_path: Path, box: Box) -> None:
    """What came last and is urgent is looked at first."""
    site = Site(tmp_path, box)
    site.log = await Incidents.open(tmp_path, "manila", IncidentSettings())
    pager = Pager(site.settings, site.log, tmp_path, lambda: site.now)
    for number in range(30):
        await site.log.finding(finding(number, severity="medium", evidence={}), site.now)
    await site.log.finding(finding(99), site.now)
    await pager.look(site.now)
    paged = [event.incident for event in await site.log.after(0, 1000) if event.kind == "paged"]
    assert paged[0] == "MANILA-000031"
    assert len(paged) == 31
    await pager.outbox.close()
    await site.log.close()
