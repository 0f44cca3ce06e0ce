"""What a person may do about clocks: awareness, notices, and waiving with a second person."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from ipwatchd.incidents import bodies
from ipwatchd.incidents.legal.clocks import clock_of, duty_of
from ipwatchd.incidents.legal.notices import STAGES, draft
from ipwatchd.records.incident import Notice, Obligation, Proposal

if TYPE_CHECKING:
    from ipwatchd.incidents.ask import Ask

__all__ = ["ack", "aware", "jump", "noticed", "request", "tell", "waive"]

AHEAD: Final = 60.0
"""Seconds that a time may lie ahead: the clock of who types it may differ from ours."""
TEXT: Final = 10_000
STEPS: Final = 100
CENTRE: Final = "centre"
"""By what way somebody answered at the centre for this site."""


def aware(ask: Ask) -> tuple[str, bodies.Body]:
    """Return the event that states, or with a reason corrects, when somebody became aware."""
    at = _time(ask, "at", "the time of awareness")
    incident = ask.incident
    if incident.aware and not ask.reason:
        raise ask.refuse(
            f"{incident.id} has a time of awareness; correcting it needs a reason: the clocks of "
            "all duties follow it"
        )
    return "aware", bodies.Aware(at=at, before=incident.aware, reason=ask.reason)


def ack(ask: Ask) -> tuple[str, bodies.Body]:
    """Return the event that somebody has acknowledged the page."""
    paging = ask.incident.paging
    via = str(ask.details.get("via") or "")[:100]
    if paging is None and via != CENTRE:
        raise ask.refuse(f"nobody was paged of {ask.incident.id}: take it on (incidents take)")
    return "acked", bodies.Acked(by=ask.actor, via=via)


def jump(ask: Ask) -> tuple[str, bodies.Body]:
    """Return the event that has a step of the escalation paged now, answered or not."""
    word = ask.text("step", "the step to page, from 1")
    if not word.isdecimal() or not 1 <= int(word) <= STEPS:
        raise ask.refuse(f"{word!r} is no step: write 1 for the policy's first")
    if not ask.reason:
        raise ask.refuse(f"paging step {word} of {ask.incident.id} needs a reason")
    return "jumped", bodies.Jumped(step=int(word) - 1, reason=ask.reason)


def _time(ask: Ask, name: str, what: str) -> float:
    at = float(ask.details.get(name) or 0.0) or ask.now
    if not 0.0 < at <= ask.now + AHEAD:
        raise ask.refuse(f"{what} lies in the future: write when it was")
    return at


def tell(ask: Ask) -> tuple[str, bodies.Body]:
    """Return the event that writes what notices are to say."""
    raw = ask.details.get("fields")
    known = ask.policy.fields
    if not isinstance(raw, dict) or not raw:
        raise ask.refuse(f"write FIELD=TEXT; the fields are {', '.join(known)}")
    for name, text in raw.items():
        if name not in known:
            raise ask.refuse(f"{name!r} is no field of a notice: {', '.join(known)}")
        if len(str(text)) > TEXT:
            raise ask.refuse(f"{name}: over {TEXT:,} characters: attach it instead")
    return "told", bodies.Told(fields={name: str(text).strip() for name, text in raw.items()})


def _obligation(ask: Ask) -> Obligation:
    word = ask.text("obligation", "the obligation's id, as gdpr.authority").lower()
    held = {one.id: one for one in ask.incident.obligations}
    if word not in held:
        raise ask.refuse(
            f"{word!r} is no obligation of {ask.incident.id}: {', '.join(held) or 'it has none'}"
        )
    return held[word]


def noticed(ask: Ask) -> tuple[str, bodies.Body]:
    """Return the event that a notice went out; one that lacks something only where phases are."""
    one = _obligation(ask)
    if one.state in {"waived", "void", "waits"}:
        raise ask.refuse(f"{one.id} is {clock_of(one, ask.now).state}: no notice is due for it")
    at = _time(ask, "at", "the time of the notice")
    stage, text = str(ask.details.get("stage") or ""), ""
    missing: tuple[str, ...] = ()
    found = duty_of(one.id, ask.incident, ask.policy)
    phased = found is None or found[1].phased
    if found:
        made = draft(ask.incident, one, ask.policy, at)
        missing, text = made.missing, made.text
    stage = stage or ("final" if not missing else "intermediate" if one.notices else "initial")
    if stage not in STAGES:
        raise ask.refuse(f"{stage!r} is no stage of a notice: {', '.join(STAGES)}")
    if missing and (stage == "final" or not phased):
        raise ask.hold(
            f"the notice for {one.id} lacks {', '.join(missing)} (notice … --set FIELD=TEXT)"
            + ("; an initial one may go out without" if phased else "")
        )
    sent = Notice(
        stage=stage, time=at, by=ask.actor, missing=missing,
        reference=str(ask.details.get("reference") or "")[:200],
        sha256=hashlib.sha256(text.encode()).hexdigest() if text else "",
    )  # fmt: skip
    return "noticed", bodies.Noticed(obligation=one.id, notice=sent)


def request(ask: Ask) -> tuple[str, bodies.Body]:
    """Return the event that an authority asked for a report that is owed on request only."""
    one = _obligation(ask)
    found = duty_of(one.id, ask.incident, ask.policy)
    if found is None or not found[1].on_request:
        raise ask.refuse(f"{one.id} is owed without anybody's asking")
    at = _time(ask, "at", "the time of the request")
    return "obliged", bodies.Obliged(obligation=replace(one, state="", started=at))


def waive(ask: Ask) -> tuple[str, bodies.Body]:
    """Return the event that proposes to waive a duty or, by a second person, does."""
    one = _obligation(ask)
    if one.settled:
        raise ask.refuse(f"{one.id} is {clock_of(one, ask.now).state}: nothing is left to waive")
    proposal = ask.incident.proposal
    if proposal is None or (proposal.action, proposal.target) != ("waive", one.id):
        if not ask.reason:
            raise ask.refuse(f"waiving {one.id} needs a reason, as a regulator will read it")
        return "proposed", bodies.Proposed(
            proposal=Proposal(
                action="waive", actor=ask.actor, reason=ask.reason, time=ask.now, target=one.id
            )
        )
    if proposal.actor == ask.actor:
        raise ask.hold(
            f"waiving {one.id} needs a second person: {ask.actor} proposed it, somebody else must "
            "agree (incidents waive)"
        )
    gone = replace(one, state="waived", note=proposal.reason, by=(proposal.actor, ask.actor))
    return "obliged", bodies.Obliged(obligation=gone)
