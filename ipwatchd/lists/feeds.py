"""Feeds: which is due, what of it is taken, what is refused. Pure; `fetch` and `keeper` do the I/O.

A feed is somebody else's word: it may shrink to nothing, grow tenfold, list our own networks or
turn into a web page over night. Then the last good one stays, and status says why.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from ipwatchd.lists.compile import network_ranges, overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import FeedSettings
    from ipwatchd.lists.formats import Import, Item

__all__ = ["SPECIAL", "FeedRefusedError", "FeedState", "checksum", "judge", "retry_in"]

SPECIAL: Final = (
    "0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "224.0.0.0/3", "::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8",
)  # fmt: skip
"""Networks that are nobody's abroad (RFC 6890): a list that denies them denies the site itself."""

_FEW: Final = 50
"""Below so many entries a share says nothing: a list of three may become one of one."""
_SHOWN: Final = 3
_RETRY: Final = (60.0, 300.0, 900.0)


class FeedRefusedError(ValueError):
    """A feed that came but is not to be believed."""


class FeedState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of a feed. Times are epoch seconds, 0 is never.

    `entries` and `checksum` are of the last good one, `error` says why the last try was not.
    """

    name: str
    entries: int = 0
    skipped: int = 0
    problems: int = 0
    checksum: str = ""
    etag: str = ""
    modified: str = ""
    tried: float = 0.0
    success: float = 0.0
    changed: float = 0.0
    next: float = 0.0
    failures: int = 0
    error: str = ""


def checksum(data: bytes) -> str:
    """Return what tells two versions of a feed apart."""
    return hashlib.sha256(data).hexdigest()


def retry_in(failures: int, every: float) -> float:
    """Return the seconds until the next try after so many failures in a row."""
    return min(_RETRY[min(failures, len(_RETRY)) - 1], every)


def judge(
    parsed: Import, settings: FeedSettings, own: Sequence[str], before: int
) -> tuple[list[Item], int]:
    """Return the items to take and how many were left out; FeedRefusedError says what is wrong.

    `own` are the site's networks, `before` is how many entries the last good one had.
    """
    items = parsed.entries
    if not items and parsed.problem_count == 0 and before:
        raise FeedRefusedError(f"it names no address any more (it had {before})")
    if len(items) > settings.max_entries:
        raise FeedRefusedError(f"it has {len(items)} entries, over max_entries")
    skipped = 0
    if settings.list == "deny":
        items, skipped = _without_own(items, settings, [*own, *SPECIAL])
    if before >= _FEW and len(items) < before * settings.shrink:
        raise FeedRefusedError(
            f"it shrank from {before} to {len(items)} entries, under shrink ({settings.shrink:g})"
        )
    if before >= _FEW and len(items) > before * settings.growth:
        raise FeedRefusedError(
            f"it grew from {before} to {len(items)} entries, over growth ({settings.growth:g})"
        )
    return items, skipped


def _without_own(
    items: list[Item], settings: FeedSettings, own: Sequence[str]
) -> tuple[list[Item], int]:
    """Return the items that hold no network of ours, and how many do."""
    if not items:
        return items, 0
    hits = overlaps(network_ranges(item.network for item in items), network_ranges(own)).tolist()
    ours = [item for item, hit in zip(items, hits, strict=True) if hit]
    if ours and settings.own == "refuse":
        named = ", ".join(item.network for item in ours[:_SHOWN])
        raise FeedRefusedError(
            f"it lists networks of our own or of nobody abroad ({named}, {len(ours)} in all): "
            'set own = "skip" to take the rest'
        )
    return [item for item, hit in zip(items, hits, strict=True) if not hit], len(ours)
