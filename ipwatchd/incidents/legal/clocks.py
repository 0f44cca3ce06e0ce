"""Legal and contractual clocks: what an incident obliges to, by when, how each duty stands. Pure.

`reconcile` compares what follows from the facts with what the incident carries and returns the
obligations that changed; the store writes each as an event, so that every time ever given is in the
log. Nothing here stops for a hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from ipwatchd.incidents.legal.applies import Owed, client_of, owed
from ipwatchd.incidents.legal.periods import end_of, year_end
from ipwatchd.records.incident import Obligation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipwatchd.incidents.legal.regimes import Duty, Regime
    from ipwatchd.incidents.legal.seat import Seat
    from ipwatchd.incidents.policy import Policy
    from ipwatchd.records.incident import Incident

__all__ = ["Clock", "awareness", "clock_of", "clocks", "due_next", "duty_of", "reconcile"]

ENDED: Final = ("REJECTED", "MERGED")


class Clock(NamedTuple):
    """How a duty stands at a time.

    `state` is pending, late, met, met-late, waits, possible, waived or void; `left` the seconds
    until it is due (negative: over), `share` how much of its time is gone (0 to 1 and over).
    """

    obligation: Obligation
    state: str
    left: float
    share: float


def awareness(incident: Incident) -> float:
    """Return when the clocks start: when somebody said that they became aware, else the opening."""
    return incident.aware or incident.opened


def clock_of(one: Obligation, now: float) -> Clock:
    """Return how a duty stands; a time that only the house aims at is never "late"."""
    left = one.due - now if one.due else 0.0
    span = one.due - one.started
    share = (now - one.started) / span if one.due and span > 0 else 0.0
    state = one.state or "pending"
    if one.done:
        state = "met-late" if one.due and one.done > one.due and not one.aim else "met"
    elif state == "pending" and one.due and now > one.due and not one.aim:
        state = "late"
    return Clock(one, state, left, share)


def clocks(incident: Incident, now: float) -> list[Clock]:
    """Return how all duties stand, those that are due first at the head."""
    rows = [clock_of(one, now) for one in incident.obligations]
    return sorted(rows, key=lambda row: (row.obligation.settled, row.obligation.due or now))


def due_next(incident: Incident) -> float | None:
    """Return when the next duty that is left is due, None where there is none."""
    times = [one.due or one.started for one in incident.obligations if not one.settled]
    return min((time for time in times if time), default=None)


def duty_of(identity: str, incident: Incident, policy: Policy) -> tuple[Regime, Duty] | None:
    """Return the regime and the duty that an obligation's id names.

    Of several files of a regime that is the one that was in force when its time began.
    """
    _, _, name = identity.rpartition(".")
    began = awareness(incident)
    versions = sorted(
        _versions(identity, incident, policy),
        key=lambda regime: not regime.in_force(began, policy.seat.zone),
    )
    for regime in versions:
        for one in regime.duties:
            if one.id == name:
                return regime, one
    return None


def _versions(identity: str, incident: Incident, policy: Policy) -> list[Regime]:
    """Return the files on the regime that an obligation's id names, of whatever days."""
    client = client_of(incident, policy.clients)
    contract = client.contract() if client else None
    name, _, _ = identity.rpartition(".")
    every = (*policy.regimes, *((contract,) if contract else ()))
    return [regime for regime in every if regime.id == name]


def reconcile(incident: Incident, policy: Policy, now: float) -> list[Obligation]:
    """Return the obligations that must be written because facts, class or awareness changed."""
    held = {one.id: one for one in incident.obligations}
    if incident.state in ENDED:
        note = f"the incident is {incident.state}"
        return [replace(one, state="void", note=note) for one in held.values() if _is_open(one)]
    seat = policy.seat
    times = (awareness(incident), now)
    wanted = {f"{one.regime.id}.{one.duty.id}": one for one in owed(incident, policy, times)}
    changed = []
    for identity, one in wanted.items():
        new = _obligation(identity, one, incident, seat, held)
        if new != held.get(identity):
            changed.append(new)
            held[identity] = new
    for identity, old in held.items():
        found = duty_of(identity, incident, policy) if identity not in wanted and old.done else None
        if found:
            # Met, and it follows no more: its times go by awareness all the same.
            again = _obligation(identity, Owed(*found), incident, seat, held)
            changed += [again] if again != old else []
        mine = old.regime and identity not in wanted and _is_open(old)
        if mine and not _outlives(old, policy, incident):
            changed.append(replace(old, state="void", note="no longer follows from the facts"))
    return changed


def _is_open(one: Obligation) -> bool:
    return not one.done and one.state in {"", "waits", "possible"}


def _outlives(one: Obligation, policy: Policy, incident: Incident) -> bool:
    """Tell whether a duty stays because the file that brought it is no longer there."""
    if duty_of(one.id, incident, policy) is None:
        return True
    began = awareness(incident)
    files = _versions(one.id, incident, policy)
    gone = not any(regime.in_force(began, policy.seat.zone) for regime in files)
    return gone and one.state != "possible"


def _obligation(
    identity: str, one: Owed, incident: Incident, seat: Seat, held: Mapping[str, Obligation]
) -> Obligation:
    """Return a duty as it stands by the facts; what was done about it stays."""
    regime, duty = one.regime, one.duty
    before = held.get(identity)
    begin = _start(one, incident, held, before)
    zone = regime.zone or seat.zone
    due = 0.0
    if begin and duty.period:
        base = year_end(begin, zone) if duty.start == "year-end" else begin
        due = end_of(base, duty.period, zone, regime.holidays)
    fresh = Obligation(
        id=identity, title=f"{duty.title} ({regime.name})", due=due, started=begin,
        state="possible" if one.unknown else "" if begin else "waits",
        note=duty.note, aim=bool(duty.aim), to=duty.to, cite=duty.cite, zone=zone,
        regime=f"{regime.id} {regime.version or regime.valid_from}", asks=one.unknown,
    )  # fmt: skip
    if before is None:
        return fresh
    if before.state == "waived" or before.done:
        # Its times are corrected; that it was met or waived stays.
        return replace(before, due=due or before.due, started=begin or before.started)
    return fresh


def _start(
    one: Owed, incident: Incident, held: Mapping[str, Obligation], before: Obligation | None
) -> float:
    """Return when a duty's time begins, 0 where it has not."""
    if one.duty.on_request:
        return before.started if before else 0.0
    if one.duty.start.startswith("met:"):
        other = held.get(f"{one.regime.id}.{one.duty.start.removeprefix('met:')}")
        return other.done if other else 0.0
    return awareness(incident)
