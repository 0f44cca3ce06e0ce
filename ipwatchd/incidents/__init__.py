"""Findings and reports → incidents: an append-only, hash-chained log and what it folds to.

Pure: `chain` (links and their check), `fold` (events → incident), `actions` (what a person may do
in which state), `triage` (severity, priority, class), `grouping` (the same thing grows). `store`
holds the log. The centre shares the pure part, so nothing is imported here until it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipwatchd.incidents.store import Incidents

__all__ = ["Incidents"]


def __getattr__(name: str) -> Any:
    """Import the store when it is first named (PEP 562)."""
    if name == "Incidents":
        from ipwatchd.incidents.store import Incidents

        return Incidents
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
