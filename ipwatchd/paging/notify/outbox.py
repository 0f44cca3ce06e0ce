"""What waits to leave: a line for each place, tries with growing waits, floods joined into one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from ipwatchd.paging.notify.send import SendError
from ipwatchd.paging.notify.send import send as send_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from ipwatchd.records.paging import Channel, Message

__all__ = ["Outbox"]

WAITING: Final = 10_000
"""Messages that wait: a storm of incidents while the mail server is away can't fill the memory.
What is shed stays on its way in the log, and escalation goes on to the next step."""
JOINED: Final = 5
"""More than so many for one place leave as one message."""
AT_ONCE: Final = 50
"""Messages that one message lists at most."""
SENDING: Final = 16
PAGE: Final = "page"
LONGEST: Final = 60.0
"""Seconds between two tries at most."""


class _Place(NamedTuple):
    """Where a line of messages goes; what is urgent never waits behind what is not."""

    channel: str
    to: str
    urgent: bool
    kind: str


class Outbox:
    """Sends for one site. `counters` says what was sent, tried again, given up, and shed."""

    def __init__(
        self, channels: Mapping[str, Channel],
        done: Callable[[Message, bool, str, int], Awaitable[None]], *,
        send: Callable[[Channel, Message], Awaitable[None]] = send_now,
    ) -> None:  # fmt: skip
        self.channels = channels
        self._done = done
        self._send = send
        self._lines: dict[_Place, deque[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._urgent = asyncio.Semaphore(SENDING)
        self._other = asyncio.Semaphore(SENDING)
        self.counters = {"sent": 0, "tried_again": 0, "failed": 0, "shed": 0, "joined": 0}
        self._withdrawn: dict[tuple[str, int], None] = {}
        self.troubles: dict[str, str] = {}
        """channel → why it did not take the newest message; gone when it takes one again"""

    @property
    def waiting(self) -> int:
        """Return how many messages have not left yet."""
        return sum(len(line) for line in self._lines.values())

    def put(self, message: Message) -> bool:
        """Have a message sent; False where too many wait."""
        place = _Place(message.channel, message.to, message.priority == "P1", message.kind)
        if self.waiting >= WAITING and not place.urgent:
            self.counters["shed"] += 1
            return False
        line = self._lines.get(place)
        if line is None:
            self._lines[place] = line = deque(maxlen=WAITING)
            task = asyncio.create_task(self._work(place, line), name=f"page {place.channel}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        line.append(message)
        return True

    def withdraw(self, incident: str, numbers: Iterable[int]) -> None:
        """Stop letters that have not left; what is being handed over right now may yet leave."""
        for number in numbers:
            self._withdrawn[(incident, number)] = None
        while len(self._withdrawn) > WAITING:
            del self._withdrawn[next(iter(self._withdrawn))]

    def _is_withdrawn(self, message: Message) -> bool:
        return message.kind != PAGE and (message.incident, message.page) in self._withdrawn

    async def close(self) -> None:
        """Stop; what has not left is on its way in the log, and leaves after the next start."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lines.clear()

    async def _work(self, place: _Place, line: deque[Message]) -> None:
        """Send a line's messages until none is left."""
        # Give what else is put in the same breath a chance to be joined.
        await asyncio.sleep(0)
        while line:
            # A letter is for one reader under one marking: it is never joined with another.
            many = len(line) > JOINED and place.kind == PAGE
            batch = [line.popleft() for _ in range(min(len(line), AT_ONCE) if many else 1)]
            await self._deliver(place, batch)
        del self._lines[place]

    async def _deliver(self, place: _Place, batch: Sequence[Message]) -> None:
        channel = self.channels.get(place.channel)
        message = batch[0] if len(batch) == 1 else _joined(batch)
        self.counters["joined"] += len(batch) - 1
        tries, why = 0, f"there is no channel {place.channel!r} any more"
        while channel and tries < channel.tries and not self._is_withdrawn(message):
            if tries:
                self.counters["tried_again"] += 1
                await asyncio.sleep(min(LONGEST, channel.retry * 2 ** (tries - 1)))
            tries += 1
            try:
                async with self._urgent if place.urgent else self._other:
                    await self._send(channel, message)
            except SendError as error:
                why = str(error)
                self.troubles[place.channel] = why
            else:
                self.troubles.pop(place.channel, None)
                why = ""
                break
        self.counters["failed" if why else "sent"] += len(batch)
        for one in batch:
            await self._done(one, not why, why, tries)


def _joined(batch: Sequence[Message]) -> Message:
    """Return one message that stands for many, the most urgent at its head."""
    ranked = sorted(batch, key=lambda one: one.priority)
    first = ranked[0]
    lines = "\n".join(f"{one.subject}  {one.link}".rstrip() for one in ranked)
    return replace(
        first, refs=tuple(one.ref for one in ranked[1:] if one.ref),
        subject=f"{len(batch)} pages, first: {first.subject}",
        body=f"{len(batch)} pages at once:\n\n{lines}\n\nThe first of them:\n\n{first.body}",
    )  # fmt: skip
