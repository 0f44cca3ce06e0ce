"""The control API over a state folder, without a daemon: for replayed captures and dead boxes."""

from __future__ import annotations

import asyncio
import errno
import getpass
import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ipwatchd.control.call import Peer
from ipwatchd.control.house import House
from ipwatchd.control.routes import dispatch
from ipwatchd.stores import StateInUseError, Stores, load_effective

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

__all__ = ["StateTransport"]

T = TypeVar("T")

_CLOSED: Final = "the state folder was closed"


class StateTransport:
    """Answers calls from the folder itself; whoever may read the files may ask.

    A folder that a daemon holds, or that can't be written to, is opened for reading only. `now` is
    the wall clock, or the end of what was recorded where that lies in the past: `since:1h` is a
    replayed capture's last hour.
    """

    def __init__(self, state_dir: Path) -> None:
        self._calls: set[asyncio.Task[Any] | None] = set()
        self._closing = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._house = self._run(self._open(state_dir))
        except BaseException:
            self._end()
            raise
        self._now = self._run(self._recorded_until())
        self._peer = Peer(_user(), "admin")

    def _run(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, state_dir: Path) -> House:
        config = load_effective(state_dir)
        try:
            return House(await Stores.open(config, state_dir))
        except OSError as error:
            held = isinstance(error, StateInUseError | PermissionError)
            if not held and error.errno != errno.EROFS:
                raise
            return House(await Stores.open(config, state_dir, read_only=True))

    async def _recorded_until(self) -> float:
        status = await self._house.stores.history.status()
        newest = float(status.get("newest") or 0.0)
        return min(newest, time.time()) if newest else time.time()

    def call(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        """Answer one call; OSError once closed, also of another thread that still waits."""
        with self._closing:
            if self._closed:
                raise OSError(_CLOSED)
            work = self._answer(method, target, body or b"")
            answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return answer.result()
        except CancelledError:
            raise OSError(_CLOSED) from None
        except BaseException:  # Ctrl-C: nobody waits for the answer any more
            answer.cancel()
            raise

    async def _answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Answer one call, as one of those that `close` ends."""
        wall = time.time()
        now = self._now if method == "GET" else wall
        task = asyncio.current_task()
        self._calls.add(task)
        try:
            return await dispatch(self._house, self._peer, method, target, body, now, wall)
        finally:
            self._calls.discard(task)

    def close(self) -> None:
        """End the calls of other threads, then close the stores: no call opens one again."""
        with self._closing:
            self._closed = True
        self._run(self._finish())
        self._end()

    async def _finish(self) -> None:
        calls = [task for task in self._calls if task]
        for task in calls:
            task.cancel()
        if calls:
            await asyncio.wait(calls)
        await self._house.stores.close(time.time())

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return "?"
