"""The policy: what the firewall shall hold, compiled from the lists; ranges, merged and sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LISTS", "RANGE", "Policy", "ServicePolicy", "contains", "empty_ranges"]

LISTS: Final = ("management", "allow", "deny", "bulk_allow", "bulk_deny")

RANGE: Final = np.dtype(
    [
        ("first_hi", "<u8"),
        ("first_lo", "<u8"),
        ("last_hi", "<u8"),
        ("last_lo", "<u8"),
        ("expires", "<i8"),
    ]
)
"""An inclusive range of addresses (records.address) and when it ends (epoch ns, 0 is never)."""


class ServicePolicy(NamedTuple):
    """Who may use a service: `protocol` (IP number), `ports` (first, last), `to` (none: anywhere).

    `allow` and `deny` are of this service alone. With `only_allowed` whoever no entry allows, for
    the service or the whole site, is stopped.
    """

    name: str
    protocol: int
    ports: tuple[tuple[int, int], ...]
    only_allowed: bool
    to: NDArray[np.void]
    allow: NDArray[np.void]
    deny: NDArray[np.void]

    def rules(self) -> tuple[object, ...]:
        """Return what the rules of it are made of, beside the elements of its sets."""
        return self.name, self.protocol, self.ports, self.only_allowed, len(self.to) > 0


class Policy(NamedTuple):
    """The desired state of the kernel. Arrays of dtype RANGE: sorted, disjoint, one family a range.

    `management` is what no deny may ever reach (config). `allow` and `deny` are what people and
    responses entered, `bulk_allow` and `bulk_deny` what comes in masses (feeds, the centre,
    imports); the two may overlap, and both count. One array object stays the same from policy to
    policy while its list does: who compares policies need not read a million rows.
    `enforce_until` (epoch seconds, 0 is for good): then the kernel by itself drops no more.
    `enforce_from` (epoch seconds, 0 is now): until then it observes, then by itself it drops.
    """

    mode: str
    management: NDArray[np.void]
    allow: NDArray[np.void]
    deny: NDArray[np.void]
    bulk_allow: NDArray[np.void] = np.zeros(0, RANGE)
    bulk_deny: NDArray[np.void] = np.zeros(0, RANGE)
    enforce_until: float = 0.0
    services: tuple[ServicePolicy, ...] = ()
    enforce_from: float = 0.0

    def does(self, now: float) -> str:
        """Return the mode that the kernel is in at `now`."""
        waits = now < self.enforce_from or 0 < self.enforce_until <= now
        return "observe" if self.mode == "enforce" and waits else self.mode

    def lists(self) -> dict[str, NDArray[np.void]]:
        """Return every list by name, those of services as on-NAME-to, -allow, -deny."""
        found = {name: getattr(self, name) for name in LISTS}
        for one in self.services:
            for part in ("to", "allow", "deny"):
                found[f"on-{one.name}-{part}"] = getattr(one, part)
        return found


def empty_ranges() -> NDArray[np.void]:
    """Return no ranges."""
    return np.zeros(0, RANGE)


def contains(
    ranges: NDArray[np.void], hi: NDArray[np.uint64], lo: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Tell which addresses lie in sorted, disjoint ranges; expiry is the compiler's business."""
    if not len(ranges) or not len(hi):
        return np.zeros(len(hi), np.bool_)
    place = _last_not_after(ranges, hi, lo)
    found = ranges[np.maximum(place, 0)]
    below = (hi < found["last_hi"]) | ((hi == found["last_hi"]) & (lo <= found["last_lo"]))
    inside: NDArray[np.bool_] = (place >= 0) & below
    return inside


def _last_not_after(
    ranges: NDArray[np.void], hi: NDArray[np.uint64], lo: NDArray[np.uint64]
) -> NDArray[np.intp]:
    """Return for each address the index of the last range that starts at or before it, or -1."""
    starts = np.concatenate([ranges["first_hi"], hi])
    lows = np.concatenate([ranges["first_lo"], lo])
    # Equal keys: the range (rank 0) sorts before the address (rank 1), which it then holds.
    rank = np.concatenate([np.zeros(len(ranges), np.uint8), np.ones(len(hi), np.uint8)])
    order = np.lexsort((rank, lows, starts))
    started = np.cumsum(order < len(ranges)) - 1
    place = np.empty(len(order), np.intp)
    place[order] = started
    return place[len(ranges) :]
