"""What may become an entry: canonical network, bounded texts, sane times, nobody locked out. Pure.

Bounds and the attack each stops: RESPONSES, a sender of forged source addresses who makes automatic
responses fill the lists and the kernel's memory; ENTRIES, a feed grown a thousandfold; TEXT, a log
line of a megabyte as somebody's reason.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.lists.compile import network_ranges, overlaps
from ipwatchd.records.entry import LISTS
from ipwatchd.records.network import is_selector, network_ends

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ipwatchd.records.address import IPNetwork
    from ipwatchd.records.entry import ListEntry

__all__ = [
    "ENTRIES", "LATEST", "RESPONSES", "FullError", "LockOutError", "Span", "admit", "moment",
    "spans", "touches", "until",
]  # fmt: skip

ENTRIES: Final = 2_000_000
RESPONSES: Final = 20_000
TEXT: Final = 500
LATEST: Final = 7_258_118_400.0
"""2200-01-01, the latest end of an entry: nanoseconds of it still fit 63 bits."""


class LockOutError(ValueError):
    """A deny that would touch a management network and was not forced."""


class FullError(ValueError):
    """A list that holds as many entries as it may."""


class Span(NamedTuple):
    """First and last address of a network, 16 bytes each, in an order that memcmp keeps."""

    first: bytes
    last: bytes


def spans(networks: Iterable[str | IPNetwork]) -> list[Span]:
    """Return the ends of networks."""
    return [
        Span(
            (first_hi << 64 | first_lo).to_bytes(16, "big"),
            (last_hi << 64 | last_lo).to_bytes(16, "big"),
        )
        for first_hi, first_lo, last_hi, last_lo, _ in network_ranges(
            "::" if isinstance(one, str) and is_selector(one) else one for one in networks
        ).tolist()
    ]


def admit(
    entry: ListEntry, *, now: float, force: bool = False, services: Collection[str] = ()
) -> None:
    """Raise ValueError with the sentence that says why an entry (canonical network) can't be."""
    if entry.list not in LISTS:
        raise ValueError(f"there is no list {entry.list!r}: use {' or '.join(LISTS)}")
    if entry.scope != "site" and entry.scope not in services:
        known = ", ".join(sorted(services)) or "none"
        raise ValueError(
            f"there is no service {entry.scope[:40]!r} in the configuration (known: {known}): "
            "leave it out for the whole site"
        )
    if not entry.reason:
        raise ValueError(f"say why {entry.network} goes on the {entry.list} list: a reason is due")
    if not entry.author:
        raise ValueError(f"say who puts {entry.network} on the {entry.list} list: author is empty")
    if max(map(len, (entry.reason, entry.author, entry.ticket, entry.source))) > TEXT:
        raise ValueError(f"a text of the entry for {entry.network} is over {TEXT} characters")
    _admit_times(entry, now)
    if not force and _is_huge(entry.network):
        much = "every address" if entry.network.endswith("/0") else "half of all addresses"
        raise ValueError(
            f"{entry.network} is {much} there is: name a smaller network, or use --force"
        )


def _is_huge(network: str) -> bool:
    """Tell /0, /1 and ranges as large: two of them, or one that leaves an address out, are all."""
    if network.endswith(("/0", "/1")):
        return True
    if "-" not in network:
        return False
    ends = network_ends(network)
    if ends is None:
        return False
    hosts = (ends[1][0] - ends[0][0] << 64) + ends[1][1] - ends[0][1] + 1
    return hosts >= 1 << (127 if ":" in network else 31)


def _admit_times(entry: ListEntry, now: float) -> None:
    if not math.isfinite(entry.expires) or not 0 <= entry.expires <= LATEST:
        raise ValueError(f"{entry.expires} is no time an entry can end at (0 is never)")
    if 0 < entry.expires <= now:
        raise ValueError(
            f"the entry for {entry.network} ended at {moment(entry.expires)}, before it began: "
            "give a later time"
        )
    if entry.source.startswith("response:") and entry.list == "deny" and not entry.expires:
        raise ValueError(f"the deny of {entry.network} by {entry.source} must have an end")


def touches(
    network: str, management: Sequence[str], stands_for: NDArray[np.void] | None = None
) -> str:
    """Return the first of `management` that shares an address with `network`, or "".

    `stands_for` is what a selector means now; without it a selector touches nobody.
    """
    if stands_for is None and not is_selector(network):
        stands_for = network_ranges([network])
    if stands_for is None or not len(stands_for):
        return ""
    return next(
        (name for name in management if overlaps(stands_for, network_ranges([name])).any()), ""
    )


def moment(seconds: float) -> str:
    """Return a time as people read it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def until(expires: float) -> str:
    """Return how long an entry stands, in words."""
    return f"until {moment(expires)}" if expires else "for good"
