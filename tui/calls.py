"""Calls of the synchronous client off the event loop: one thread a kind, never a queue.

A daemon that hangs holds a call for up to the client's time limit. Textual's thread workers run
on the loop's executor, which is joined on exit: quitting would wait for the hung call. These
threads are daemonic, each kind has one, and of the requests that come while a call is under way
only the newest is kept: neither threads nor requests can pile up.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Answer", "Calls"]


@dataclass(frozen=True)
class Answer:
    """What a call came back with: `value`, or the `error` it raised; `seconds` it took."""

    kind: str
    then: Callable[[Any], None]
    otherwise: Callable[[Exception], None] | None
    value: Any = None
    error: Exception | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class _Request:
    work: Callable[[], Any]
    then: Callable[[Any], None]
    otherwise: Callable[[Exception], None] | None


class Calls:
    """Runs calls by kind and hands each Answer to `deliver`, which is called from the threads."""

    def __init__(self, deliver: Callable[[Answer], None]) -> None:
        self._deliver = deliver
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._next: dict[str, _Request] = {}
        self._closed = False

    def busy(self, kind: str) -> bool:
        """Whether a call of this kind is under way."""
        with self._lock:
            return kind in self._busy

    def ask(
        self, kind: str, work: Callable[[], Any], then: Callable[[Any], None],
        otherwise: Callable[[Exception], None] | None = None,
    ) -> None:  # fmt: skip
        """Run `work`; where one of its kind is under way, after that, in place of any waiting."""
        request = _Request(work, then, otherwise)
        with self._lock:
            if self._closed:
                return
            if kind in self._busy:
                self._next[kind] = request
                return
            self._busy.add(kind)
        threading.Thread(
            target=self._run, args=(kind, request), name=f"call-{kind}", daemon=True
        ).start()

    def close(self) -> None:
        """Start nothing more and deliver nothing more."""
        with self._lock:
            self._closed = True
            self._next.clear()

    def _run(self, kind: str, request: _Request | None) -> None:
        while request is not None:
            answer = self._call(kind, request)
            with self._lock:
                closed = self._closed
                request = self._next.pop(kind, None)
                if request is None:
                    self._busy.discard(kind)
            if not closed:
                self._deliver(answer)

    def _call(self, kind: str, request: _Request) -> Answer:
        start = time.monotonic()
        try:
            value = request.work()
        except Exception as error:  # noqa: BLE001 - crosses to the loop, which raises what it doesn't know
            return Answer(kind, request.then, request.otherwise, error=error)
        return Answer(
            kind, request.then, request.otherwise, value, seconds=time.monotonic() - start
        )
