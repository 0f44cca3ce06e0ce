"""What somebody wants done about an incident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipwatchd.incidents.policy import Policy
    from ipwatchd.records.incident import Incident

__all__ = ["Ask", "GuardError", "InvalidActionError"]


class InvalidActionError(ValueError):
    """An action that is not possible now; the message says which are."""


class GuardError(InvalidActionError):
    """What the incident's state or a guard forbids: nothing was asked wrongly, the answer is no."""

    status, exit = 409, 1


class Ask(NamedTuple):
    """What somebody wants done. `details` holds what the action needs beside its `reason`."""

    incident: Incident
    action: str
    actor: str
    reason: str
    details: Mapping[str, Any]
    policy: Policy
    now: float

    def refuse(self, why: str) -> InvalidActionError:
        """Return the error that says no."""
        return InvalidActionError(why)

    def hold(self, why: str) -> GuardError:
        """Return the error that a guard says no with."""
        return GuardError(why)

    def text(self, name: str, what: str) -> str:
        """Return a detail that must be there."""
        value = str(self.details.get(name) or "").strip()
        if not value:
            raise self.refuse(f"{self.action} on {self.incident.id} needs {what}")
        return value
