"""The report of a period of a site, from its log: what the CLI, the TUI and the schedule make."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from ipwatchd.incidents.review.course import course_of
from ipwatchd.incidents.review.pages import period_page
from ipwatchd.incidents.review.trends import trends

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ipwatchd.incidents import Incidents

__all__ = ["period_html"]


async def period_html(
    incidents: Incidents, site: str, since: float, until: float, zone: ZoneInfo, now: float, *,
    own: str = "", marking: str = "TLP:AMBER",
) -> str:  # fmt: skip
    """Return the report of since ≤ t < until as HTML."""
    held = await incidents.touched(since)
    moves = await incidents.moves([one.id for one in held])
    courses = [course_of(one, moves.get(one.id, ())) for one in held]
    found = await asyncio.to_thread(trends, courses, since, until, zone)
    return await asyncio.to_thread(
        partial(period_page, found, site, zone, now, own, marking=marking)
    )
