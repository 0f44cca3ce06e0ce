"""What a person may do to an incident in which state, and the event that doing it becomes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ipwatchd.incidents.fold import Body, Classified, Note, Response, State
from ipwatchd.records.incident import OPEN_STATES

if TYPE_CHECKING:
    from ipwatchd.records.incident import Incident

__all__ = ["ACTIONS", "TRANSITIONS", "InvalidActionError", "decide", "possible", "reopened"]

TRANSITIONS: Final[dict[str, dict[str, str]]] = {
    "take": {"NEW": "TRIAGE"},
    "confirm": {"TRIAGE": "CONFIRMED", "CONTAINED": "CONFIRMED"},
    "contain": {"CONFIRMED": "CONTAINED"},
    "resolve": {"CONTAINED": "RESOLVED"},
    "review": {"RESOLVED": "REVIEW"},
    "close": {"REVIEW": "CLOSED"},
    "reject": {"NEW": "REJECTED", "TRIAGE": "REJECTED"},
    "reopen": {"CLOSED": "TRIAGE", "REJECTED": "TRIAGE"},
}
"""action → state before → state after."""

ACTIONS: Final = (*TRANSITIONS, "classify", "note", "response")
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class InvalidActionError(ValueError):
    """An action that is not possible now; the message says which are."""


def possible(state: str) -> tuple[str, ...]:
    """Return the actions that a state allows."""
    moves = tuple(action for action, table in TRANSITIONS.items() if state in table)
    if state in OPEN_STATES:
        retake = () if "take" in moves else ("take",)
        return (*moves, *retake, "classify", "note", "response")
    return (*moves, "note", "response")


def decide(incident: Incident, action: str, *, actor: str, reason: str) -> tuple[str, Body]:
    """Return the kind and body of the event that an action is.

    `reason` is the text of a note or response; for classify it is the RSIT type, alone or followed
    by a colon and why. Raises InvalidActionError where the state or a guard forbids it.
    """
    reason = reason.strip()
    if action not in possible(incident.state):
        raise InvalidActionError(_impossible(incident, action))
    if action in TRANSITIONS:
        return "state", _move(incident, action, actor, reason)
    if action == "classify":
        return "classified", _classified(reason)
    if not reason:
        raise InvalidActionError(f"a {action} on {incident.id} needs its text")
    return (action, Note(text=reason)) if action == "note" else (action, Response(text=reason))


def reopened(incident: Incident, reason: str) -> State:
    """Return the event body that brings a closed incident back because it goes on."""
    return State(action="reopen", before=incident.state, after="TRIAGE", reason=reason)


def _move(incident: Incident, action: str, actor: str, reason: str) -> State:
    if action == "reject" and not reason:
        raise InvalidActionError(f"rejecting {incident.id} needs a reason: why is it nothing?")
    resolution = reason if action in {"resolve", "close"} else ""
    if action == "close" and not (resolution or incident.resolution):
        raise InvalidActionError(f"closing {incident.id} needs its resolution: what was done?")
    return State(
        action=action, before=incident.state,
        # Taking over what someone else has in hand changes who has it, not how far it is.
        after=TRANSITIONS[action].get(incident.state, incident.state),
        reason=reason, owner=actor if action == "take" else "", resolution=resolution,
    )  # fmt: skip


def _classified(reason: str) -> Classified:
    kind, _, why = reason.partition(":")
    kind = kind.strip()
    if not _TYPE.fullmatch(kind):
        raise InvalidActionError(
            f"{kind!r} is no class: write an RSIT type such as scanner, brute-force or phishing, "
            "and after a colon why"
        )
    return Classified(classification=kind, reason=why.strip())


def _impossible(incident: Incident, action: str) -> str:
    if action not in ACTIONS:
        return f"there is no action {action!r}: possible on {incident.id} are {_listed(incident)}"
    return f"{incident.id} is {incident.state}: {action} is not possible, but {_listed(incident)}"


def _listed(incident: Incident) -> str:
    *most, last = possible(incident.state)
    return f"{', '.join(most)} and {last}" if most else last
