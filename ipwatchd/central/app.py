"""The collector's HTTP face (records.exchange says what is spoken)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from ipwatchd.central.intake import Conflict, Gap, flaw
from ipwatchd.central.tokens import bearer, digest
from ipwatchd.records.exchange import (
    EVENTS,
    HEARTBEAT,
    LISTS,
    MAX_REQUEST,
    Committed,
    Entries,
    Heartbeat,
    Refusal,
)
from ipwatchd.records.incident import IncidentEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ipwatchd.central.intake import Decision
    from ipwatchd.central.store import Store
    from ipwatchd.central.watch import Watch

__all__ = ["Collector"]

BODY_SECONDS: Final = 30.0
"""Time for a request's body: one that trickles in can't hold a connection for ever."""

_BATCH: Final = msgspec.json.Decoder(list[IncidentEvent])
_BEAT: Final = msgspec.json.Decoder(Heartbeat)


class Collector:
    """The requests of all sites over one store."""

    def __init__(
        self, store: Store, clock: Callable[[], float] = time.time, watch: Watch | None = None
    ) -> None:
        self._store = store
        self._watch = watch
        self._clock = clock

    def app(self) -> web.Application:
        """Return the application; the store stays the caller's to close."""
        app = web.Application(client_max_size=MAX_REQUEST)
        app.router.add_post(EVENTS, self._for_site(self._events))
        app.router.add_post(HEARTBEAT, self._for_site(self._heartbeat))
        app.router.add_get(LISTS, self._for_site(self._lists))
        return app

    def _for_site(
        self, answer: Callable[[str, web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Let in who has a valid token, before a byte of the body is read; name what goes wrong."""

        async def handler(request: web.Request) -> web.Response:
            token = bearer(request.headers.get("Authorization", ""))
            try:
                site = await self._store.site_of(digest(token)) if token else None
                if site is None:
                    return _refuse(401, "no valid token: ipwatch-central token add SITE makes one")
                return await answer(site, request)
            except msgspec.MsgspecError as error:
                return _refuse(400, f"not understood: {error}")
            except TimeoutError:
                return _refuse(408, f"the body did not arrive within {BODY_SECONDS:.0f} s")
            except OSError as error:
                return _refuse(503, f"the centre can't record now: {error.strerror or error}")

        return handler

    async def _events(self, site: str, request: web.Request) -> web.Response:
        events = _BATCH.decode(await _body(request))
        if any(event.site != site for event in events):
            return _refuse(403, f"this token is for site {site} and no other")
        key = await self._store.key_of(site)
        why = await asyncio.to_thread(flaw, site, events, key)
        if why:
            return _refuse(400, why)
        return _answer(await self._store.receive(site, events, self._clock()))

    async def _heartbeat(self, site: str, request: web.Request) -> web.Response:
        beat = _BEAT.decode(await _body(request))
        seq = await self._store.heartbeat(site, beat, self._clock())
        watch = self._watch
        if watch is None:
            return _json(200, Committed(seq))
        pages = watch.grant(beat.lease) if beat.hand_over else 0.0
        return _json(200, Committed(seq, pages, watch.acks(site)))

    async def _lists(self, site: str, request: web.Request) -> web.Response:
        rows = await self._store.entries(self._clock(), site=site)
        entries = [row.entry for row in rows]
        version = hashlib.sha256(msgspec.json.encode(entries)).hexdigest()[:32]
        tag = f'"{version}"'
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return _json(200, Entries(version, entries), {"ETag": tag})


def _answer(decision: Decision) -> web.Response:
    if isinstance(decision, Gap):
        text = f"event {decision.expected} must come first"
        return _json(409, Refusal(text, expected=decision.expected))
    if isinstance(decision, Conflict):
        text = (
            f"the centre holds another event {decision.seq} of this site: its log was put back or "
            "forged. Give the site a new name to go on"
        )
        return _json(409, Refusal(text, conflict=decision.seq))
    return _json(200, Committed(decision.head.seq))


async def _body(request: web.Request) -> bytes:
    async with asyncio.timeout(BODY_SECONDS):
        return await request.read()


def _refuse(status: int, why: str) -> web.Response:
    return _json(status, Refusal(why[:2000]))


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(body), content_type="application/json",
        headers=headers,
    )  # fmt: skip
