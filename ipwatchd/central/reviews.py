"""Looking back over the incidents of all sites."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from ipwatchd.incidents.review import course_of, trends
from ipwatchd.incidents.review.pages import period_page

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from ipwatchd.central.store import Store
    from ipwatchd.incidents.review import Course
    from ipwatchd.records.incident import Incident

__all__ = ["courses", "period_of_all"]


async def period_of_all(
    store: Store, since: float, until: float, zone: ZoneInfo, now: float, *, marking: str
) -> str:
    """Return the report of a period over all sites as HTML."""
    found = await asyncio.to_thread(trends, await courses(store, since), since, until, zone)
    return await asyncio.to_thread(
        partial(period_page, found, "all sites", zone, now, marking=marking)
    )


async def courses(store: Store, since: float) -> list[Course]:
    """Return the courses of the incidents that are open or changed since then."""
    by_site: dict[str, list[Incident]] = {}
    for one in await store.touched(since):
        by_site.setdefault(one.site, []).append(one)
    found = []
    for site, held in by_site.items():
        moves = await store.moves(site, [one.id for one in held])
        found += [course_of(one, moves.get(one.id, ())) for one in held]
    return found
