"""What must be so before an incident may move on: each guard says what is missing, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ipwatchd.incidents.taxonomy import UNDETERMINED

if TYPE_CHECKING:
    from ipwatchd.incidents.policy import Policy
    from ipwatchd.records.incident import Incident

__all__ = ["SHOWN", "needs_second_person", "unfit_to_close", "unfit_to_confirm"]

SHOWN: Final = 5
"""Missing things that one sentence lists."""
URGENT: Final = ("P1", "P2")


def unfit_to_confirm(incident: Incident, policy: Policy) -> str:
    """Return what keeps an incident from being CONFIRMED, its class or facts; "" for nothing."""
    lacks = []
    if incident.classification in {"", UNDETERMINED}:
        lacks.append("its class (incidents classify)")
    missing = policy.assessment.missing(incident.facts)
    if missing:
        lacks.append(f"its impact facts {_some(missing)} (incidents assess)")
    return f"confirming {incident.id} needs {' and '.join(lacks)}" if lacks else ""


def unfit_to_close(incident: Incident) -> str:
    """Return what keeps an incident from being CLOSED; "" for nothing."""
    tasks = [f"{one.sop}/{one.step}" for one in incident.tasks if one.mandatory and not one.done]
    owed = [one for one in incident.obligations if not one.settled]
    duties = [one.title or one.id for one in owed if one.state != "possible"]
    possible = [one for one in owed if one.state == "possible"]
    asks = list(dict.fromkeys(name for one in possible for name in one.asks))
    lacks = []
    if tasks:
        lacks.append(f"the mandatory steps {_some(tasks)} (incidents tick)")
    if duties:
        lacks.append(f"the pending obligations {_some(duties)} (incidents clocks)")
    if possible:
        laws = list(dict.fromkeys(one.id.partition(".")[0] for one in possible))
        lacks.append(
            f"answers to {_some(asks)}, which decide on duties under {_some(laws)} "
            "(incidents assess)"
        )
    if not incident.feedback:
        lacks.append("feedback to who raised it (incidents feedback)")
    return f"closing {incident.id} needs {' and '.join(lacks)}" if lacks else ""


def needs_second_person(incident: Incident) -> str:
    """Return why a second person must agree to reject an incident; "" where one is enough."""
    if incident.priority in URGENT:
        return f"it is {incident.priority}"
    if incident.personal:
        return "it concerns personal data"
    return ""


def _some(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
