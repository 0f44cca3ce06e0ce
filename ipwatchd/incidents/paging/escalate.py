"""Escalation: who must be paged of an incident now, and when to look again. Pure.

`move` looks at an incident as its log has it and returns the next `Paged` event, or nothing; the
shell writes it and sends its pages. All that is remembered is in the log, so a restart or a kill
goes on where the log ends: a page may go out twice, never not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from ipwatchd.incidents.bodies import Paged
from ipwatchd.incidents.legal.clocks import clock_of
from ipwatchd.incidents.paging.schedule import in_window, on_call
from ipwatchd.records.duration import parse_duration
from ipwatchd.records.incident import OPEN_STATES
from ipwatchd.records.paging import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ipwatchd.incidents.paging.plan import Plan, Policy, Step
    from ipwatchd.records.incident import Incident
    from ipwatchd.records.paging import Letter, Paging

__all__ = ["BACK", "NEVER", "Recipient", "is_answered", "move", "recipients", "wake", "ways"]

PAGED: Final = ("NEW", "TRIAGE", "CONFIRMED", "CONTAINED")
"""States in which somebody must be at work; in later ones only clocks page."""
URGENT: Final = 90
"""A clock with this per cent gone pages in quiet hours too."""
BACK: Final = 60.0
"""A clock set back by more: what was paged or answered "later" than now counts no more, else the
next page would be as late as the clock was ahead."""
RECIPIENTS: Final = 200
"""People paged by one step: a group of thousands would be an event that the log refuses."""
NEVER: Final = float("inf")
QUIET_LOOK: Final = 60.0


class Recipient(NamedTuple):
    """Who is reached how; `person` is "" where a target is a channel itself."""

    person: str
    channel: str
    to: str


def move(incident: Incident, plan: Plan, now: float) -> Paged | None:
    """Return what is to be done now about an incident, None where nothing is."""
    made = _move(incident, plan, now)
    if made is None:
        return None
    policy = _chosen(plan, made.policy)
    cause = made.cause or (incident.paging.cause if incident.paging else "")
    return None if _is_quiet(policy, incident, cause, now) else made


def wake(incident: Incident, plan: Plan, now: float) -> float:
    """Return when to look at an incident again; infinite where only an event can change it."""
    if incident.state not in OPEN_STATES:
        return NEVER
    if _move(incident, plan, now):
        # Quiet hours end on the wall clock: look now and then.
        return now if move(incident, plan, now) else now + QUIET_LOOK
    times = [*_clock_times(incident, plan), *_answer_times(incident, _policy(incident, plan), now)]
    paging = incident.paging
    if paging and not paging.over and not paging.acked:
        times.append(_next(paging, plan, _chosen(plan, paging.policy), incident)[0])
    return min((time for time in times if time > now), default=NEVER)


def _move(incident: Incident, plan: Plan, now: float) -> Paged | None:
    """Return what is to be done, were there no quiet hours."""
    if incident.state not in OPEN_STATES:
        return None
    paging = incident.paging
    policy = _policy(incident, plan)
    cause = next(_causes(incident, plan, policy, now), "")
    if cause:
        return _begin(incident, plan, policy or _chosen(plan, ""), cause, now)
    if paging is None or paging.over or paging.acked:
        return None
    if paging.jump >= 0:
        chosen = policy or _chosen(plan, paging.policy)
        step = min(paging.jump, len(chosen.steps))
        made = _step(plan, chosen, paging, step, paging.round, now)
        return replace(made, policy=chosen.id, cause=f"asked for step {step + 1}")
    return _go_on(incident, paging, plan, now)


def _go_on(incident: Incident, paging: Paging, plan: Plan, now: float) -> Paged | None:
    """Return the next page of a run that nobody has answered, None where none is due."""
    chosen = _chosen(plan, paging.policy)
    instead = _instead(paging, plan, chosen, now)
    if instead:
        return _paged(paging, paging.step, paging.round, instead, paging.need)
    due, step, round_ = _next(paging, plan, chosen, incident)
    is_due = now >= due or now + BACK < paging.stepped
    return _step(plan, chosen, paging, step, round_, now) if is_due else None


def _chosen(plan: Plan, identity: str) -> Policy:
    """Return a policy by its id, the catch-all where it is gone."""
    return plan.policy(identity) or plan.last()


def is_answered(incident: Incident) -> bool:
    """Tell whether as many as were needed have acknowledged the newest run."""
    return incident.paging is None or bool(incident.paging.acked) or incident.paging.over


def _policy(incident: Incident, plan: Plan) -> Policy | None:
    return plan.policy_of(incident) if incident.state in PAGED else None


def _causes(incident: Incident, plan: Plan, policy: Policy | None, now: float) -> Iterator[str]:
    """Yield why a new run must begin, the weightiest first."""
    clock = _clock_cause(incident, plan, now)
    if clock:
        yield clock
    paging = incident.paging
    if policy is None:
        return
    if paging is None:
        yield "opened"
    elif paging.over:
        yield "reopened"
    elif incident.priority < paging.priority:
        yield f"raised to {incident.priority}"
    elif lost := _lost_letter(incident, paging, plan):
        yield lost
    elif paging.acked:
        yield from _unanswered(incident, paging, policy, now)


def _lost_letter(incident: Incident, paging: Paging, plan: Plan) -> str:
    """Return the letter that reached nobody by any way and that nobody was paged of yet."""
    found: dict[tuple[str, str, str], list[Letter]] = {}
    for one in incident.letters:
        # Ways to one person stand for each other; the addresses of an update do not.
        found.setdefault((one.about, one.name, one.person or f"{one.number}"), []).append(one)
    for held in found.values():
        first, tried = held[0], {one.channel for one in held}
        word = f"letter {first.number} to {first.name or first.to} was not delivered"
        left = [way for way in ways(plan, first.person, None) if way.channel not in tried]
        if not left and all(one.state == "failed" for one in held) and word not in paging.raised:
            return word
    return ""


def _unanswered(incident: Incident, paging: Paging, policy: Policy, now: float) -> Iterator[str]:
    if now + BACK < paging.acked:
        yield "the clock was set back"
    touched = _touched(incident, now)
    if touched <= paging.acked and now >= paging.acked + _span(policy.ack_timeout):
        yield "acknowledged, and nothing was done"
    since = max(paging.acked, touched)
    if not incident.on_hold and now >= since + _span(policy.progress_timeout):
        yield "no progress"


def _touched(incident: Incident, now: float) -> float:
    """Return when somebody last did something; what was done "later" than now counts no more."""
    return incident.touched if incident.touched <= now + BACK else 0.0


def _answer_times(incident: Incident, policy: Policy | None, now: float) -> Iterator[float]:
    paging = incident.paging
    if policy and paging and paging.acked and not paging.over:
        touched = _touched(incident, now)
        if touched <= paging.acked:
            yield paging.acked + _span(policy.ack_timeout)
        if not incident.on_hold:
            yield max(paging.acked, touched) + _span(policy.progress_timeout)


def _clock_cause(incident: Incident, plan: Plan, now: float) -> str:
    """Return the highest share of a clock that has gone and was not paged, "" for none."""
    raised = set(incident.paging.raised) if incident.paging else set()
    found: tuple[int, str] = (0, "")
    for one in incident.obligations:
        if one.settled or not one.due or one.done:
            continue
        gone = clock_of(one, now).share * 100
        shares = [share for share in plan.clock_shares if share <= gone]
        if not shares:
            continue
        later = {_clock_word(one.id, one.due, share) for share in plan.clock_shares
                 if share >= max(shares)}  # fmt: skip
        if not later & raised:
            found = max(found, (max(shares), _clock_word(one.id, one.due, max(shares))))
    return found[1]


def _clock_word(identity: str, due: float, share: int) -> str:
    return f"clock {identity} {share}% due {due:.0f}"


def _clock_times(incident: Incident, plan: Plan) -> Iterator[float]:
    for one in incident.obligations:
        if not one.settled and one.due and not one.done:
            span = one.due - one.started
            yield from (one.started + span * share / 100 for share in plan.clock_shares)


def _is_quiet(policy: Policy, incident: Incident, cause: str, now: float) -> bool:
    quiet = policy.quiet
    if quiet is None or incident.priority == "P1":
        return False
    if cause.startswith("clock ") and int(cause.split()[2].rstrip("%")) >= URGENT:
        return False
    return in_window(now, quiet.zone, quiet.since, quiet.until)


def _begin(incident: Incident, plan: Plan, policy: Policy, cause: str, now: float) -> Paged:
    people = recipients(plan, policy.steps[0], now)
    number = incident.paging.count if incident.paging else 0
    return Paged(
        policy=policy.id, cause=cause, priority=incident.priority, step=0, round=0,
        need=_need(policy.steps[0], people), pages=_pages(people, number, now, 0, 0),
    )  # fmt: skip


def _step(plan: Plan, policy: Policy, paging: Paging, step: int, round_: int, now: float) -> Paged:
    chosen = policy.steps[step] if step < len(policy.steps) else plan.last().steps[0]
    people = recipients(plan, chosen, now)
    pages = _pages(people, paging.count, now, step, round_)
    return _paged(paging, step, round_, pages, _need(chosen, people))


def _paged(paging: Paging, step: int, round_: int, pages: Iterable[Page], need: int) -> Paged:
    return Paged(
        policy=paging.policy, cause="", priority=paging.priority, step=step, round=round_,
        need=need, pages=tuple(pages),
    )  # fmt: skip


def _next(paging: Paging, plan: Plan, policy: Policy, incident: Incident) -> tuple[float, int, int]:
    """Return when the next step is due, which it is, and in which round."""
    last = len(policy.steps)
    failed = _is_lost(paging)
    if paging.step + 1 < last:
        wait = 0.0 if failed else _span(policy.steps[paging.step + 1].wait)
        return paging.stepped + wait, paging.step + 1, paging.round
    if paging.step < last and failed:
        return paging.stepped, last, paging.round
    if paging.step < last and paging.round < policy.repeat:
        return paging.stepped + _span(policy.every), 0, paging.round + 1
    if paging.step < last:
        return paging.stepped + _span(policy.every), last, paging.round
    # The catch-all has been paged: a P1 for ever, the others once.
    every = paging.stepped + _span(plan.catch_all.every)
    return (every if incident.priority == "P1" else NEVER), last, paging.round


def _current(paging: Paging) -> list[Page]:
    return [
        one for one in paging.pages
        if (one.step, one.round) == (paging.step, paging.round) and one.time >= paging.stepped
    ]  # fmt: skip


def _is_lost(paging: Paging) -> bool:
    """Tell whether no page of the newest step reached anybody, by no channel."""
    pages = _current(paging)
    return bool(pages) and all(one.state == "failed" for one in pages)


def _instead(paging: Paging, plan: Plan, policy: Policy, now: float) -> list[Page]:
    """Return pages by the next channel of each whose page failed."""
    pages = _current(paging)
    replaced = {one.instead for one in pages}
    step = policy.steps[paging.step] if paging.step < len(policy.steps) else None
    found: list[Page] = []
    for one in pages:
        if one.state != "failed" or one.number in replaced or not one.person:
            continue
        held = ways(plan, one.person, step)
        tried = {other.channel for other in pages if other.person == one.person}
        rest = [way for way in held if way.channel not in tried]
        if rest:
            found.append(Page(
                number=paging.count + len(found) + 1, time=now, person=one.person,
                channel=rest[0].channel, to=rest[0].to, step=paging.step, round=paging.round,
                instead=one.number,
            ))  # fmt: skip
    return found


def recipients(plan: Plan, step: Step, now: float) -> list[Recipient]:
    """Return whom a step reaches at a time, each once; where nobody is on call, the catch-all."""
    found = dict.fromkeys(_reached(plan, step, now))
    if not found:
        found = dict.fromkeys(_reached(plan, plan.last().steps[0], now))
    return list(found)[:RECIPIENTS]


def _reached(plan: Plan, step: Step, now: float) -> Iterator[Recipient]:
    for target in step.targets:
        kind, _, name = target.partition(":")
        if kind == "channel":
            yield Recipient("", name, "")
            continue
        if kind == "schedule":
            names: tuple[str, ...] = (on_call(plan.schedules[name], now),)
        else:
            names = plan.groups[name] if kind == "group" else (name,)
        for one in names:
            held = ways(plan, one, step) if one else []
            if held:
                yield held[0]


def ways(plan: Plan, person: str, step: Step | None) -> list[Recipient]:
    """Return how somebody is reached, in the step's order of channels, then in their own."""
    held = plan.people[person].contacts if person in plan.people else ()
    order = step.channels if step else ()
    ranked = sorted(
        held, key=lambda one: order.index(one.channel) if one.channel in order else len(order)
    )
    return [Recipient(person, one.channel, one.to) for one in ranked]


def _need(step: Step, people: list[Recipient]) -> int:
    if step.need == "any":
        return 1
    named = max(1, len({one.person for one in people if one.person}))
    return named if step.need == "all" else min(int(step.need), named)


def _pages(
    people: Iterable[Recipient], count: int, now: float, step: int, round_: int
) -> tuple[Page, ...]:
    return tuple(
        Page(number=count + place, time=now, person=one.person, channel=one.channel, to=one.to,
             step=step, round=round_)
        for place, one in enumerate(people, 1)
    )  # fmt: skip


def _span(text: str) -> float:
    return parse_duration(text)
