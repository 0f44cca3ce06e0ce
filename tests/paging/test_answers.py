"""Answers to pages by mail: a page over SMTP, its answer over LMTP from a mail server."""

from __future__ import annotations

import asyncio
import smtplib
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import TYPE_CHECKING, Any

import pytest

from ipwatchd.config import Config
from ipwatchd.config.settings import IntakeSettings, SiteSettings
from ipwatchd.desk.desk import Desk
from ipwatchd.incidents.intake.mail import parse_mail
from ipwatchd.incidents.paging.replies import acknowledges, ref_of, refs_in
from ipwatchd.paging.answers import Answers
from ipwatchd.paging.pager import Pager
from ipwatchd.stores import Stores
from tests.incidents.paging.plans import plan
from tests.paging.stage import NOW, Box, Site, finding, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ipwatchd.records.incident import Incident, IncidentEvent

FIRST = "MANILA-000001"


class House:
    """A site whose mail drop knows its pages."""

    def __init__(self, folder: Path, stores: Stores, pager: Pager, answers: Answers) -> None:
        self.folder, self.stores, self.pager, self.answers = folder, stores, pager, answers

    async def hand(self, mail: EmailMessage | MIMEMultipart) -> str:
        """Hand a mail over by LMTP; return what it was answered."""
        return await asyncio.to_thread(self._hand, mail)

    def _hand(self, mail: EmailMessage | MIMEMultipart) -> str:
        with smtplib.LMTP(str(self.folder / "lmtp")) as server:
            server.ehlo_or_helo_if_needed()
            server.mail("whoever@example.net")
            server.rcpt("soc@site.example")
            lines = mail.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            code, said = server.data(lines)
            assert code == 250, said
            return str(said)

    async def case(self, identity: str = FIRST) -> Incident:
        """Return an incident."""
        one = await self.stores.incidents.incident(identity)
        assert one is not None
        return one

    async def newest(self, identity: str = FIRST) -> IncidentEvent:
        """Return its newest event."""
        shown = await self.stores.incidents.show(identity)
        assert shown is not None
        return shown[1][-1]

    async def is_acked(self, identity: str = FIRST) -> bool:
        """Tell whether its run is answered."""
        paging = (await self.case(identity)).paging
        return bool(paging and paging.acked)


@asynccontextmanager
async def house(folder: Path, box: Box) -> AsyncIterator[House]:
    """Run a pager and a desk on one state folder."""
    site = Site(folder, box)
    config = Config(
        site=SiteSettings(name="manila"), intake=IntakeSettings(lmtp=str(folder / "lmtp")),
        escalation=site.settings,
    )  # fmt: skip
    stores = await Stores.open(config, folder / "state")
    pager = Pager(config.escalation, stores.incidents, stores.state_dir, lambda: NOW)
    desk = Desk(config.intake, stores, lambda: NOW)
    answers = Answers(pager, stores.incidents)
    assert desk.mail is not None
    desk.mail.answers = answers.take
    await desk.start()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(pager.run(stop))
        try:
            yield House(folder, stores, pager, answers)
        finally:
            stop.set()
    await desk.stop()
    await stores.close(NOW)


def reply(page: Any, text: str, **headers: str) -> EmailMessage:
    """Return what a mail program makes of answering a page."""
    mail = EmailMessage()
    named = {
        "From": str(page["To"]), "To": str(page["Reply-To"]), "Subject": f"Re: {page['Subject']}",
        "In-Reply-To": str(page["Message-ID"]),
        "References": f"{page['References']} {page['Message-ID']}",
    } | {name.replace("_", "-"): value for name, value in headers.items()}  # fmt: skip
    for name, value in named.items():
        if value:
            mail[name] = value
    quoted = "".join(f"> {line}\n" for line in page.get_content().splitlines())
    mail.set_content(f"{text}\n\nOn Monday ipwatchd wrote:\n{quoted}")
    return mail


async def page_of(house: House, box: Box, number: int = 1) -> Any:
    """Raise an incident and return the mail that pages ana of it."""
    await house.stores.incidents.finding(finding(number), NOW)
    await until(lambda: len(box.mails) >= number)
    await until(lambda: not house.pager.outbox._lines)
    return box.mails[-1]


async def test_ack_from_the_phone_acknowledges(tmp_path: Path, box: Box) -> None:
    """The person of that page is on it, by mail; the answer opens nothing, and counts once."""
    async with house(tmp_path, box) as one:
        page = await page_of(one, box)
        assert page["Reply-To"] == "soc@site.example"
        said = await one.hand(reply(page, "Ack, on my way\n\nSent from my phone"))
        assert FIRST in said
        event = await one.newest()
        assert (event.kind, event.actor, event.body["via"]) == ("acked", "ana", "mail")
        assert await one.is_acked()
        await one.hand(reply(page, "ack"))
        assert len(await one.stores.incidents.list()) == 1


@pytest.mark.parametrize("lost", ["In-Reply-To", "References", "both"])
async def test_a_program_that_drops_headers_still_answers(
    tmp_path: Path, box: Box, lost: str
) -> None:
    """Either header is enough, and where both are gone the page that is quoted."""
    async with house(tmp_path, box) as one:
        mail = reply(await page_of(one, box), "ok")
        for name in ("In-Reply-To", "References") if lost == "both" else (lost,):
            del mail[name]
        await one.hand(mail)
        assert await one.is_acked()


async def test_a_forged_answer_does_not_count(tmp_path: Path, box: Box) -> None:
    """Another sender, a guessed tag, another incident's tag, another page's: none acknowledges."""
    async with house(tmp_path, box) as one:
        page = await page_of(one, box)
        await one.hand(reply(page, "ack", From="mallory@evil.example"))
        said = (await one.newest()).body["text"]
        assert "mallory@evil.example answered a page that did not go to them" in said
        assert "it says: ack On Monday" in said
        left = str(page["Message-ID"]).strip("<>").partition("@")[0]
        tag = left.rpartition(".")[2]
        for guess in (
            left.replace(tag, "a" * 26),
            f"manila-000002.1.{tag}",
            f"manila-000001.2.{tag}",
        ):
            forged = EmailMessage()
            forged["From"], forged["In-Reply-To"] = "ana@example.net", f"<{guess}@site.example>"
            forged.set_content("ack")
            await one.hand(forged)
        assert not await one.is_acked()
        assert one.answers.counters["acks_forged"] == 1


@pytest.mark.parametrize(
    "header",
    [{"Auto_Submitted": "auto-replied"}, {"Auto_Submitted": "auto-generated; x=y"},
     {"Precedence": "auto_reply"}, {"X_Autoreply": "yes"}],
)  # fmt: skip
async def test_an_automatic_answer_does_not_count(
    tmp_path: Path, box: Box, header: dict[str, str]
) -> None:
    """Out of office: said on the timeline, no acknowledgement, no new incident that pages."""
    async with house(tmp_path, box) as one:
        page = await page_of(one, box)
        await one.hand(reply(page, "ok", **header))
        await one.hand(reply(page, "I am away", In_Reply_To="", References="", **header))
        assert not await one.is_acked()
        assert "automatic answer of ana@example.net" in (await one.newest()).body["text"]
        assert one.answers.counters["acks_automatic"] == 2
        assert len(await one.stores.incidents.list()) == 1


async def test_what_is_no_yes_joins_the_case(tmp_path: Path, box: Box) -> None:
    """A question is a report of the case and answers nothing."""
    async with house(tmp_path, box) as one:
        await one.hand(reply(await page_of(one, box), "ok but I am on leave, call ben"))
        event = await one.newest()
        assert event.kind == "reported"
        assert "call ben" in event.body["report"]["text"]
        assert not await one.is_acked()


async def test_one_answer_to_a_joined_page_answers_all(tmp_path: Path, box: Box) -> None:
    """Pages of a storm left as one mail: its answer names each of them."""
    async with house(tmp_path, box) as one:
        for number in range(20):
            await one.stores.incidents.finding(finding(number), NOW)
        await until(lambda: len(box.told.get("ana@example.net", ())) == 20)
        await until(lambda: not one.pager.outbox._lines)
        for mail in tuple(box.mails):
            await one.hand(reply(mail, "ack"))
        rows = await one.stores.incidents.list()
        assert all(row.paging and row.paging.acks == ("ana",) for row in rows)


def returned(page: Any, action: str = "failed") -> MIMEMultipart:
    """Return what a mail server says of a page that it had taken; of None: of no page."""
    back = MIMEMultipart("report", **{"report-type": "delivery-status"})
    back["From"], back["Subject"] = "MAILER-DAEMON@mx.example", "Undelivered Mail"
    back["Auto-Submitted"] = "auto-replied"
    back.attach(MIMEText("It could not be delivered."))
    status = EmailMessage()
    status["Final-Recipient"], status["Action"] = "rfc822; ana@example.net", action
    notice = MIMEMessage(status)
    notice.replace_header("Content-Type", "message/delivery-status")
    back.attach(notice)
    if page is not None:
        back.attach(MIMEMessage(page))
    return back


async def test_a_mail_that_comes_back_is_a_failed_delivery(tmp_path: Path, box: Box) -> None:
    """The mail server took the page and bounced it later: the person's next channel is taken."""
    async with house(tmp_path, box) as one:
        back = returned(await page_of(one, box))
        await one.hand(back)
        assert one.answers.counters["bounces"] == 1
        await until(lambda: one.pager.outbox.counters["failed"])
        held = (await one.case()).paging
        assert held is not None
        assert held.pages[0].why == "came back: Undelivered Mail"
        assert held.pages[1].channel == "hook"
        await one.hand(back)
        shown = await one.stores.incidents.show(FIRST)
        assert shown is not None
        said = [event.body.get("why") for event in shown[1] if event.kind == "delivered"]
        assert said.count("came back: Undelivered Mail") == 1


def test_a_joined_page_that_comes_back_names_every_page() -> None:
    """Pages of a storm left as one mail, which came back: each of them is named, not the first."""
    named = [ref_of(b"k" * 32, "MANILA-000001", number, "a@b") for number in (1, 2, 3)]
    page = EmailMessage()
    page["Message-ID"] = f"<{named[0]}@x>"
    page["References"] = f"<manila-000001@x> <{named[1]}@x> <{named[2]}@x>"
    found = parse_mail(returned(page).as_bytes())
    assert [one.page for one in refs_in([found.bounced])] == ["1", "2", "3"]
    assert found.unreached == "ana@example.net"
    late = parse_mail(returned(page, "delayed").as_bytes())
    assert (late.bounced, late.unreached) == ("", "")
    assert len(refs_in(late.references)) == 3


@pytest.mark.parametrize("named", [True, False])
async def test_what_a_mail_server_says_of_a_page_opens_nothing(
    tmp_path: Path, box: Box, *, named: bool
) -> None:
    """A page that is late, or a failed one without its mail, is noted: no incident pages anew."""
    async with house(tmp_path, box) as one:
        page = await page_of(one, box)
        await one.hand(returned(page, "delayed") if named else returned(None))
        event = await one.newest()
        said = "automatic answer of mailer-daemon" if named else "does not say which one"
        assert (event.kind, said in event.body["text"]) == ("note", True)
        assert len(await one.stores.incidents.list()) == 1
        held = (await one.case()).paging
        assert held is not None
        assert held.pages[0].state == "delivered"


async def test_an_answer_to_an_earlier_run_does_not_answer_this_one(
    tmp_path: Path, box: Box
) -> None:
    """It was rejected and came back: the old page's answer is said to be late."""
    async with house(tmp_path, box) as one:
        page = await page_of(one, box)
        incidents = one.stores.incidents
        for action, who in (("reject", "ana"), ("reject", "ben"), ("reopen", "ben")):
            await incidents.act(FIRST, action, actor=who, reason="x", now=NOW + 5)
        await one.pager.look(NOW + 10)
        await one.hand(reply(page, "ack"))
        assert "answer to an earlier page" in (await one.newest()).body["text"]
        assert not await one.is_acked()


def test_words_that_acknowledge() -> None:
    """The first line of one's own says yes, and nothing else does."""
    words = plan().answers
    for yes in ("ack", "ACK.", "\n\n  Ok!", "Acknowledged - looking", "on it", "> x\nack", "Voy"):
        assert acknowledges(yes, words), yes
    for no in (
        "",
        "no",
        "ok but later",
        "> ack",
        "background",
        "acknack",
        "On Monday x wrote:\n> ack",
    ):
        assert not acknowledges(no, words), no


def test_references_are_bounded() -> None:
    """A mail that names ten thousand pages costs as much as one that names sixty."""
    names = [f"<{ref_of(b'k' * 32, 'S-000001', number, 'a@b')}@x>" for number in range(10_000)]
    assert len(refs_in(names)) == 60
