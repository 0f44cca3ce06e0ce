"""Mails that answer pages: acknowledgements, automatic answers, and mails that came back.

An answer acknowledges where it names a page by a tag that nobody can guess, comes from the address
that was paged, was not written by a program, and says so in its first line. The sender of a mail
can be forged: who has seen the page and sends in the name of who was paged passes, unless the mail
server refuses such mails (DMARC).
"""

from __future__ import annotations

from collections import OrderedDict
from email.utils import parseaddr
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.incidents.actions import InvalidActionError
from ipwatchd.incidents.bodies import Delivered
from ipwatchd.incidents.paging.replies import (
    acknowledges,
    answered_letter,
    answered_page,
    refs_in,
)
from ipwatchd.paging.pager import ACTOR
from ipwatchd.records.incident import OPEN_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipwatchd.incidents import Incidents
    from ipwatchd.incidents.intake.mail import Mail
    from ipwatchd.paging.pager import Pager
    from ipwatchd.records.incident import Incident, Report
    from ipwatchd.records.paging import Letter, Page

__all__ = ["Answers"]

NOTES: Final = 20
"""Notes on one incident about answers that do not count: a mail loop can't make it megabytes."""
QUOTED: Final = 500
"""Characters that a note quotes of an answer that does not count."""
INCIDENTS: Final = 10_000
LOOKED: Final = 1_000
"""Open incidents looked at for who an automatic answer may be of."""


class _Named(NamedTuple):
    """A page or letter that a mail names and whose tag is ours."""

    incident: Incident
    page: Page | None
    letter: Letter | None


class Answers:
    """Takes the mails that answer the pages of one site. `counters` says what became of them."""

    def __init__(self, pager: Pager, incidents: Incidents) -> None:
        self._pager = pager
        self._incidents = incidents
        self._noted: OrderedDict[str, int] = OrderedDict()
        self.counters = {
            "acks_by_mail": 0, "acks_forged": 0, "acks_automatic": 0, "acks_late": 0, "bounces": 0,
        }  # fmt: skip

    async def take(self, mail: Mail, report: Report, now: float) -> Incident | None:
        """Take a mail that answers pages or came back; None where it is neither: a report."""
        if mail.bounced or mail.unreached:
            return await self._bounced(mail, now)
        found = await self._named([*mail.references, mail.text])
        if mail.automatic:
            # Opening an incident of it would page the one who is away again, and so for ever.
            held = found[0].incident if found else await self._paged_last(mail.sender)
            return await self._automatic(mail, held, now) if held else None
        if not found:
            return None
        theirs = [one for one in found if _is_theirs(one, mail.sender)]
        if not theirs:
            self.counters["acks_forged"] += 1
            said = " ".join(mail.text.split())[:QUOTED]
            text = (f"{mail.sender or 'somebody'} answered a page that did not go to them: it does "
                    f"not count; it says: {said}")  # fmt: skip
            return await self._note(found[0].incident, text, now)
        return await self._answered(theirs, mail, report, now)

    async def _automatic(self, mail: Mail, held: Incident, now: float) -> Incident:
        self.counters["acks_automatic"] += 1
        text = f"an automatic answer of {mail.sender} came ({mail.automatic}): it is no answer"
        return await self._note(held, text, now)

    async def _paged_last(self, sender: str) -> Incident | None:
        """Return the newest open incident that somebody was paged or told of at an address."""
        for one in await self._incidents.list(limit=LOOKED) if sender else ():
            pages = one.paging.pages if one.paging else ()
            sent: tuple[Page | Letter, ...] = (*pages, *one.letters)
            if any(_bare(page.to) == sender for page in sent if page.to):
                return one
        return None

    async def _answered(
        self, theirs: list[_Named], mail: Mail, report: Report, now: float
    ) -> Incident | None:
        plan = self._pager.plan
        asked = [one for one in theirs if one.page]
        if not (asked and plan and acknowledges(mail.text, plan.answers)):
            held = theirs[0].incident
            if held.state not in OPEN_STATES:
                return None
            return await self._incidents.attach(held.id, report, now)
        done = [await self._acknowledge(one, now) for one in asked]
        return done[0]

    async def _acknowledge(self, one: _Named, now: float) -> Incident:
        page, incident = one.page, one.incident
        paging = incident.paging
        if page is None or paging is None or page.time < paging.begun:
            self.counters["acks_late"] += 1
            return await self._note(incident, "an answer to an earlier page came: this is a new "
                                    "run, it does not count", now)  # fmt: skip
        try:
            after = await self._incidents.act(
                incident.id, "ack", actor=page.person or page.to, now=now, details={"via": "mail"}
            )
        except InvalidActionError:
            # It is over: who is late need not be told that they are.
            self.counters["acks_late"] += 1
            return incident
        self.counters["acks_by_mail"] += 1
        return after

    async def _bounced(self, mail: Mail, now: float) -> Incident | None:
        """Take a failed delivery that a mail server told of later: the next way is taken.

        One that names no mail of ours proves nothing and is noted where we wrote to that address:
        an incident of it would page the same address again, and so for ever.
        """
        after = None
        why = f"came back: {mail.subject or 'undeliverable'}"[:300]
        for one in await self._named([mail.bounced]):
            self.counters["bounces"] += 1
            after = one.incident
            if one.page and one.page.state != "failed":
                body = Delivered(page=one.page.number, ok=False, why=why)
                after = await self._incidents.append(
                    after.id, "delivered", body, actor=ACTOR, now=now
                )
            elif one.letter:
                await self._pager.post.bounced(one.incident, one.letter.number, why)
        if after is None and (held := await self._paged_last(mail.unreached)):
            self.counters["bounces"] += 1
            text = f"a mail to {mail.unreached} {why}; it does not say which one"
            return await self._note(held, text, now)
        return after

    async def _named(self, texts: Iterable[str]) -> list[_Named]:
        """Return the pages and letters that texts name with a tag of ours."""
        found = []
        for ref in refs_in(texts):
            incident = await self._incidents.incident(ref.incident)
            if incident is None:
                continue
            page = answered_page(self._pager.key, ref, incident)
            letter = answered_letter(self._pager.key, ref, incident)
            if page or letter:
                found.append(_Named(incident, page, letter))
        return found

    async def _note(self, incident: Incident, text: str, now: float) -> Incident:
        """Put on the timeline what does not count."""
        said = self._noted[incident.id] = self._noted.pop(incident.id, 0) + 1
        while len(self._noted) > INCIDENTS:
            self._noted.popitem(last=False)
        if said > NOTES:
            return incident
        return await self._incidents.act(incident.id, "note", actor=ACTOR, reason=text, now=now)


def _is_theirs(one: _Named, sender: str) -> bool:
    """Tell whether a mail comes from the address that a page or letter went to."""
    to = one.page.to if one.page else one.letter.to if one.letter else ""
    return bool(sender) and _bare(to) == sender


def _bare(to: str) -> str:
    """Return the address of "Ana <ana@example.net>" in small letters."""
    return parseaddr(to)[1].lower()
