"""The cursor's rules, against a model of the centre that forgets, repeats and is put back."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ipwatchd.central import intake
from ipwatchd.incidents.chain import START, Head, link
from ipwatchd.uplink.protocol import (
    MAX_BACK_OFF,
    Answer,
    Beat,
    Command,
    Conflict,
    Delivery,
    Denied,
    Failed,
    Gap,
    Held,
    Listed,
    Poll,
    Send,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipwatchd.records.incident import IncidentEvent

FATES = ("well", "well", "request lost", "answer lost", "twice")


def delivery(committed: int = 0) -> Delivery:
    """Return a delivery with short waits."""
    rng = random.Random(1)
    return Delivery(committed, batch=3, retry_seconds=5.0, poll_seconds=15.0, rng=rng)


class ModelCentre:
    """The collector's own decision over a list in memory."""

    def __init__(self) -> None:
        self.log: list[IncidentEvent] = []

    def take(self, events: Sequence[IncidentEvent]) -> Answer:
        """Take a batch."""
        assert not intake.flaw("manila", events)
        head = Head(self.log[-1].seq, self.log[-1].hash) if self.log else START
        decision = intake.decide(head, {one.seq: one.hash for one in self.log}, events)
        if isinstance(decision, intake.Gap):
            return Gap(decision.expected)
        if isinstance(decision, intake.Conflict):
            return Conflict("another chain")
        self.log.extend(decision.fresh)
        return Held(len(self.log))


class ExactlyOnce(RuleBasedStateMachine):
    """A site that writes and crashes, a line that loses and repeats, a centre that is put back."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[IncidentEvent] = []
        self.centre = ModelCentre()
        self.backup: list[IncidentEvent] = []
        self.delivery = delivery()
        self.cursors = [0]
        self.old_requests: list[list[IncidentEvent]] = []
        self.now = 1000.0

    @rule(count=st.integers(1, 5))
    def write(self, count: int) -> None:
        """The site records events, whatever the line does."""
        for _ in range(count):
            head = Head(self.log[-1].seq, self.log[-1].hash) if self.log else START
            event = link(
                "manila", head, time=self.now, incident="MANILA-000001", actor="x", kind="note",
                body={"text": str(len(self.log))},
            )  # fmt: skip
            self.log.append(event)

    @rule(fate=st.sampled_from(FATES))
    def speak(self, fate: str) -> None:
        """One exchange, as the line will have it."""
        command = self.delivery.next(self.now, len(self.log))
        if isinstance(command, Wait):
            self.now = max(self.now, command.until)
            return
        self.delivery.receive(command, self.answer(command, fate), self.now, len(self.log))
        self.cursors.append(self.delivery.committed)

    def answer(self, command: Command, fate: str) -> Answer:
        """Let the centre answer, if the request gets there and the answer back."""
        if fate == "request lost":
            return Failed("timeout")
        answer: Answer = Listed("tag")
        if isinstance(command, Send):
            events = self.log[command.after : command.after + command.limit]
            self.old_requests.append(events)
            answer = self.centre.take(events)
            if fate == "twice":
                answer = self.centre.take(events)
        elif isinstance(command, Beat):
            answer = Held(len(self.centre.log))
        return Failed("timeout") if fate == "answer lost" else answer

    @rule(data=st.data())
    def late(self, data: st.DataObject) -> None:
        """A request from long ago arrives again."""
        if self.old_requests:
            self.centre.take(data.draw(st.sampled_from(self.old_requests)))

    @rule(data=st.data())
    def crash_site(self, data: st.DataObject) -> None:
        """The site is killed; the cursor's file is any that was ever written, or gone."""
        self.delivery = delivery(data.draw(st.sampled_from([0, *self.cursors])))

    @rule()
    def back_up_centre(self) -> None:
        """Someone takes a backup of the centre."""
        self.backup = list(self.centre.log)

    @rule()
    def restore_centre(self) -> None:
        """The centre is put back to it."""
        self.centre.log = list(self.backup)

    @invariant()
    def once_and_in_order(self) -> None:
        """The centre's log is always a beginning of the site's; the cursor never runs ahead."""
        assert self.centre.log == self.log[: len(self.centre.log)]
        assert self.delivery.committed <= len(self.log)

    def teardown(self) -> None:
        """When line and centre are well again everything arrives, and the site knows it."""
        for _ in range(len(self.log) + 200):
            self.speak("well")
        assert self.centre.log == self.log
        assert self.delivery.committed == len(self.log)
        assert self.delivery.error == ""


TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def after_greeting(committed: int = 0, now: float = 0.0, last: int = 10) -> Delivery:
    """Return a delivery whose first heartbeat and poll went well."""
    one = delivery()
    assert one.next(now, last) == Beat()
    one.receive(Beat(), Held(committed), now, last)
    assert one.next(now, last) == Poll("")
    one.receive(Poll(""), Listed("v1"), now, last)
    return one


def test_it_greets_then_asks_then_sends_then_waits() -> None:
    """A heartbeat first, which says where to go on; then lists, then batches, then nothing."""
    one = after_greeting(committed=7)
    assert one.next(0.0, 10) == Send(7, 3)
    one.receive(Send(7, 3), Held(10), 0.0, 10)
    assert one.next(0.0, 10) == Wait(0.5)
    assert one.next(15.0, 10) == Beat()
    one.receive(Beat(), Held(10), 15.0, 10)
    assert one.next(15.0, 10) == Poll("v1")


def test_back_off_grows_with_jitter_and_has_an_end() -> None:
    """Each failure waits longer, half to all of the span, never over MAX_BACK_OFF."""
    one, now, spans = delivery(), 0.0, []
    for _ in range(20):
        while isinstance(command := one.next(now, 5), Poll):
            one.receive(command, Failed("away"), now, 5)
        assert not isinstance(command, Wait)
        one.receive(command, Failed("away"), now, 5)
        wait = one.next(now, 5)
        assert isinstance(wait, Wait)
        spans.append(wait.until - now)
        now = wait.until
    assert 2.5 <= spans[0] <= 5.0
    assert all(MAX_BACK_OFF / 2 <= span <= MAX_BACK_OFF for span in spans[5:])
    assert one.error == "away"
    assert not one.reachable


def test_lists_that_fail_do_not_hold_up_events() -> None:
    """A poll that fails is said and tried later, events go on at once."""
    one = delivery()
    one.receive(Beat(), Held(0), 0.0, 10)
    one.receive(Poll(""), Failed("bad lists"), 0.0, 10)
    assert one.next(0.0, 10) == Send(0, 3)
    one.receive(Send(0, 3), Held(3), 0.0, 10)
    assert one.error == "bad lists"
    one.receive(Poll(""), Listed("v1"), 15.0, 10)
    assert one.error == ""


@pytest.mark.parametrize(
    "answers",
    [
        [Held(0)],
        [Gap(1)],
        [Held(3), Gap(1), Held(3), Gap(1), Held(3), Gap(1)],
    ],
)
def test_a_centre_that_contradicts_itself_gets_no_request_storm(answers: list[Answer]) -> None:
    """Without progress the site backs off instead of asking again at once."""
    one = after_greeting(last=3)
    for answer in answers:
        command = one.next(0.0, 3)
        if isinstance(command, Wait):
            command = Beat()
        one.receive(command, answer, 0.0, 3)
    wait = one.next(0.0, 3)
    assert isinstance(wait, Wait)
    assert wait.until >= 2.5
    assert one.error


def test_a_denied_site_tries_slowly() -> None:
    """A token that is not valid is no reason to hammer the centre."""
    one = delivery()
    one.receive(Beat(), Denied("no valid token"), 100.0, 1)
    wait = one.next(100.0, 1)
    assert isinstance(wait, Wait)
    assert wait.until >= 100.0 + MAX_BACK_OFF / 2
    assert one.error == "no valid token"


def test_a_clock_set_back_does_not_stop_delivery() -> None:
    """Waits made under a clock that was hours ahead are forgotten."""
    one = after_greeting(now=100_000.0)
    one.receive(Send(0, 3), Failed("away"), 100_000.0, 10)
    assert one.next(10.0, 10) != Wait(100_000.0)
    assert one.next(10.0 + 15.0, 10) == Beat()
