"""The bounded way from capture threads into the event loop. Nothing here ever blocks the ring."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipwatchd.capture import Capture

__all__ = ["Inbox"]

_ROWS: Final = 2_000_000
"""Flows and events that may wait: a flood of short flows would else fill the memory while the
disk is slow. About 230 MB at the most."""


class Inbox:
    """A queue of deliveries, counted in rows; what does not fit is shed and counted."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, rows: int = _ROWS) -> None:
        self._loop = loop
        self._limit = rows
        self._waiting: deque[Capture] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        self._filled = asyncio.Event()
        self._closed = False
        self.flows_shed = 0
        self.events_shed = 0

    def put(self, capture: Capture) -> None:
        """Take a delivery from any thread; never waits."""
        rows = len(capture.flows) + len(capture.events)
        with self._lock:
            if self._rows + rows > self._limit:
                self.flows_shed += len(capture.flows)
                self.events_shed += len(capture.events)
                return
            self._waiting.append(capture)
            self._rows += rows
        self._loop.call_soon_threadsafe(self._filled.set)

    def close(self) -> None:
        """Let the reader end once it has read all that was put."""
        self._closed = True
        self._filled.set()

    async def get(self) -> Capture | None:
        """Return the next delivery, or None after `close` when all is read."""
        while True:
            with self._lock:
                if self._waiting:
                    capture = self._waiting.popleft()
                    self._rows -= len(capture.flows) + len(capture.events)
                    return capture
                if self._closed:
                    return None
                self._filled.clear()
            await self._filled.wait()
