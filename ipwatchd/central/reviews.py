"""Looking back over the incidents of all sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipwatchd.incidents.review import course_of

if TYPE_CHECKING:
    from ipwatchd.central.store import Store
    from ipwatchd.incidents.review import Course
    from ipwatchd.records.incident import Incident

__all__ = ["courses"]


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
