"""Updates that are sent: to whom the plan and the marking let them, over a real mail server."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ipwatchd.config import Config
from ipwatchd.config.settings import SiteSettings
from ipwatchd.control.call import Peer
from ipwatchd.control.house import House, Live
from ipwatchd.control.routes import dispatch
from ipwatchd.paging.pager import Pager
from ipwatchd.pipeline import Pipeline
from ipwatchd.records.incident import Report
from ipwatchd.stores import Stores
from tests.paging.conftest import box
from tests.paging.stage import NOW, Box, Site, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["box"]

PLACES = """
[notify."privacy officer"]
targets = ["person:cho"]
match = { personal = true }
[stakeholders.acme]
audience = "client"
client = "Acme"
language = "es"
channel = "mail"
to = ["security@acme.example"]
[stakeholders.partner]
audience = "client"
channel = "mail"
to = ["partner@example.net"]
client = "Other"
[stakeholders.board]
audience = "management"
may = "TLP:AMBER"
channel = "mail"
to = ["board@example.net"]
"""
CASE = "incidents/MANILA-000001"


def letters(box: Box) -> list[Any]:
    """Return what was sent and is no page."""
    return [mail for mail in box.mails if mail["To"] != "ben@example.net"]


class Desk:
    """A running site, and who asks it."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        """Make a call as an operator; return its answer, or status and sentence."""
        data = json.dumps(body).encode() if body else b""
        status, answer = await dispatch(
            self.house, Peer("dina", "operator"), method, f"/v1/{path}", data, NOW
        )
        read = json.loads(answer)
        return read if status == 200 else (status, read["error"])


@asynccontextmanager
async def desk(folder: Path, box: Box) -> AsyncIterator[Desk]:
    """Run a site with a case that a mail of ana@client.example in Spanish opened."""
    site = Site(folder, box, PLACES)
    config = Config(site=SiteSettings(name="manila"), escalation=site.settings)
    stores = await Stores.open(config, folder / "state")
    live = Live(Pipeline(stores), pid=1, started=NOW)
    live.pager = Pager(config.escalation, stores.incidents, stores.state_dir, lambda: NOW)
    report = Report(
        id="r1", received=NOW, channel="e-mail", reporter="ana@client.example", text="llamaron",
        language="es",
    )  # fmt: skip
    await stores.incidents.report(report, NOW)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(live.pager.run(stop))
        try:
            yield Desk(House(stores, live))
        finally:
            stop.set()
    await stores.close(NOW)


async def test_an_update_goes_to_who_is_on_file(tmp_path: Path, box: Box) -> None:
    """Acme's people in Spanish with the English beneath; another client's address is refused."""
    async with desk(tmp_path, box) as one:
        status, why = await one.ask("POST", f"{CASE}/send", audience="client")
        assert (status, "nobody is on file as client" in why) == (400, True)
        facts = {"client": "acme"}
        await one.ask("POST", f"{CASE}/take", reason="x")
        await one.ask("POST", f"{CASE}/assess", answers=facts)
        after = await one.ask("POST", f"{CASE}/send", audience="client")
        assert [letter["to"] for letter in after["letters"]] == ["security@acme.example"]
        await until(lambda: letters(box))
        (mail,) = letters(box)
        assert mail["X-TLP"] == "TLP:AMBER"
        assert "Incidente de seguridad" in mail["Subject"]
        assert "-- in English --" in mail.get_content()
        status, why = await one.ask(
            "POST", f"{CASE}/send", audience="client", to="partner@example.net"
        )
        assert (status, "another client's cases" in why) == (400, True)
        status, why = await one.ask("POST", f"{CASE}/send", audience="client", to="x@evil.example")
        assert (status, "add the address under [stakeholders]" in why) == (400, True)


async def test_the_marking_refuses_with_a_sentence(tmp_path: Path, box: Box) -> None:
    """The board may be handed AMBER here: its template is stricter, so nothing leaves."""
    async with desk(tmp_path, box) as one:
        status, why = await one.ask("POST", f"{CASE}/send", audience="management")
        assert status == 409
        assert "marked TLP:AMBER+STRICT, and board@example.net may be handed up to TLP:AMBER" in why
        await one.ask("POST", f"{CASE}/mark", tlp="TLP:RED")
        status, why = await one.ask("POST", f"{CASE}/send", audience="reporter")
        assert (status, "may read up to TLP:GREEN" in why) == (409, True)
        shown = await one.ask("GET", CASE)
        assert "updated" not in [event["kind"] for event in shown["timeline"]]
        assert not letters(box)


async def test_the_reporter_is_answered_where_they_wrote_from(tmp_path: Path, box: Box) -> None:
    """In the language of the report; the delivery is on the timeline."""
    async with desk(tmp_path, box) as one:
        await one.ask("POST", f"{CASE}/send", audience="reporter")
        await until(lambda: letters(box))
        assert letters(box)[0]["To"] == "ana@client.example"
        assert letters(box)[0]["Subject"] == "Su aviso MANILA-000001"
        pager = one.house.live.pager if one.house.live else None
        assert pager is not None
        await until(lambda: pager.post.counters["letters_delivered"])
        shown = await one.ask("GET", CASE)
        sent, left = [
            one for one in shown["timeline"]
            if one["kind"] == "updated" or one["body"].get("letter")
        ]  # fmt: skip
        assert sent["actor"] == "dina"
        assert left["body"] == {"page": 0, "ok": True, "letter": 1}


async def test_notify_is_offered_sent_and_taken_back(tmp_path: Path, box: Box) -> None:
    """Whom the plan names is offered where it fits; undo says that it can't be unsent."""
    async with desk(tmp_path, box) as one:
        assert await one.ask("GET", f"{CASE}/responses") == []
        await one.ask("POST", f"{CASE}/take", reason="x")
        await one.ask("POST", f"{CASE}/assess", answers={"data": "customer"})
        (offer,) = await one.ask("GET", f"{CASE}/responses")
        assert (offer["kind"], offer["subject"]) == ("notify", "privacy officer")
        assert "can't be unsent" in offer["undo"]
        after = await one.ask("POST", f"{CASE}/respond", kind="notify", reason="12 people")
        assert after["receipts"][0]["text"] == "told privacy officer: 12 people"
        pager = one.house.live.pager if one.house.live else None
        assert pager is not None
        await until(lambda: pager.post.counters["letters_delivered"])
        assert await one.ask("GET", f"{CASE}/responses") == []
        await one.ask("POST", f"{CASE}/undo", reason="not so")
        shown = await one.ask("GET", CASE)
        assert (
            "it reached cho by mail and can't be unsent" in shown["timeline"][-1]["body"]["reason"]
        )


async def test_a_state_folder_sends_nothing(tmp_path: Path, box: Box) -> None:
    """Where no daemon runs the call is refused with what to do."""
    async with desk(tmp_path, box) as one:
        one.house.live = None
        status, why = await one.ask("POST", f"{CASE}/send", audience="reporter")
        assert (status, "ask the daemon" in why) == (409, True)
