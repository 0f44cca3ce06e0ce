"""What the centre does with a batch of a site's events: take, ignore as a repeat, or refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ipwatchd.incidents.chain import Head, after, check
from ipwatchd.incidents.signing import fingerprint, is_signed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipwatchd.records.incident import IncidentEvent

__all__ = ["Accept", "Conflict", "Decision", "Gap", "decide", "flaw"]


class Accept(NamedTuple):
    """Store `fresh` (repeats are left out); `head` is the chain's end then."""

    fresh: Sequence[IncidentEvent]
    head: Head


class Gap(NamedTuple):
    """Refuse: the event `expected` must come first."""

    expected: int


class Conflict(NamedTuple):
    """Refuse: the site has another event `seq` than the one that is held here."""

    seq: int
    held: str
    offered: str


MAX_SEQ: Final = 1 << 62

Decision = Accept | Gap | Conflict


def flaw(site: str, events: Sequence[IncidentEvent], key: str = "") -> str:
    """Return why a batch can't be a piece of a site's chain, "" where it can.

    `key` is the public key that the site showed first: the last signature vouches for the batch.
    """
    if not events:
        return ""
    first = events[0]
    if not 1 <= first.seq <= MAX_SEQ:
        return f"event {first.seq} can't be: the first is 1"
    _, broken = check(site, events, Head(first.seq - 1, first.previous))
    if broken:
        return broken.why
    last = events[-1]
    if key and not is_signed(key, last.hash, last.signature):
        return (
            f"event {last.seq} is not signed with the key that this site showed first "
            f"({fingerprint(key)})"
        )
    return ""


def decide(head: Head, held: Mapping[int, str], events: Sequence[IncidentEvent]) -> Decision:
    """Decide on a batch without a flaw.

    `head` is the stored end of the chain, `held` seq → hash of what is stored of the batch's span.
    """
    if events and events[0].seq > head.seq + 1:
        return Gap(head.seq + 1)
    for event in events:
        if event.seq <= head.seq and held.get(event.seq) != event.hash:
            return Conflict(event.seq, held.get(event.seq, ""), event.hash)
    fresh = [event for event in events if event.seq > head.seq]
    if not fresh:
        return Accept((), head)
    if fresh[0].previous != head.hash:
        return Conflict(head.seq, head.hash, fresh[0].previous)
    return Accept(fresh, after(fresh[-1]))
