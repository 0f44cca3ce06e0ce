"""How long a repeat offender is denied. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipwatchd.config.settings import IncidentSettings

__all__ = ["ban_seconds"]


def ban_seconds(settings: IncidentSettings, before: int) -> float:
    """Return the seconds of a deny by a response where there were so many before it."""
    most = settings.deny_most_seconds
    if settings.deny_seconds >= most:
        return most
    seconds = settings.deny_seconds
    for _ in range(before):
        seconds *= settings.deny_factor
        if seconds >= most or settings.deny_factor == 1:
            return min(seconds, most)
    return seconds
