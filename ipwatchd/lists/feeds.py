"""Feeds: which is due, what of it is taken, what is refused. Pure; `fetch` and `keeper` do the I/O.

A feed is somebody else's word: it may shrink to nothing, grow tenfold, list our own networks or
turn into a web page over night. Then the last good one stays, and status says why.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from ipwatchd.lists.compile import network_ranges, overlaps
from ipwatchd.records.address import is_v4

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.config.settings import FeedSettings
    from ipwatchd.lists.block import Block

__all__ = ["SPECIAL", "FeedRefusedError", "FeedState", "checksum", "judge", "retry_in"]

SPECIAL: Final = (
    "0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
    "224.0.0.0/3", "::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8",
)  # fmt: skip
"""Networks that are nobody's abroad (RFC 6890): a list that denies them denies the site itself."""

_FEW: Final = 50
"""Below so many entries a share says nothing: a list of three may become one of one."""
_SHOWN: Final = 3
_V4_MOST: Final = 1 << 24
_V6_MOST: Final = 1 << 57
"""In the upper half of an address: the width of a /7."""
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
    block: Block, settings: FeedSettings, own: Sequence[str], before: int
) -> tuple[Block, int]:
    """Return the rows to take and how many were left out; FeedRefusedError says what is wrong.

    `own` are the site's networks, `before` is how many entries the last good one had.
    """
    if not len(block) and before:
        raise FeedRefusedError(f"it names no address any more (it had {before})")
    if len(block) > settings.max_entries:
        raise FeedRefusedError(f"it has {len(block)} entries, over max_entries")
    skipped = 0
    if settings.list == "deny":
        block, skipped = _without_own(block, settings, [*own, *SPECIAL])
    else:
        _refuse_blanket(block)
    if before >= _FEW and len(block) < before * settings.shrink:
        raise FeedRefusedError(
            f"it shrank from {before} to {len(block)} entries, under shrink ({settings.shrink:g})"
        )
    if before >= _FEW and len(block) > before * settings.growth:
        raise FeedRefusedError(
            f"it grew from {before} to {len(block)} entries, over growth ({settings.growth:g})"
        )
    return block, skipped


def _refuse_blanket(block: Block) -> None:
    """Refuse an allow list that lets a large part of the Internet past every deny."""
    ranges = block.ranges
    hosts = ranges["last_lo"] - ranges["first_lo"]
    four = is_v4(ranges["first_hi"], ranges["first_lo"])
    blanket = (four & (hosts >= _V4_MOST)) | (
        ~four & (ranges["last_hi"] - ranges["first_hi"] >= _V6_MOST)
    )
    if blanket.any():
        row = int(np.flatnonzero(blanket)[0])
        raise FeedRefusedError(
            f"it allows {block.entry(row, '', 'allow').network}, wider than /8 (IPv6: /7): no "
            "service is so large, and whatever is denied there would pass"
        )


def _without_own(block: Block, settings: FeedSettings, own: Sequence[str]) -> tuple[Block, int]:
    """Return the rows that hold no network of ours, and how many do."""
    hits = overlaps(block.ranges, network_ranges(own))
    ours = np.flatnonzero(hits)
    if len(ours) and settings.own == "refuse":
        shown = (block.entry(row, "", "deny").network for row in ours[:_SHOWN].tolist())
        raise FeedRefusedError(
            f"it lists networks of our own or of nobody abroad ({', '.join(shown)}, {len(ours)} in "
            'all): set own = "skip" to take the rest'
        )
    return block.take(~hits), len(ours)
