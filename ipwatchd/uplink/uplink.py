"""The shell of the uplink: HTTP to the centre, the log and the cursor on this side."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import aiohttp
import msgspec
import structlog

from ipwatchd.records.exchange import (
    EVENTS,
    HEARTBEAT,
    LISTS,
    MAX_ANSWER,
    MAX_BATCH,
    MAX_LISTS,
    Committed,
    Heartbeat,
)
from ipwatchd.uplink import cursor
from ipwatchd.uplink.answers import entries_of, held_of, refusal_of
from ipwatchd.uplink.lease import Lease
from ipwatchd.uplink.protocol import Beat, Delivery, Failed, Held, Listed, Poll, Send, Wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ipwatchd.config import UplinkSettings
    from ipwatchd.records.entry import ListEntry
    from ipwatchd.records.exchange import Acknowledged
    from ipwatchd.records.incident import IncidentEvent
    from ipwatchd.uplink.protocol import Answer

__all__ = ["Source", "Uplink", "UplinkStatus"]

TIMEOUT: Final = aiohttp.ClientTimeout(total=30.0, connect=10.0)
MAX_TOKEN: Final = 4096

_log: Any = structlog.get_logger("uplink")


class Source(Protocol):
    """The log that is delivered: ipwatchd.incidents.Incidents."""

    @property
    def last_seq(self) -> int:
        """Return the number of the newest event."""

    @property
    def public_key(self) -> str:
        """Return the key that events are signed with (hex), or ""."""

    async def after(self, seq: int, limit: int) -> list[IncidentEvent]:
        """Return events after a number, in order."""


class UplinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The way to the centre: `waiting` events are not committed there; `error` is "" when well."""

    url: str
    reachable: bool
    committed: int
    waiting: int
    last_success: float
    error: str
    counters: dict[str, int]


class _SetupError(Exception):
    """The site's own settings keep it from asking."""


class _Reply(NamedTuple):
    status: int
    body: bytes
    tag: str


class Uplink:
    """Delivers a site's events. The daemon owns the task that runs `run`."""

    def __init__(
        self, settings: UplinkSettings, site: str, state_dir: Path, source: Source,
        on_entries: Callable[[list[ListEntry]], Awaitable[None]], *,
        clock: Callable[[], float] = time.time, rng: random.Random | None = None,
        lease: Lease | None = None,
        on_acks: Callable[[Sequence[Acknowledged]], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self._lease = lease or Lease(settings.poll_seconds, hand_over=False)
        self._on_acks = on_acks
        self._settings = settings
        self._site = site
        self._state_dir = Path(state_dir)
        self._source = source
        self._on_entries = on_entries
        self._clock = clock
        self._delivery = Delivery(
            cursor.load(self._state_dir), batch=settings.batch,
            retry_seconds=settings.retry_seconds, poll_seconds=settings.poll_seconds,
            rng=rng or random.Random(),
        )  # fmt: skip
        self._context: ssl.SSLContext | None = None
        self._said = ""
        self.counters = {"requests": 0, "events": 0, "failures": 0, "lists": 0}

    def status(self) -> UplinkStatus:
        """Return how delivery stands."""
        delivery = self._delivery
        return UplinkStatus(
            url=self._settings.url, reachable=delivery.reachable, committed=delivery.committed,
            waiting=max(0, self._source.last_seq - delivery.committed),
            last_success=delivery.last_success, error=delivery.error,
            counters={**self.counters, "rewound": delivery.rewound},
        )  # fmt: skip

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until told to stop; a site without a centre just waits."""
        if not self._settings.url:
            await stop.wait()
            return
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._work(), name="uplink")
            await stop.wait()
            # What the centre committed of a request cut off here is ignored as a repeat later.
            work.cancel()

    async def _work(self) -> None:
        async with aiohttp.ClientSession(
            timeout=TIMEOUT, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            while True:
                await self._step(session)

    async def _step(self, session: aiohttp.ClientSession) -> None:
        now = self._clock()
        command = self._delivery.next(now, self._source.last_seq)
        if isinstance(command, Wait):
            await asyncio.sleep(max(0.0, min(command.until - now, 1.0)))
            return
        before = self._delivery.committed
        try:
            answer = await self._perform(session, command)
        except _SetupError as error:
            answer = Failed(str(error))
        except (OSError, aiohttp.ClientError) as error:
            answer = Failed(_why(error))
        self._delivery.receive(command, answer, self._clock(), self._source.last_seq)
        self.counters["failures"] += isinstance(answer, Failed)
        if self._delivery.committed != before:
            self.counters["events"] += max(0, self._delivery.committed - before)
            self._keep_cursor()
        self._say()

    async def _perform(self, session: aiohttp.ClientSession, command: Send | Beat | Poll) -> Answer:
        if isinstance(command, Send):
            events = await self._source.after(command.after, command.limit)
            reply = await self._ask(session, "POST", EVENTS, _batch(events))
            return held_of(reply.status, reply.body)
        if isinstance(command, Beat):
            return await self._beat(session)
        reply = await self._ask(session, "GET", LISTS, b"", tag=command.tag)
        return await self._take_lists(reply, command.tag)

    async def _beat(self, session: aiohttp.ClientSession) -> Answer:
        """Say that the site is alive, and hear who pages and who answered."""
        asked = self._clock()
        beat = Heartbeat(
            seq=self._source.last_seq, time=asked, key=self._source.public_key,
            lease=self._lease.seconds, hand_over=self._lease.hand_over,
        )  # fmt: skip
        reply = await self._ask(session, "POST", HEARTBEAT, msgspec.json.encode(beat))
        answer = held_of(reply.status, reply.body)
        if isinstance(answer, Held):
            told = msgspec.json.decode(reply.body, type=Committed)
            self._lease.granted(told.pages, asked)
            try:
                if told.acks and self._on_acks:
                    await self._on_acks(told.acks)
            except (ValueError, OSError, sqlite3.Error) as error:  # it was just closed, a full disk
                return Failed(f"an answer that was given at the centre can't be taken: {error}")
        return answer

    async def _take_lists(self, reply: _Reply, tag: str) -> Answer:
        if reply.status == 304:
            return Listed(tag)
        if reply.status != 200:
            return refusal_of(reply.status, reply.body)
        try:
            entries = await asyncio.to_thread(entries_of, reply.body)
            await self._on_entries(entries)
        except (ValueError, OSError) as error:
            return Failed(f"the centre's lists are not in force: {error}")
        self.counters["lists"] += 1
        return Listed(reply.tag)

    async def _ask(
        self, session: aiohttp.ClientSession, method: str, path: str, body: bytes, *, tag: str = ""
    ) -> _Reply:
        self.counters["requests"] += 1
        headers = {
            "Authorization": f"Bearer {self._token()}", "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }  # fmt: skip
        if tag:
            headers["If-None-Match"] = tag
        url = self._settings.url.rstrip("/") + path
        async with session.request(
            method,
            url,
            data=body or None,
            headers=headers,
            ssl=self._trust(),
            allow_redirects=False,
        ) as response:
            limit = MAX_LISTS if path == LISTS else MAX_ANSWER
            answer = await _bounded(response.content, limit)
            return _Reply(response.status, answer, response.headers.get("ETag", "")[:200])

    def _token(self) -> str:
        """Read the token anew each time: a new one counts without a restart."""
        path = self._settings.token_file
        if not path:
            raise _SetupError("[uplink] token_file is empty: ipwatch-central token add makes one")
        try:
            with Path(path).open("rb") as file:
                word = file.read(MAX_TOKEN).strip()
        except OSError as error:
            raise _SetupError(f"can't read the token in {path}: {error.strerror}") from error
        if not word or not all(0x21 <= byte <= 0x7E for byte in word):
            raise _SetupError(f"{path} holds no token: one line is expected")
        return word.decode("ascii")

    def _trust(self) -> ssl.SSLContext | bool:
        """Return what certificates to believe: those of the CA file, else the system's."""
        path = self._settings.ca_file
        if path and self._context is None:
            try:
                self._context = ssl.create_default_context(cafile=path)
            except OSError as error:
                raise _SetupError(f"[uplink] ca_file {path} can't be used: {error}") from error
        return self._context or True

    def _keep_cursor(self) -> None:
        try:
            cursor.save(self._state_dir, self._delivery.committed)
        except OSError as error:
            # Without the file the site sends again after a restart, and the centre ignores it.
            _log.warning("can't keep the cursor", error=str(error))

    def _say(self) -> None:
        """Log one line when delivery fails or changes its reason, one when it works again."""
        error = self._delivery.error
        if error != self._said:
            if error:
                _log.warning("the centre does not take events", why=error)
            else:
                _log.info("the centre takes events again", url=self._settings.url)
        self._said = error


def _batch(events: Sequence[IncidentEvent]) -> bytes:
    """Return events as a JSON array, as many as fit in MAX_BATCH, one at least."""
    parts: list[bytes] = []
    size = 0
    for event in events:
        part = msgspec.json.encode(event)
        if parts and size + len(part) > MAX_BATCH:
            break
        parts.append(part)
        size += len(part) + 1
    return b"[" + b",".join(parts) + b"]"


async def _bounded(stream: aiohttp.StreamReader, limit: int) -> bytes:
    body = bytearray()
    async for part in stream.iter_any():
        body += part
        if len(body) > limit:
            raise OSError(f"the centre answered more than {limit:,} bytes")
    return bytes(body)


def _why(error: OSError | aiohttp.ClientError) -> str:
    if isinstance(error, TimeoutError):
        return f"the centre did not answer within {TIMEOUT.total:.0f} s"
    if isinstance(error, aiohttp.InvalidURL):
        return f"[uplink] url is no URL: {error}"
    return f"the centre can't be reached: {error}" if str(error) else type(error).__name__
