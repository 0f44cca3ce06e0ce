"""Reports on a schedule over a real log, folder and mail server: once, to whom may read."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from ipwatchd.config.settings import ReportSettings
from ipwatchd.incidents.review.period import period_html
from ipwatchd.paging.papers import Papers
from tests.paging.stage import NOW, Box, Site, finding, until

if TYPE_CHECKING:
    from pathlib import Path

    from ipwatchd.incidents.papers import Period
    from ipwatchd.paging.pager import Pager

MANILA = ZoneInfo("Asia/Manila")
MONDAY = dt.datetime(2026, 11, 30, 7, 0, tzinfo=MANILA).timestamp()
BOARD = """
[stakeholders.board]
audience = "management"
channel = "mail"
to = ["board@example.net", "ceo@example.net"]
[stakeholders.acme]
audience = "client"
channel = "mail"
to = ["security@acme.example"]
[stakeholders.beta]
audience = "client"
client = "Beta"
channel = "mail"
to = ["security@beta.example"]
"""


def papers(site: Site, pager: Pager | None, **changes: Any) -> Papers:
    """Return what makes the reports of a site."""
    settings = ReportSettings(**({"weekly": "mon 07:00", "mail": ("board",)} | changes))

    async def write(period: Period, now: float) -> str:
        return await period_html(
            site.log, "manila", period.since, period.until, MANILA, now, marking=settings.tlp
        )

    return Papers(settings, site.folder, "manila", "Asia/Manila", write, pager)


def letters(box: Box) -> list[Any]:
    """Return the mails with reports."""
    return [mail for mail in box.mails if "Incidents at" in mail["Subject"]]


async def test_the_week_is_made_and_mailed_once(tmp_path: Path, box: Box) -> None:
    """Page and mails bear the marking; a restart, a second look, a changed hour make none again."""
    site = Site(tmp_path, box, BOARD)
    async with site.running() as pager:
        await site.log.finding(finding(severity="info", evidence={}), NOW)
        one = papers(site, pager)
        await one.tick(NOW)
        await one.tick(MONDAY - 60)
        assert not letters(box)
        await one.tick(MONDAY + 5)
        await until(lambda: one.counters["mailed"] == 2)
        assert {mail["To"] for mail in letters(box)} == {"board@example.net", "ceo@example.net"}
        (mail, _) = letters(box)
        assert mail["Subject"] == "[TLP:AMBER] Incidents at manila: week 2026-11-23"
        assert mail["X-TLP"] == "TLP:AMBER"
        (page,) = mail.iter_attachments()
        html = page.get_content()
        assert page.get_filename() == "week-2026-11-23.html"
        assert '<div class="marking">TLP:AMBER</div>' in html
        assert "data-upload" in html
        kept = (tmp_path / "papers/week-2026-11-23.html").read_text()
        assert kept.rstrip() == html.replace("\r", "").rstrip()
        for again in (papers(site, pager), papers(site, pager, weekly="mon 09:00")):
            await again.tick(MONDAY + 3 * 3600)
            await again.tick(MONDAY + 4 * 3600)
        assert len(letters(box)) == 2
        assert [row["name"] for row in one.status()] == ["week-2026-11-23"]


async def test_a_report_on_paper_is_what_is_mailed(tmp_path: Path, box: Box) -> None:
    """A PDF made by a process of its own; page and PDF lie in the folder."""
    site = Site(tmp_path, box, BOARD)
    async with site.running() as pager:
        one = papers(site, pager, pdf=True)
        await one.tick(NOW)
        await one.tick(MONDAY)
        await until(lambda: one.counters["mailed"] == 2)
        (paper,) = letters(box)[0].iter_attachments()
        assert paper.get_filename() == "week-2026-11-23.pdf"
        assert paper.get_content().startswith(b"%PDF-")
        names = sorted(path.name for path in (tmp_path / "papers").iterdir())
        assert names == ["week-2026-11-23.html", "week-2026-11-23.pdf"]
        assert one.note == ""


async def test_the_marking_decides_who_is_mailed(tmp_path: Path, box: Box) -> None:
    """Marked AMBER+STRICT the client gets none, and the start says so; RED goes to nobody."""
    site = Site(tmp_path, box, BOARD)
    async with site.running() as pager:
        one = papers(site, pager, tlp="TLP:AMBER+STRICT", mail=("board", "acme", "nobody"))
        said = one.refusals()
        assert "security@acme.example may be handed up to TLP:AMBER" in said[0]
        assert "nobody is none of the plan's [stakeholders]" in said[1]
        await one.tick(NOW)
        await one.tick(MONDAY)
        await until(lambda: one.counters["mailed"] == 2)
        assert "security@acme.example" not in {mail["To"] for mail in letters(box)}
        states = [row["state"] for row in one.status()[0]["mailed"]]
        assert states == ["delivered", "delivered", "refused", "refused"]
        assert len(papers(site, pager, tlp="TLP:RED").refusals()) == 2


async def test_a_client_is_not_told_of_the_others(tmp_path: Path, box: Box) -> None:
    """A place that hears of one client's cases gets no report on all, however it is marked."""
    site = Site(tmp_path, box, BOARD)
    async with site.running() as pager:
        one = papers(site, pager, tlp="TLP:CLEAR", mail=("board", "beta"))
        (said,) = one.refusals()
        assert "security@beta.example is told of Beta's cases alone" in said
        await one.tick(NOW)
        await one.tick(MONDAY)
        await until(lambda: one.counters["mailed"] == 2)
        assert "security@beta.example" not in {mail["To"] for mail in letters(box)}


async def test_a_plan_that_became_stricter_counts_for_what_waits(tmp_path: Path, box: Box) -> None:
    """A report that could not leave yet is not mailed to whom it may no longer be handed."""
    site = Site(tmp_path, box, BOARD)
    async with site.running() as pager:
        one = papers(site, pager)
        await one.tick(NOW)
        box.refuse = "451 later"
        await one.tick(MONDAY)
        await until(lambda: {row["state"] for row in one.status()[0]["mailed"]} == {"failed"})
        box.refuse = ""
        plan = tmp_path / "escalation.toml"
        board = 'audience = "management"'
        plan.write_text(plan.read_text().replace(board, f"{board}\nmay = 'TLP:GREEN'"))
        pager.adopt(site.settings)
        await one.tick(MONDAY + 3600)
        assert {row["state"] for row in one.status()[0]["mailed"]} == {"refused"}
        assert not letters(box)


async def test_what_was_missed_is_caught_up_and_so_many_are_kept(tmp_path: Path, box: Box) -> None:
    """Three weeks and a month went by: each is made once; the folder keeps the newest two."""
    site = Site(tmp_path, box, BOARD)
    async with site.running() as pager:
        await papers(site, pager, monthly="1 06:00").tick(NOW)
        back = papers(site, pager, monthly="1 06:00", keep=2, mail=())
        await back.tick(MONDAY + 14 * 86_400)
        assert {row["name"] for row in back.status()} == {
            "week-2026-11-23", "week-2026-11-30", "week-2026-12-07", "month-2026-11",
        }  # fmt: skip
        assert len(list((tmp_path / "papers").iterdir())) == 2


async def test_what_can_not_be_made_is_tried_now_and_then_and_holds_no_mail_up(
    tmp_path: Path, box: Box
) -> None:
    """No folder: all looks say so, one in half a minute tries; then it is made."""
    site = Site(tmp_path, box, BOARD)
    made: list[float] = []

    async def write(period: Period, now: float) -> str:
        del period
        made.append(now)
        return "<p>all is well"

    async with site.running() as pager:
        settings = ReportSettings(weekly="mon 07:00", folder=str(tmp_path / "in/the way"))
        one = Papers(settings, tmp_path, "manila", "Asia/Manila", write, pager)
        await one.tick(NOW)
        (tmp_path / "in").write_text("a file")
        for second in range(35):
            with pytest.raises(OSError, match="in"):
                await one.tick(MONDAY + second)
        assert made == [MONDAY, MONDAY + 31]
        (tmp_path / "in").unlink()
        await one.tick(MONDAY + 70)
        assert [row["name"] for row in one.status()] == ["week-2026-11-23"]
        await one.tick(MONDAY + 71)


async def test_a_mail_server_that_is_away_gets_it_later(tmp_path: Path, box: Box) -> None:
    """It is tried again, also after a restart; what was delivered is not."""
    site = Site(tmp_path, box, BOARD)
    async with site.running() as pager:
        one = papers(site, pager)
        await one.tick(NOW)
        box.refuse = "451 later"
        await one.tick(MONDAY)
        await until(lambda: {row["state"] for row in one.status()[0]["mailed"]} == {"failed"})
        box.refuse = ""
        again = papers(site, pager)
        await again.tick(MONDAY + 3600)
        await until(lambda: again.counters["mailed"] == 2)
        third = papers(site, pager)
        await third.tick(MONDAY + 7200)
        assert len(letters(box)) == 2


async def test_a_kill_before_the_mail_left_sends_it_after_the_start(
    tmp_path: Path, box: Box
) -> None:
    """It is on the disk as on its way: the next start sends it, under the same Message-ID."""
    site = Site(tmp_path, box, BOARD)
    async with site.running() as pager:
        one = papers(site, pager)
        await one.tick(NOW)
        put, pager.outbox.put = pager.outbox.put, lambda _: True  # type: ignore[method-assign]
        await one.tick(MONDAY)
        pager.outbox.put = put  # type: ignore[method-assign]
        again = papers(site, pager)
        await again.tick(MONDAY + 60)
        await until(lambda: again.counters["mailed"] == 2)
        assert sorted(str(mail["Message-ID"]) for mail in letters(box)) == [
            "<report-week-2026-11-23.paper1@site.example>",
            "<report-week-2026-11-23.paper2@site.example>",
        ]


async def test_a_clock_that_ran_ahead_makes_no_silence(tmp_path: Path, box: Box) -> None:
    """It stood in 2036 for a while: set right, the next week's report is made when it is due."""
    site = Site(tmp_path, box, BOARD)
    async with site.running():
        one = papers(site, None, mail=())
        await one.tick(NOW)
        await one.tick(NOW + 10 * 365 * 86_400)
        ahead = len(one.status())
        await one.tick(NOW)
        await one.tick(MONDAY)
        assert len(one.status()) == ahead + 1
        assert one.status()[0]["name"] == "week-2026-11-23"
