"""Calls about escalation: what waits for an answer, and how paging and clocks stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from ipwatchd.control.messages import Check
from ipwatchd.incidents.legal.clocks import clocks
from ipwatchd.incidents.legal.periods import moment
from ipwatchd.incidents.paging.escalate import is_answered
from ipwatchd.records.duration import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House, Live

__all__ = ["clock_checks", "escalation", "listed", "pager_checks"]

OPEN: Final = 10_000


async def listed(house: House, call: Call) -> list[dict[str, Any]]:
    """Answer GET pages: incidents that wait for an answer, and their newest pages."""
    del call
    found = []
    for incident in await house.stores.incidents.list(limit=OPEN):
        paging = incident.paging
        if paging and not is_answered(incident):
            row: dict[str, Any] = msgspec.to_builtins(paging)
            found.append(row | {
                "incident": incident.id, "priority": incident.priority, "state": incident.state,
                "title": incident.title, "pages": row.get("pages", [])[-5:],
            })  # fmt: skip
    return sorted(found, key=lambda row: (row["priority"], row["begun"]))


async def escalation(house: House, now: float) -> dict[str, Any]:
    """Return what status says: pages, and the next clock."""
    rows = await house.stores.incidents.with_duties(1)
    due = [one for one in clocks(rows[0], now) if not one.obligation.settled] if rows else []
    answer: dict[str, Any] = {"on": False}
    if house.live and house.live.pager:
        answer = house.live.pager.status()
    if due and rows:
        answer["next_clock"] = {
            "incident": rows[0].id, "obligation": due[0].obligation.id,
            "due": due[0].obligation.due, "state": due[0].state,
        }  # fmt: skip
    return answer


def pager_checks(live: Live) -> Iterator[Check]:
    """Yield the checks of escalation, and of reports on a schedule."""
    if live.papers:
        yield from _paper_checks(live.papers.status())
    if live.pager is None:
        return
    state = live.pager.status()
    if state["note"]:
        yield Check(name="escalation", ok=False, note=state["note"])
    elif not state["on"]:
        note = "nobody is paged: name a file of people under [escalation] plan"
        yield Check(name="escalation", ok=True, note=note)
    else:
        waits = f"waiting for an answer: {state['unanswered']}, pages to go: {state['sending']}"
        if state["letters_waiting"]:
            waits += f", letters tried again: {state['letters_waiting']}"
        if state["hushed"]:
            waits = "the centre pages in this site's place"
        yield Check(name="escalation", ok=not state["failed"], note=waits + _failed(state))
    for name, why in state["troubles"].items():
        yield Check(name=f"channel {name}", ok=False, note=f"pages don't leave: {why}")


def _paper_checks(made: list[dict[str, Any]]) -> Iterator[Check]:
    """Yield how the newest report stands, and who did not get it."""
    for newest in made[:1]:
        lost = [f"not handed to {one['to'] or one['place']}: {one['why']}"
                for one in newest["mailed"] if one["state"] in {"failed", "refused"}]  # fmt: skip
        note = "; ".join([f"newest: {newest['file']}", *lost])
        yield Check(name="reports", ok=not lost, note=note)


def _failed(state: dict[str, Any]) -> str:
    return f", not handed over: {state['failed']}" if state["failed"] else ""


async def clock_checks(house: House, now: float) -> list[Check]:
    """Return what is due to laws and contracts, and which files are not in force."""
    policy = house.stores.incidents.policy
    rows = [
        (incident.id, one)
        for incident in await house.stores.incidents.with_duties(100)
        for one in clocks(incident, now)
        if not one.obligation.settled and one.obligation.due
    ]
    found = []
    late = [(name, one) for name, one in rows if one.state == "late"]
    if rows:
        name, first = min(rows, key=lambda row: row[1].obligation.due)
        span = duration_text(abs(first.left))
        when = f"due in {span}" if first.left >= 0 else f"{span} over"
        note = f"next: {first.obligation.id} of {name}, {when}"
        found.append(Check(name="clocks", ok=not late, note=note))
    # What begins later is no trouble; what ended and was not replaced is.
    found += [
        Check(name="regimes", ok=" ended on " not in why, note=why)
        for why in policy.not_in_force(moment(now, policy.seat.zone).date())
    ]
    return found
