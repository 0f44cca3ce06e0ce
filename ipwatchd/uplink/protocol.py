"""What the site says to the centre next, given what it has and what was answered. No I/O.

One request at a time: `next` gives a command, `receive` takes its answer. The cursor moves only to
what the centre says is on its disk; where the centre has less (restored, new), it moves back and
the site sends again; where it has other events than the site, delivery stops and says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import random

__all__ = [
    "LOOK_SECONDS", "MAX_BACK_OFF", "Answer", "Beat", "Command", "Conflict", "Delivery", "Denied",
    "Failed", "Gap", "Held", "Listed", "Poll", "Send", "Wait",
]  # fmt: skip

MAX_BACK_OFF: Final = 60.0
LOOK_SECONDS: Final = 0.5
"""How long the site waits at most before it looks for new events."""
REWINDS: Final = 2
"""Times the centre may send the site back without progress before that counts as a failure: a
centre that contradicts itself gets no request storm."""


class Send(NamedTuple):
    """Post up to `limit` events after `after`."""

    after: int
    limit: int


class Beat(NamedTuple):
    """Post a heartbeat; its answer says what the centre holds."""


class Poll(NamedTuple):
    """Ask for the lists, unless they are those of `tag`."""

    tag: str


class Wait(NamedTuple):
    """Do nothing until then."""

    until: float


class Held(NamedTuple):
    """To a Send or a Beat: the newest event on the centre's disk."""

    seq: int


class Gap(NamedTuple):
    """To a Send: `expected` must come first."""

    expected: int


class Conflict(NamedTuple):
    """To a Send: the centre holds other events of this site."""

    why: str


class Listed(NamedTuple):
    """To a Poll: the lists of `tag` are in force here now, or were before."""

    tag: str


class Denied(NamedTuple):
    """To anything: the token is not valid."""

    why: str


class Failed(NamedTuple):
    """To anything: no answer, or none that makes sense."""

    why: str


Command = Send | Beat | Poll | Wait
Answer = Held | Gap | Conflict | Listed | Denied | Failed


class Delivery:
    """The state of one site's delivery. Times are the caller's clock, seconds."""

    def __init__(
        self, committed: int, *, batch: int, retry_seconds: float, poll_seconds: float,
        rng: random.Random,
    ) -> None:  # fmt: skip
        self.committed = committed
        self.reachable = False
        self.last_success = 0.0
        self.rewound = 0
        self._batch = batch
        self._retry = retry_seconds
        self._poll_seconds = poll_seconds
        self._rng = rng
        self._failures = 0
        self._furthest = committed
        self._without_progress = 0
        self._not_before = 0.0
        self._send_not_before = 0.0
        self._beat_due = 0.0
        self._poll_due = 0.0
        self._tag = ""
        self._error = ""
        self._lists_error = ""
        self._conflict = ""
        # Where the centre has more than the log: the log's end then. Only newer events are tried.
        self._behind = 0

    @property
    def error(self) -> str:
        """Return why delivery is not going well now, "" where it is."""
        return self._error or self._conflict or self._lists_error

    def next(self, now: float, last_seq: int) -> Command:
        """Return what to do now; `last_seq` is the newest event of the log."""
        self._mend_clock(now)
        if now < self._not_before:
            return Wait(self._not_before)
        if now >= self._beat_due:
            return Beat()
        if now >= self._poll_due:
            return Poll(self._tag)
        if last_seq > max(self.committed, self._behind) and now >= self._send_not_before:
            return Send(self.committed, self._batch)
        return Wait(min(self._beat_due, self._poll_due, now + LOOK_SECONDS))

    def receive(self, command: Command, answer: Answer, now: float, last_seq: int) -> None:
        """Take the answer to a command that `next` gave."""
        if isinstance(answer, Failed) and isinstance(command, Poll):
            # Lists that can't be had never hold up events.
            self._lists_error, self._poll_due = answer.why, now + self._poll_seconds
        elif isinstance(answer, Failed):
            self._beat_due = now + self._poll_seconds
            self._failed(answer.why, now)
        elif isinstance(answer, Denied):
            self._error = answer.why
            self.reachable = True
            self._not_before = now + self._jittered(MAX_BACK_OFF)
        else:
            self._succeeded(command, now)
            self._take(command, answer, now, last_seq)

    def _take(self, command: Command, answer: Answer, now: float, last_seq: int) -> None:
        if isinstance(answer, Listed):
            self._tag, self._lists_error = answer.tag, ""
        elif isinstance(answer, Conflict):
            self._stop_sending(answer.why, now)
        elif isinstance(answer, Gap):
            self._move(answer.expected - 1, now, last_seq)
            if isinstance(command, Send) and answer.expected == command.after + 1:
                self._failed("the centre asks for the event that it was sent", now)
        elif isinstance(answer, Held):
            if isinstance(command, Send) and answer.seq > command.after:
                self._conflict = ""
            elif isinstance(command, Send) and answer.seq == command.after:
                self._failed("the centre took events and committed none of them", now)
            self._move(answer.seq, now, last_seq)

    def _move(self, seq: int, now: float, last_seq: int) -> None:
        if seq > last_seq:
            why = (
                f"the centre holds {seq} events of this site, which has {last_seq}: its log was "
                "put back. Give the site a new [site] name, or put the newer incidents.db back"
            )
            self._conflict, self._behind = why, last_seq
            return
        if self._behind:
            self._conflict, self._behind = "", 0
        if seq < self.committed:
            self.rewound += 1
            self._without_progress += 1
            if self._without_progress > REWINDS:
                self._failed("the centre contradicts itself on what it holds", now)
        elif seq > self._furthest:
            self._furthest, self._without_progress = seq, 0
        self.committed = seq

    def _stop_sending(self, why: str, now: float) -> None:
        self._conflict = why
        self._send_not_before = now + self._jittered(MAX_BACK_OFF)

    def _succeeded(self, command: Command, now: float) -> None:
        self.reachable, self.last_success, self._error = True, now, ""
        self._failures, self._not_before = 0, 0.0
        if isinstance(command, Beat):
            self._beat_due = now + self._poll_seconds
        elif isinstance(command, Poll):
            self._poll_due = now + self._poll_seconds

    def _failed(self, why: str, now: float) -> None:
        self.reachable, self._error = False, why
        self._failures += 1
        # 2**10 of the shortest retry is over the limit already; the exponent stays small.
        span = min(MAX_BACK_OFF, self._retry * 2 ** min(self._failures - 1, 10))
        self._not_before = now + self._jittered(span)

    def _jittered(self, span: float) -> float:
        """Half to all of a span: 200 sites don't come back to a centre in the same second."""
        return span * self._rng.uniform(0.5, 1.0)

    def _mend_clock(self, now: float) -> None:
        """Forget waits that a clock set back has made long."""
        if self._not_before > now + MAX_BACK_OFF:
            self._not_before = now
        if self._send_not_before > now + MAX_BACK_OFF:
            self._send_not_before = now
        self._beat_due = min(self._beat_due, now + self._poll_seconds)
        self._poll_due = min(self._poll_due, now + self._poll_seconds)
