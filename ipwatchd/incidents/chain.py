"""The chain of a site's incident events: making the next link and checking a run of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ipwatchd.records.incident import GENESIS, IncidentEvent, event_hash, link_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "MAX_BODY", "START", "Broken", "Head", "Verdict", "after", "canonical", "check", "link",
    "plain",
]  # fmt: skip

MAX_BODY: Final = 256 << 10
"""Bytes of one event's body: a detector gone wild or a huge report can't fill disk and line."""


MAX_ACTOR: Final = 200


class Head(NamedTuple):
    """The newest link of a chain; `hash` is what the next event names as `previous`."""

    seq: int
    hash: str


START: Final = Head(0, GENESIS)


class Broken(NamedTuple):
    """The first link that does not hold, and why."""

    seq: int
    why: str


class Verdict(msgspec.Struct, frozen=True):
    """What a check of a whole log found; `first_bad_seq` is None where every link holds."""

    events: int
    first_bad_seq: int | None = None
    why: str = ""


def plain(value: Any) -> Any:
    """Return what JSON can hold of a value that msgspec does not know (its enc_hook)."""
    if hasattr(value, "tolist"):  # a number or an array of numpy, which is not imported here
        return value.tolist()
    return str(value)


def canonical(body: Mapping[str, Any] | msgspec.Struct) -> dict[str, Any]:
    """Return a body as it reads back from JSON, so that its hash is the same before and after.

    Numbers of numpy become plain, NaN becomes null, half a surrogate pair a question mark.
    Raises ValueError where it is larger than MAX_BODY or holds what JSON can't.
    """
    try:
        encoded = msgspec.json.encode(body, enc_hook=plain)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_scrubbed(msgspec.to_builtins(body, enc_hook=plain)))
    except (TypeError, msgspec.MsgspecError) as error:
        raise ValueError(f"an incident event can't hold this: {error}") from error
    if len(encoded) > MAX_BODY:
        raise ValueError(
            f"an incident event of {len(encoded):,} bytes is over the limit of {MAX_BODY:,}: "
            "shorten the text or name the file instead"
        )
    kept: dict[str, Any] = msgspec.json.decode(encoded)
    return kept


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_scrubbed(key): _scrubbed(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(one) for one in value]
    return value


def link(
    site: str, head: Head, *, time: float, incident: str, actor: str, kind: str,
    body: Mapping[str, Any] | msgspec.Struct, sign: Callable[[str], str] | None = None,
) -> IncidentEvent:  # fmt: skip
    """Return the event that comes after `head`, with its hash and, given `sign`, its signature."""
    event = IncidentEvent(
        site=site, seq=head.seq + 1, time=float(time), incident=incident,
        actor=_scrubbed(actor[:MAX_ACTOR]), kind=kind,
        body=canonical(body), previous=head.hash, hash="",
    )  # fmt: skip
    digest = event_hash(event)
    return msgspec.structs.replace(event, hash=digest, signature=sign(digest) if sign else "")


def after(event: IncidentEvent) -> Head:
    """Return the head of the chain that ends with an event."""
    return Head(event.seq, link_hash(event.hash, event.signature))


def check(
    site: str, events: Iterable[IncidentEvent], head: Head = START
) -> tuple[Head, Broken | None]:
    """Follow a run of events from `head`; return where it got to and the first bad link."""
    for event in events:
        why = _flaw(site, event, head)
        if why:
            return head, Broken(event.seq, why)
        head = after(event)
    return head, None


def _flaw(site: str, event: IncidentEvent, head: Head) -> str:
    if event.seq != head.seq + 1:
        return f"event {head.seq + 1} is missing: {event.seq} follows {head.seq}"
    if event.site != site:
        return f"event {event.seq} is of site {event.site}, not of {site}"
    if event.previous != head.hash:
        return f"event {event.seq} does not follow from event {head.seq}: one of them was changed"
    if event_hash(event) != event.hash:
        return f"event {event.seq} was changed: its hash is not that of its content"
    return ""
