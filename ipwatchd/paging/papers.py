"""Reports on a schedule: made once, kept in a folder, mailed to whom their marking lets read them.

`papers.json` says which were made and who was sent them. It is written before the first mail
leaves; what was on its way when the daemon ended is sent again under the same Message-ID.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from ipwatchd.incidents.legal.periods import zone
from ipwatchd.incidents.paging.letters import may_read_all
from ipwatchd.incidents.papers import due_periods, monthly, weekly
from ipwatchd.records.paging import Message
from ipwatchd.trouble import sentence

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from ipwatchd.config.settings import ReportSettings
    from ipwatchd.incidents.paging.plan import Stakeholder
    from ipwatchd.incidents.papers import Period
    from ipwatchd.paging.pager import Pager

    Write = Callable[[Period, float], Awaitable[str]]
    """The HTML page of a period."""

__all__ = ["FILE", "Papers"]

FILE: Final = "papers.json"
FOLDER: Final = "papers"
DAY: Final = 86_400.0
AGAIN: Final = 900.0
"""Seconds until a mail is tried again that no channel took, for a day."""
HELD: Final = 50
"""Reports that papers.json remembers."""
LARGEST: Final = 1 << 20
PDF_SECONDS: Final = 120.0
_LOG: Final = structlog.get_logger("reports")


class Mailed(msgspec.Struct):
    """How a report's way to one address stands: sending, delivered, failed, refused."""

    state: str
    place: str
    to: str
    why: str = ""
    tried: float = 0.0


class Paper(msgspec.Struct):
    """A report that was made."""

    name: str
    made: float
    file: str
    tlp: str
    mailed: list[Mailed] = []


class _Held(msgspec.Struct):
    after: dict[str, float] = {}
    made: list[Paper] = []


class Papers:
    """Makes the reports of one site, or of the centre. `note` says what is wrong, "" if nothing."""

    def __init__(
        self, settings: ReportSettings, state_dir: Path, site: str, zone_name: str, write: Write,
        pager: Pager | None = None,
    ) -> None:  # fmt: skip
        self._path = state_dir / FILE
        self._state_dir = state_dir
        self._site, self._write, self._pager = site, write, pager
        self.note = ""
        self.counters = {"reports": 0, "mailed": 0, "refused": 0}
        self._held = self._load()
        self._resent = False
        self.adopt(settings, zone_name)
        if pager:
            pager.papers = self.done

    def adopt(self, settings: ReportSettings, zone_name: str) -> None:
        """Take new settings."""
        self._settings = settings
        self._zone = zone(zone_name)
        self._next, self._fault = 0.0, ""
        found = (weekly(settings.weekly), monthly(settings.monthly))
        self._times = [one for one in found if one]

    @property
    def folder(self) -> Path:
        """Return where the reports lie."""
        chosen = self._settings.folder
        return Path(chosen) if chosen else self._state_dir / FOLDER

    def _load(self) -> _Held:
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(LARGEST), type=_Held)
        except FileNotFoundError:
            return _Held()
        except (OSError, msgspec.MsgspecError) as error:
            self.note = f"{self._path} can't be read, reports begin anew: {error}"
            return _Held()

    def _save(self) -> None:
        del self._held.made[:-HELD]
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self._held)))
        fresh.replace(self._path)

    async def tick(self, now: float) -> None:
        """Make what is due, mail it, and try again what did not leave.

        Raises OSError until it is made; it is tried again twice a minute, as it reads all cases.
        """
        if self._times and not 0 <= self._next - now <= 60.0:
            self._next = now + 30.0
            self._fault = await self._made(now)
            for paper in self._held.made:
                self._mail_again(paper, now)
            self._resent = True
        if self._fault:
            raise OSError(self._fault)

    async def _made(self, now: float) -> str:
        """Make what is due; return what keeps it from being made, "" where nothing does."""
        try:
            for when in self._times:
                after = self._held.after.get(when.kind)
                if after is None or after > now + DAY:
                    # The first start, or a clock that ran ahead: what is due from now on.
                    self._held.after[when.kind] = now
                    self._save()
                    continue
                for period in due_periods(when, self._zone, after, now):
                    await self._make(period, when.kind, now)
        except (OSError, sqlite3.Error) as error:
            return sentence(error)
        return ""

    async def _make(self, period: Period, kind: str, now: float) -> None:
        """Make one, unless it was made: a changed schedule or zone makes none twice."""
        if all(one.name != period.name for one in self._held.made):
            html = await self._page(period, now)
            path = await asyncio.to_thread(self._keep, period.name, html.encode(), ".html")
            if self._settings.pdf:
                path = await self._as_pdf(period.name, html, path)
            paper = Paper(period.name, now, str(path), self._settings.tlp, [*self._readers()])
            self._held.made.append(paper)
            self.counters["reports"] += 1
        else:
            paper = None
        self._held.after[kind] = max(self._held.after[kind], period.due)
        self._save()
        for number, one in enumerate(paper.mailed if paper else (), 1):
            if paper and one.state == "sending":
                self._mail(paper, number, one, now)

    async def _page(self, period: Period, now: float) -> str:
        """Return a report's page; OSError where a site's own template can't be filled in."""
        from jinja2 import TemplateError

        try:
            return await self._write(period, now)
        except TemplateError as error:
            raise OSError(f"the report {period.name} can't be made: {error}: mend the templates "
                          "under [incidents] policy") from error  # fmt: skip

    async def _as_pdf(self, name: str, html: str, page: Path) -> Path:
        """Return where the report lies as PDF; the page where that can't be made, and say why."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "ipwatchd.incidents.review.pdf",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(PDF_SECONDS):
                data, said = await child.communicate(html.encode())
            why = said.decode("utf-8", "replace").strip()[-300:]
        except TimeoutError:
            data, why = b"", f"no PDF within {PDF_SECONDS:.0f} s"
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode or not data:
            self.note = f"{name} is there as HTML alone: {why}"
            return page
        self.note = ""
        return await asyncio.to_thread(self._keep, name, data, ".pdf")

    def _keep(self, name: str, data: bytes, ending: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        path = self.folder / f"{name}{ending}"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(data)
        fresh.chmod(0o640)
        fresh.replace(path)
        mine = [one for kind in ("week", "month") for one in self.folder.glob(f"{kind}-*{ending}")]
        mine.sort(key=lambda one: one.stat().st_mtime)
        for old in mine[: -self._settings.keep]:
            with contextlib.suppress(FileNotFoundError):
                old.unlink()
        return path

    def _readers(self) -> Iterator[Mailed]:
        """Yield who is mailed a report, and who may not be handed it and why."""
        for name in self._settings.mail:
            place = self._place(name)
            if place is None:
                yield Mailed("refused", name, "", f"{name} is none of the plan's [stakeholders]")
            else:
                why = self._may_not(place, self._settings.tlp)
                for to in place.to:
                    yield Mailed("refused" if why else "sending", name, to, why)

    def _place(self, name: str) -> Stakeholder | None:
        plan = self._pager.plan if self._pager else None
        return plan.stakeholders.get(name) if plan else None

    def _may_not(self, place: Stakeholder, marking: str) -> str:
        if self._pager is None:
            return ""
        return may_read_all(marking, place, self._pager.audiences)

    def refusals(self) -> list[str]:
        """Return who is named and will not be mailed, and why: said at the start, not when due."""
        return [f"[reports] mail: {one.why}" for one in self._readers() if one.state == "refused"]

    def _mail(self, paper: Paper, number: int, one: Mailed, now: float) -> None:
        place = self._place(one.place)
        if self._pager is None or place is None:
            one.state, one.why = "failed", f"{one.place} is none of the plan's [stakeholders]"
            return
        if why := self._may_not(place, paper.tlp):
            # The plan was changed since the report was made.
            one.state, one.why = "refused", why
            return
        one.tried, one.state = now, "sending"
        kind, _, day = paper.name.partition("-")
        taken = self._pager.outbox.put(Message(
            incident=f"report-{paper.name}", page=number, channel=place.channel, to=one.to,
            subject=f"[{paper.tlp}] Incidents at {self._site}: {kind} {day}",
            body=f"The report of the {kind} {day} at {self._site} is attached.\nIt is marked "
                 f"{paper.tlp}.\n", site=self._site, time=paper.made, kind="paper", tlp=paper.tlp,
            files=(paper.file,),
        ))  # fmt: skip
        if not taken:
            one.state, one.why = "failed", "too many messages wait"

    def _mail_again(self, paper: Paper, now: float) -> None:
        """Send again what failed, for a day, and after a start what was on its way."""
        for number, one in enumerate(paper.mailed, 1):
            lost = one.state == "sending" and not self._resent and one.tried != now
            failed = one.state == "failed" and not 0 <= now - one.tried < AGAIN
            if (lost or failed) and now - paper.made < DAY:
                self._mail(paper, number, one, now)

    async def done(self, message: Message, ok: bool, why: str) -> None:
        """Write down what became of a mail."""
        name = message.incident.removeprefix("report-")
        for paper in self._held.made:
            if paper.name == name and 0 < message.page <= len(paper.mailed):
                one = paper.mailed[message.page - 1]
                one.state, one.why = ("delivered", "") if ok else ("failed", why)
        self.counters["mailed"] += ok
        if not ok:
            _LOG.warning("a report did not leave", report=name, to=message.to, why=why)
        try:
            self._save()
        except OSError as error:
            self.note = f"{self._path} can't be written: {error}"

    def status(self) -> list[dict[str, Any]]:
        """Return the reports that were made, the newest first."""
        built: list[dict[str, Any]] = msgspec.to_builtins(self._held.made[::-1])
        return built
