"""The door to the child: a bounded queue, a budget, a time limit, a new child for a dead one."""

from __future__ import annotations

import hashlib
import select
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ipwatchd.capture.rich.answers import KINDS, AnswerError, ask, read
from ipwatchd.capture.rich.budget import Budget
from ipwatchd.capture.rich.counters import RichCounters
from ipwatchd.capture.rich.frames import FrameError, Frames, frame
from ipwatchd.capture.rich.process import COMMAND, Child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.records.event import AnyEvent

__all__ = ["Rich"]

MAX_MESSAGE: Final = 16_384
"""Bytes of a message; longer ones are counted as malformed."""
QUEUE: Final = 512
"""Messages that wait. Stops a burst from being worked off long after it mattered."""
_WINDOW: Final = 16
"""Messages written ahead, so that the child need not wait for us."""
LIMIT: Final = 2.0
"""Seconds a child may take over one message before it is taken to hang."""
_START_LIMIT: Final = 30.0
LIVES: Final = 8
"""Children that may die in a row; one more is granted a minute. Stops whoever found a packet that
kills the child from making us start one after the other."""
_CERTIFICATES: Final = 1024
"""Certificates whose answer is remembered: a busy server shows the same one all day."""
_READY: Final = b"ready"


class _Job(NamedTuple):
    number: int
    kind: str
    data: bytes
    origin: Any


class Rich:
    """Messages in, events out, in the order of the messages. Not for two threads at once.

    `wait` is for files: `collect` then returns only when every message is answered or given up.
    `limit` is the seconds a message may take. The child is started with the first message; call
    `close` when done.
    """

    def __init__(
        self,
        per_second: int,
        *,
        wait: bool = False,
        limit: float = LIMIT,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.counters = RichCounters()
        self._wait = wait
        self._limit = limit
        self._command = command
        self._budget = Budget(per_second, per_second)
        self._lives = Budget(1 / 60, LIVES)
        self._child: Child | None = None
        self._frames = Frames()
        self._ready = False
        self._since = 0.0
        self._number = 0
        self._waiting: deque[_Job] = deque()
        self._asked: deque[_Job] = deque()
        self._unwritten = b""
        self._answers: list[tuple[Any, AnyEvent]] = []
        self._certificates: OrderedDict[bytes, list[AnyEvent]] = OrderedDict()

    @property
    def pid(self) -> int:
        """Return the child's process id, 0 where none runs."""
        return self._child.pid if self._child else 0

    def submit(self, kind: str, data: bytes, origin: Any, now: float) -> None:
        """Hand over a message of one of answers.KINDS; `now` is the packet's time (epoch s)."""
        self.counters.given += 1
        known = self._certificates.get(_digest(kind, data))
        if known is not None:
            self._answers += [(origin, event) for event in known]
            self.counters.answered += 1
        elif kind not in KINDS or len(data) > MAX_MESSAGE:
            self.counters.malformed += 1
        elif not self._budget.take(now):
            self.counters.over_budget += 1
        elif len(self._waiting) >= QUEUE:
            self.counters.shed += 1
        else:
            self._number += 1
            self._waiting.append(_Job(self._number, kind, data, origin))
            self._work()

    def collect(self) -> list[tuple[Any, AnyEvent]]:
        """Return the events since the last call, each with the origin of its message."""
        self._work()
        while self._wait and (self._waiting or self._asked):
            if self._child:
                writing = [self._child.writable] if self._unwritten else []
                select.select([self._child.readable], writing, [], 0.05)
            self._work()
        answers, self._answers = self._answers, []
        return answers

    def finish(self) -> list[tuple[Any, AnyEvent]]:
        """Wait for what is under way and return the last events."""
        self._wait = True
        return self.collect()

    def close(self) -> None:
        """End the child; what it has not answered is shed."""
        self.counters.shed += len(self._waiting) + len(self._asked)
        self._waiting.clear()
        self._end()

    def _work(self) -> None:
        """Write what fits, read what is there, look at the clock. Never waits."""
        if self._child is None and not self._start():
            return
        self._write()
        self._read()
        if self._child and (self._asked or not self._ready):
            limit = self._limit if self._ready else _START_LIMIT
            if time.monotonic() - self._since > limit:
                self.counters.hung += 1
                self._lose()

    def _start(self) -> bool:
        if not self._waiting:
            return False
        if not self._lives.take(time.monotonic()):
            self.counters.shed += len(self._waiting)
            self._waiting.clear()
            return False
        try:
            self._child = Child(self._command)
        except OSError:
            self.counters.crashed += 1
            return False
        self.counters.started += 1
        self._since = time.monotonic()
        return True

    def _write(self) -> None:
        child = self._child
        while child and self._ready and len(self._asked) < _WINDOW and self._waiting:
            job = self._waiting.popleft()
            if not self._asked:
                self._since = time.monotonic()
            self._asked.append(job)
            self._unwritten += frame(ask(job.number, job.kind, job.data))
        if child and self._unwritten:
            self._unwritten = self._unwritten[child.write(self._unwritten) :]

    def _read(self) -> None:
        if self._child is None:
            return
        data, ended = self._child.read()
        try:
            for body in self._frames.feed(data):
                self._answer(body)
        except (FrameError, AnswerError):
            self.counters.garbled += 1
            self._lose()
            return
        if ended:
            # Without a message at hand it retired by itself (child/serve.py).
            self.counters.crashed += bool(self._asked) or not self._ready
            self._lose()

    def _answer(self, body: bytes) -> None:
        self._since = time.monotonic()
        if not self._ready:
            if body != _READY:
                raise AnswerError("the child did not say that it is ready")
            self._ready = True
            return
        if not self._asked:
            raise AnswerError("the child answered what nobody asked")
        job = self._asked[0]
        events = read(body, job.number, job.kind)
        self._asked.popleft()
        self._answers += [(job.origin, event) for event in events]
        self.counters.answered += bool(events)
        self.counters.malformed += not events
        if job.kind == "certificate":
            self._certificates[_digest(job.kind, job.data)] = events
            if len(self._certificates) > _CERTIFICATES:
                self._certificates.popitem(last=False)

    def _lose(self) -> None:
        """Give up the child and the message it was at; the others wait for the next one."""
        if self._asked:
            self._asked.popleft()
        self._waiting.extendleft(reversed(self._asked))
        self._end()

    def _end(self) -> None:
        if self._child:
            self._child.end()
        self._child = None
        self._asked.clear()
        self._unwritten = b""
        self._frames = Frames()
        self._ready = False


def _digest(kind: str, data: bytes) -> bytes:
    return hashlib.sha256(data).digest() if kind == "certificate" else b""
