"""What a site and the centre say to each other over HTTP: paths, bodies in JSON, and their bounds.

    POST /v1/events     list of IncidentEvent → 200 Committed, 409 Refusal (a gap or another chain)
    POST /v1/heartbeat  Heartbeat → 200 Committed
    GET  /v1/lists      → 200 Entries with an ETag, 304 where If-None-Match has it

Every request carries `Authorization: Bearer TOKEN`; the token says which site it is.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ipwatchd.records.entry import ListEntry  # noqa: TC001 - msgspec reads it at run time

__all__ = [
    "EVENTS", "HEARTBEAT", "LISTS", "MAX_ANSWER", "MAX_BATCH", "MAX_ENTRIES", "MAX_LISTS",
    "MAX_REQUEST", "Acknowledged", "Committed", "Entries", "Heartbeat", "Refusal",
]  # fmt: skip

EVENTS: Final = "/v1/events"
HEARTBEAT: Final = "/v1/heartbeat"
LISTS: Final = "/v1/lists"

MAX_REQUEST: Final = 4 << 20
"""Bytes the centre reads of one request: one site can't fill its memory."""
MAX_BATCH: Final = 1_000_000
"""Bytes of events a site puts in one request, well under what the centre reads."""
MAX_ANSWER: Final = 64 << 10
"""Bytes a site reads of an answer to events or heartbeat."""
MAX_LISTS: Final = 32 << 20
MAX_ENTRIES: Final = 50_000
"""What a site takes from the centre as lists: a broken centre can't fill memory or firewall."""

Seq = Annotated[int, Meta(ge=0, le=(1 << 62))]
Text = Annotated[str, Meta(max_length=2000)]


class Acknowledged(msgspec.Struct, frozen=True):
    """Somebody answered at the centre for an incident of this site."""

    incident: Annotated[str, Meta(max_length=100)]
    by: Annotated[str, Meta(max_length=200)]
    time: float


class Committed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The number of the newest event of this site that is on the centre's disk.

    To a heartbeat also: for how many seconds the centre pages in this site's place (0: it does
    not), and who answered there.
    """

    committed: Seq
    pages: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    acks: Annotated[tuple[Acknowledged, ...], Meta(max_length=200)] = ()


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a batch was not taken.

    `expected` is the event that must come next, where there is a gap before it; `conflict` is the
    event that the centre holds with other content.
    """

    error: Text
    expected: Annotated[int, Meta(ge=1, le=(1 << 62))] | None = None
    conflict: Seq | None = None


class Heartbeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A site is alive: its newest event, its clock (epoch s), and the public key it signs with.

    `lease` is for how many seconds it pages by itself, whatever becomes of the line; `hand_over`
    asks the centre to page in its place.
    """

    seq: Seq
    time: float
    version: Annotated[str, Meta(max_length=100)] = ""
    key: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    lease: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    hand_over: bool = False


class Entries(msgspec.Struct, frozen=True):
    """All list entries that the centre has for a site; they replace those it had before."""

    version: Annotated[str, Meta(max_length=100)]
    entries: list[ListEntry]
