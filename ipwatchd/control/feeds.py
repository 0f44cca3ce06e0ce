"""Calls that show the feeds and look at one now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ipwatchd.control.call import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from ipwatchd.control.call import Call
    from ipwatchd.control.house import House
    from ipwatchd.lists import FeedKeeper

__all__ = ["listed", "refresh"]


def _feeds(house: House) -> FeedKeeper:
    if house.live is None or house.live.feeds is None:
        raise UnavailableError("no feeds are looked after here: this needs the daemon")
    return house.live.feeds


async def listed(house: House, call: Call) -> list[dict[str, Any]]:
    """Answer GET feeds: what is known of each."""
    del call
    # Stable: every field is told, also where it is nothing.
    return [
        {field: getattr(one, field) for field in one.__struct_fields__}
        for one in _feeds(house).status()
    ]


async def refresh(house: House, call: Call) -> dict[str, Any]:
    """Answer POST feeds/NAME/refresh: look now; force=true takes it whatever its size."""
    feeds, name = _feeds(house), call.names["name"]
    asked = msgspec.convert(call.body or {}, dict[str, bool])
    try:
        changed = await feeds.refresh(name, call.now, force=asked.get("force", False))
    except KeyError:
        known = ", ".join(one.name for one in feeds.status()) or "none"
        raise NotFoundError(f"there is no feed {name!r}; configured: {known}") from None
    if changed and house.live and house.live.enforcement:
        await house.live.enforcement.sync(call.now)
    state = next(one for one in feeds.status() if one.name == name)
    if state.error:
        raise ValueError(f"feed {name}: {state.error}; the last good one stays")
    return {"name": name, "changed": changed, "entries": state.entries}
