"""The control API over a state folder, without a daemon: for replayed captures and dead boxes."""

from __future__ import annotations

import asyncio
import errno
import getpass
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from ipwatchd.control.call import Peer
from ipwatchd.control.house import House
from ipwatchd.control.routes import dispatch
from ipwatchd.stores import StateInUseError, Stores, load_effective

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

__all__ = ["StateTransport"]

T = TypeVar("T")


class StateTransport:
    """Answers calls from the folder itself; whoever may read the files may ask.

    A folder that a daemon holds, or that can't be written to, is opened for reading only. `now` is
    the wall clock, or the end of what was recorded where that lies in the past: `since:1h` is a
    replayed capture's last hour.
    """

    def __init__(self, state_dir: Path) -> None:
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
        """Answer one call."""
        wall = time.time()
        now = self._now if method == "GET" else wall
        work = dispatch(self._house, self._peer, method, target, body or b"", now, wall)
        answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return answer.result()
        except BaseException:  # Ctrl-C: nobody waits for the answer any more
            answer.cancel()
            raise

    def close(self) -> None:
        """Close the stores."""
        self._run(self._house.stores.close(time.time()))
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return "?"
