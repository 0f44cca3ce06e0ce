"""What a person may do to an incident in which state, and the event that doing it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ipwatchd.incidents import bodies
from ipwatchd.incidents.ask import Ask, GuardError, InvalidActionError
from ipwatchd.incidents.guards import needs_second_person, unfit_to_close, unfit_to_confirm
from ipwatchd.incidents.legal import duties
from ipwatchd.incidents.sops import assigned, matching
from ipwatchd.incidents.updates import MARKINGS
from ipwatchd.records.incident import OPEN_STATES, PRIORITIES, Obligation, Proposal, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ipwatchd.incidents.policy import Policy
    from ipwatchd.records.incident import Incident, Task

__all__ = [
    "ACTIONS", "MACHINES", "TRANSITIONS", "Ask", "InvalidActionError", "decide", "possible",
    "reopened",
]  # fmt: skip

TRANSITIONS: Final[dict[str, dict[str, str]]] = {
    "take": {"NEW": "TRIAGE"},
    "confirm": {"TRIAGE": "CONFIRMED", "CONTAINED": "CONFIRMED"},
    "contain": {"CONFIRMED": "CONTAINED"},
    "resolve": {"CONTAINED": "RESOLVED"},
    "review": {"RESOLVED": "REVIEW"},
    "close": {"REVIEW": "CLOSED"},
    "reject": {"NEW": "REJECTED", "TRIAGE": "REJECTED"},
    "merge": {"NEW": "MERGED", "TRIAGE": "MERGED"},
    "reopen": {"CLOSED": "TRIAGE", "REJECTED": "TRIAGE"},
}
"""action → state before → state after."""

VERDICTS: Final = ("true-positive", "false-positive", "benign")


def possible(state: str) -> tuple[str, ...]:
    """Return the actions that a state allows."""
    moves = tuple(action for action, table in TRANSITIONS.items() if state in table)
    if state in OPEN_STATES:
        retake = () if "take" in moves else ("take",)
        return (*moves, *retake, *_WORK, *_ALWAYS)
    return (*moves, *_ALWAYS)


def decide(
    incident: Incident, action: str, *, actor: str, reason: str, policy: Policy,
    details: Mapping[str, Any] | None = None, now: float = 0.0,
) -> tuple[str, bodies.Body]:  # fmt: skip
    """Return the kind and body of the event that an action is.

    `reason` is the text of a note, response or feedback; for classify it is the RSIT type, alone or
    followed by a colon and why. Raises InvalidActionError where the state or a guard forbids it.
    """
    ask = Ask(incident, action, actor, reason.strip(), details or {}, policy, now)
    if action not in ACTIONS:
        raise InvalidActionError(
            f"there is no action {action!r}: possible on {incident.id} are {_listed(incident)}"
        )
    if action not in possible(incident.state):
        raise GuardError(
            f"{incident.id} is {incident.state}: {action} is not possible, but {_listed(incident)}"
        )
    if action in TRANSITIONS:
        return _move(ask)
    try:
        return _BODIES[action](ask)
    except InvalidActionError:
        raise
    except ValueError as error:
        raise InvalidActionError(str(error)) from error


def reopened(incident: Incident, reason: str) -> bodies.State:
    """Return the event body that brings a closed incident back because it goes on."""
    return bodies.State(action="reopen", before=incident.state, after="TRIAGE", reason=reason)


def _move(ask: Ask) -> tuple[str, bodies.Body]:
    incident, action, reason = ask.incident, ask.action, ask.reason
    why = ""
    if action == "confirm":
        why = unfit_to_confirm(incident, ask.policy)
    elif action == "close":
        why = unfit_to_close(incident)
    if why:
        raise ask.hold(why)
    if action == "reject":
        proposal = _rejection(ask)
        if proposal:
            return "proposed", bodies.Proposed(proposal=proposal)
    resolution = reason if action in {"resolve", "close"} else ""
    if action == "close" and not (resolution or incident.resolution):
        raise ask.refuse(f"closing {incident.id} needs its resolution: what was done?")
    target = ask.text("target", "the incident it is merged into") if action == "merge" else ""
    return "state", bodies.State(
        action=action, before=incident.state,
        # Taking over what someone else has in hand changes who has it, not how far it is.
        after=TRANSITIONS[action].get(incident.state, incident.state), reason=reason,
        owner=ask.actor if action == "take" else "", resolution=resolution, target=target,
        second=incident.proposal.actor if action == "reject" and incident.proposal else "",
    )  # fmt: skip


def _rejection(ask: Ask) -> Proposal | None:
    """Return the proposal that a rejection is as yet; None where it may be done."""
    incident, proposal = ask.incident, ask.incident.proposal
    if not ask.reason:
        raise ask.refuse(f"rejecting {incident.id} needs a reason: why is it nothing?")
    why = needs_second_person(incident)
    if not why:
        return None
    if proposal is None or proposal.action != "reject":
        return Proposal(action="reject", actor=ask.actor, reason=ask.reason, time=ask.now)
    if proposal.actor == ask.actor:
        raise ask.hold(
            f"rejecting {incident.id} needs a second person, because {why}: {ask.actor} proposed "
            "it, somebody else must agree (incidents reject)"
        )
    return None


def _classify(ask: Ask) -> tuple[str, bodies.Body]:
    word, _, why = ask.reason.partition(":")
    if not word.strip():
        raise ask.refuse(
            "classify needs an RSIT type such as scanner, brute-force or phishing, and after a "
            "colon why"
        )
    kind = ask.policy.taxonomy.known(word)
    incident = ask.incident
    fits = matching(
        ask.policy.sops, rule=incident.rule, kind=incident.kind, classification=kind,
        language=incident.language,
    )  # fmt: skip
    begun = {one.sop for one in incident.tasks if one.done} | {
        one.id for one in incident.sops if one.read
    }
    wanted = {one.id for one in fits}
    dropped = tuple(one.id for one in incident.sops if one.id not in wanted and one.id not in begun)
    held = {one.id for one in incident.sops}
    sops, tasks = assigned(one for one in fits if one.id not in held)
    return "classified", bodies.Classified(
        classification=kind, reason=why.strip(), version=ask.policy.taxonomy.version, sops=sops,
        tasks=tasks, dropped=dropped,
    )  # fmt: skip


def _assess(ask: Ask) -> tuple[str, bodies.Body]:
    raw = ask.details.get("answers")
    if not isinstance(raw, dict) or not raw:
        names = ", ".join(ask.policy.assessment.missing(ask.incident.facts)) or "all are answered"
        raise ask.refuse(
            f"assess needs answers such as confidentiality=no; still open: {names} "
            "(ipwatchctl incidents questions lists them)"
        )
    facts = ask.policy.assessment.answers(raw)
    derived = ask.policy.assessment.derive({**ask.incident.facts, **facts})
    return "assessed", bodies.Assessed(
        facts=facts, impact=derived.impact, urgency=derived.urgency, priority=derived.priority,
        because=derived.because, personal=derived.personal,
        version=ask.policy.assessment.version,
    )  # fmt: skip


def _prioritise(ask: Ask) -> tuple[str, bodies.Body]:
    word = ask.text("priority", f"a priority: one of {', '.join(PRIORITIES)}, or auto").upper()
    if word not in {*PRIORITIES, "AUTO"}:
        raise ask.refuse(f"{word!r} is no priority: {', '.join(PRIORITIES)}, or auto")
    if not ask.reason:
        raise ask.refuse(f"overriding the priority of {ask.incident.id} needs a reason")
    priority = "" if word == "AUTO" else word
    return "prioritised", bodies.Prioritised(priority=priority, reason=ask.reason)


def _hold(ask: Ask) -> tuple[str, bodies.Body]:
    if not ask.reason:
        raise ask.refuse(f"holding {ask.incident.id} needs a reason: what does it wait for?")
    return "held", bodies.Held(reason=ask.reason)


def _resume(ask: Ask) -> tuple[str, bodies.Body]:
    if not ask.incident.on_hold:
        raise ask.refuse(f"{ask.incident.id} is not on hold")
    return "held", bodies.Held()


def _feedback(ask: Ask) -> tuple[str, bodies.Body]:
    word, _, rest = ask.reason.partition(":")
    verdict = word.strip().lower() if word.strip().lower() in VERDICTS else ""
    text = rest.strip() if verdict and rest.strip() else ask.reason
    if not text:
        raise ask.refuse(
            f"feedback on {ask.incident.id} needs its text: what was the reporter told?"
        )
    if ask.incident.rule != "report" and not verdict:
        raise ask.refuse(
            f"feedback on {ask.incident.id} judges the detector {ask.incident.rule}: begin with "
            f"{', '.join(VERDICTS)} and a colon"
        )
    return "feedback", bodies.Feedback(text=text, verdict=verdict)


def _tick(ask: Ask) -> tuple[str, bodies.Body]:
    one = _task(ask)
    done = ask.action == "tick"
    if bool(one.done) == done:
        is_so = f"was ticked by {one.by}" if done else "is not ticked"
        raise ask.refuse(f"{one.sop}/{one.step} of {ask.incident.id} {is_so}")
    return "step", bodies.Step(sop=one.sop, step=one.step, done=done, note=ask.reason)


def _task(ask: Ask) -> Task:
    word = ask.text("step", "the step to tick, as SOP/STEP")
    sop, _, step = word.rpartition("/")
    found = [one for one in ask.incident.tasks if one.step == step and sop in {"", one.sop}]
    if len(found) != 1:
        names = ", ".join(f"{one.sop}/{one.step}" for one in found or ask.incident.tasks)
        raise ask.refuse(
            f"{word!r} names no one step of {ask.incident.id}: {names or 'it has none'}"
        )
    return found[0]


def _read(ask: Ask) -> tuple[str, bodies.Body]:
    word = ask.text("sop", "the SOP that was read")
    for one in ask.incident.sops:
        if one.id == word:
            return "read", bodies.Read(sop=one.id, version=one.version)
    names = ", ".join(one.id for one in ask.incident.sops) or "none"
    raise ask.refuse(f"{word!r} is no SOP of {ask.incident.id}: {names}")


def _oblige(ask: Ask) -> tuple[str, bodies.Body]:
    import msgspec

    try:
        duty = msgspec.convert(ask.details.get("obligation"), Obligation)
    except msgspec.ValidationError as error:
        raise ask.refuse(f"an obligation is not understood: {error}") from error
    return "obliged", bodies.Obliged(obligation=duty)


def _note(ask: Ask) -> tuple[str, bodies.Body]:
    if not ask.reason:
        raise ask.refuse(f"a note on {ask.incident.id} needs its text")
    return "note", bodies.Note(text=ask.reason)


def _mark(ask: Ask) -> tuple[str, bodies.Body]:
    tlp = ask.text("tlp", f"a marking of TLP 2.0: {', '.join(MARKINGS)}").upper()
    if tlp not in MARKINGS:
        raise ask.refuse(f"{tlp!r} is no marking of TLP 2.0: {', '.join(MARKINGS)}")
    now = ask.incident.tlp or MARKINGS[0]
    if MARKINGS.index(tlp) < MARKINGS.index(now) and not ask.reason:
        raise ask.refuse(f"more people may read {ask.incident.id} then: that needs a reason")
    return "marked", bodies.Marked(tlp=tlp, reason=ask.reason)


def _translate(ask: Ask) -> tuple[str, bodies.Body]:
    report = ask.text("report", "the report that it translates")
    if report not in ask.incident.reports:
        names = ", ".join(ask.incident.reports) or "it has none"
        raise ask.refuse(f"{report!r} is no report of {ask.incident.id}: {names}")
    language = ask.text("language", "the language that it is translated into, as en")
    if not ask.reason:
        raise ask.refuse("a translation needs its text; the words as they came stay as they are")
    return "translated", bodies.Translated(report=report, language=language, text=ask.reason)


def _response(ask: Ask) -> tuple[str, bodies.Body]:
    if not ask.reason:
        raise ask.refuse(f"a response on {ask.incident.id} needs its text")
    receipt = ask.details.get("receipt")
    if receipt is not None and not isinstance(receipt, Receipt):
        raise ask.refuse("a receipt is written by what carried the response out")
    letters = ask.details.get("letters", ())
    return "response", bodies.Response(text=ask.reason, receipt=receipt, letters=letters)


def _undone(ask: Ask) -> tuple[str, bodies.Body]:
    word = ask.text("receipt", "the receipt of the response that was taken back")
    for one in ask.incident.receipts:
        if one.id == word and not one.undone:
            return "undone", bodies.Undone(receipt=word, reason=ask.reason)
    names = ", ".join(one.id for one in ask.incident.receipts if not one.undone) or "none"
    raise ask.refuse(f"{word!r} is no response in force on {ask.incident.id}: {names}")


_BODIES: Final[dict[str, Callable[[Ask], tuple[str, bodies.Body]]]] = {
    "classify": _classify, "assess": _assess, "prioritise": _prioritise, "hold": _hold,
    "resume": _resume, "tick": _tick, "untick": _tick, "read": _read, "feedback": _feedback,
    "oblige": _oblige, "note": _note, "response": _response, "undone": _undone,
    "ack": duties.ack, "escalate": duties.jump, "aware": duties.aware, "tell": duties.tell,
    "notice": duties.noticed, "request": duties.request, "waive": duties.waive, "mark": _mark,
    "translate": _translate,
}  # fmt: skip
_ALWAYS: Final = (
    "feedback", "oblige", "note", "response", "undone", "aware", "tell", "notice", "request",
    "waive", "mark", "translate",
)  # fmt: skip
"""Possible in every state: also a closed case gets notes, and what an authority asks later."""
_WORK: Final = tuple(name for name in _BODIES if name not in _ALWAYS)
MACHINES: Final = ("oblige", "undone")
"""Actions that the machine alone writes: clocks know duties, lists know what was taken back."""
ACTIONS: Final = (*TRANSITIONS, *_BODIES)


def _listed(incident: Incident) -> str:
    *most, last = [one for one in possible(incident.state) if one not in MACHINES]
    return f"{', '.join(most)} and {last}"
