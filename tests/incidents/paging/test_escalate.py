"""Escalation: who is paged when, and that nothing urgent is ever silent."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipwatchd.incidents.bodies import (
    Acked,
    Body,
    Delivered,
    Held,
    Jumped,
    Note,
    Obliged,
    Opened,
    Prioritised,
    State,
)
from ipwatchd.incidents.chain import START, after, link
from ipwatchd.incidents.fold import apply, fold
from ipwatchd.incidents.paging.escalate import NEVER, is_answered, move, wake
from ipwatchd.incidents.paging.plan_file import load_plan, parse_plan, warnings
from ipwatchd.incidents.paging.schedule import Schedule, gaps, on_call
from ipwatchd.incidents.policy import shipped
from ipwatchd.records.incident import Incident, IncidentEvent, Obligation
from tests.incidents.paging.plans import PLAN, plan

if TYPE_CHECKING:
    from ipwatchd.incidents.paging.plan import Plan

MANILA = ZoneInfo("Asia/Manila")
NOON = dt.datetime(2026, 11, 23, 12, 0, tzinfo=MANILA).timestamp()
MINUTE, HOUR = 60.0, 3600.0


class World:
    """One incident's log, moved by the plan and by people."""

    def __init__(self, priority: str = "P1", at: float = NOON, using: Plan | None = None) -> None:
        self.plan = using or plan()
        self.events: list[IncidentEvent] = []
        self.incident: Incident | None = None
        self.now = at
        self.head = START
        self.put("opened", Opened(
            rule="report", subject="", title="t", severity="high", priority=priority, impact=1,
            urgency=1, first_seen=at, last_seen=at, count=1,
        ), "ipwatchd")  # fmt: skip

    @property
    def one(self) -> Incident:
        """Return the incident."""
        assert self.incident is not None
        return self.incident

    def put(self, kind: str, body: Body, actor: str = "ana") -> None:
        """Append an event and let the plan move."""
        event = link("s", self.head, time=self.now, incident="S-1", actor=actor, kind=kind,
                     body=body)  # fmt: skip
        self.events.append(event)
        self.head = after(event)
        self.incident = apply(self.incident, event)

    def settle(self) -> list[tuple[str, str]]:
        """Do all that is due now; return whom it paged."""
        found = []
        for _ in range(20):
            made = move(self.one, self.plan, self.now)
            if made is None:
                return found
            found += [(page.person, page.channel) for page in made.pages]
            self.put("paged", made, "ipwatchd")
        raise AssertionError("it never comes to rest")

    def go(self, seconds: float) -> list[tuple[str, str]]:
        """Let time pass by as a shell does, from wake to wake; return whom it paged."""
        found, end = self.settle(), self.now + seconds
        for _ in range(10_000):
            due = wake(self.one, self.plan, self.now)
            assert due > self.now
            if due > end:
                self.now = end
                return found + self.settle()
            self.now = due
            found += self.settle()
        raise AssertionError("it wakes without an end")


def test_a_p1_goes_through_steps_repeats_and_then_to_all_for_ever() -> None:
    """On call at once, the group after five minutes, again after ten, then the catch-all."""
    world = World()
    assert world.settle() == [("ana", "mail")]
    assert world.go(4 * MINUTE) == []
    assert world.go(MINUTE) == [("ana", "hook"), ("ben", "hook"), ("cho", "mail")]
    assert world.go(10 * MINUTE) == [("ana", "mail")]
    assert len(world.go(5 * MINUTE)) == 3
    assert ("", "hook") in world.go(10 * MINUTE)
    assert len(world.go(24 * HOUR)) == 96 * 4
    assert world.one.paging is not None
    assert len(world.one.paging.pages) == 50


def test_an_acknowledgement_stops_it_and_times_out() -> None:
    """Who acknowledges and does nothing is paged again after half an hour; work holds it off."""
    world = World()
    world.settle()
    world.put("acked", Acked(by="ana"))
    assert is_answered(world.one)
    assert world.go(29 * MINUTE) == []
    assert world.go(2 * MINUTE) == [("ana", "mail")]
    assert world.one.paging is not None
    assert world.one.paging.cause == "acknowledged, and nothing was done"
    world.put("acked", Acked(by="ana"))
    world.now += MINUTE
    world.put("state", State(action="take", before="NEW", after="TRIAGE", owner="ana"))
    world.put("note", Note(text="looking"))
    assert world.go(29 * MINUTE) == []


def test_no_progress_pages_again_and_a_hold_puts_that_off() -> None:
    """Two hours without anything done page again, unless it is on hold."""
    world = World()
    world.settle()
    world.put("acked", Acked(by="ana"))
    world.now += MINUTE
    world.put("note", Note(text="looking"))
    assert world.go(119 * MINUTE) == []
    assert world.go(2 * MINUTE) == [("ana", "mail")]
    assert world.one.paging is not None
    assert world.one.paging.cause == "no progress"
    world.put("acked", Acked(by="ana"))
    world.now += MINUTE
    world.put("held", Held(reason="the client answers tomorrow"))
    assert world.go(20 * HOUR) == []


def test_two_of_a_group_must_answer() -> None:
    """`need = "2"`: one acknowledgement does not stop the step, the same person twice neither."""
    world = World()
    world.go(5 * MINUTE)
    world.put("acked", Acked(by="ben"))
    world.put("acked", Acked(by="ben"))
    assert not is_answered(world.one)
    world.put("acked", Acked(by="cho"))
    assert is_answered(world.one)


def test_a_failed_delivery_goes_by_the_next_channel_then_to_the_next_step() -> None:
    """What can't be handed over escalates by itself, at once."""
    world = World()
    world.settle()
    world.put("delivered", Delivered(page=1, ok=False, why="refused"), "ipwatchd")
    assert world.settle() == [("ana", "hook")]
    world.put("delivered", Delivered(page=2, ok=False, why="refused"), "ipwatchd")
    assert world.settle() == [("ana", "hook"), ("ben", "hook"), ("cho", "mail")]


def test_quiet_hours_hold_back_what_is_no_p1() -> None:
    """At 23:00 in Manila a P3 waits until 07:00; raised to P1 it pages at once."""
    night = dt.datetime(2026, 11, 23, 23, 0, tzinfo=MANILA).timestamp()
    world = World("P3", night)
    assert world.go(8 * HOUR - 2 * MINUTE) == []
    assert world.go(2 * MINUTE) == [("ben", "mail")]
    other = World("P3", night)
    assert other.go(HOUR) == []
    other.put("prioritised", Prioritised(priority="P1", reason="worse"))
    assert other.settle()
    assert World("P5", night).go(9 * HOUR) == []


def test_clocks_page_at_their_shares_even_when_acknowledged() -> None:
    """50, 75, 90 per cent and over: each once, quiet hours hold back only the first two."""
    world = World("P3")
    world.settle()
    world.put("acked", Acked(by="ben"))
    world.put("state", State(action="resolve", before="NEW", after="RESOLVED"))
    duty = Obligation(id="gdpr.authority", title="t", started=world.now, due=world.now + 72 * HOUR)
    world.put("obliged", Obliged(obligation=duty), "ipwatchd")
    causes = []
    for _ in range(80):
        world.go(HOUR)
        assert world.one.paging is not None
        if world.one.paging.cause not in causes:
            causes.append(world.one.paging.cause)
    assert [cause.split()[2] for cause in causes if cause.startswith("clock")] == [
        "50%", "75%", "90%", "100%",
    ]  # fmt: skip


def test_a_step_can_be_asked_for() -> None:
    """Answered or never paged: the step that somebody wants is paged at once, and goes on."""
    world = World()
    world.settle()
    world.put("acked", Acked(by="ana"))
    world.put("jumped", Jumped(step=1, reason="nobody calls back"))
    assert world.settle() == [("ana", "hook"), ("ben", "hook"), ("cho", "mail")]
    assert world.go(10 * MINUTE)
    other = World("P5")
    assert other.settle() == []
    other.put("jumped", Jumped(step=7, reason="x"))
    assert ("", "hook") in other.settle()


def test_a_closed_case_is_silent_and_a_reopened_one_pages() -> None:
    """Closing ends the run, reopening begins one."""
    world = World()
    world.settle()
    world.put("state", State(action="reject", before="NEW", after="REJECTED"))
    assert wake(world.one, world.plan, world.now) == NEVER
    world.put("state", State(action="reopen", before="REJECTED", after="TRIAGE"))
    assert world.settle() == [("ana", "mail")]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "wait", "ack", "fail", "note", "raise", "lower", "close",
                         "reopen", "hold", "restart", "set back"]),
        st.integers(0, 240),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(STEPS, st.sampled_from(["P1", "P3", "P5"]), st.integers(0, 23))
def test_a_p1_is_never_silent(steps: list[tuple[str, int]], priority: str, hour: int) -> None:
    """Whatever people, channels and clocks do: a P1 at work has a page out or is answered."""
    world = World(priority, NOON + hour * HOUR)
    world.settle()
    for step, size in steps:
        if step == "wait":
            world.go(size * MINUTE)
        elif step == "set back":
            world.now -= size * MINUTE
        elif step == "restart":
            world.incident = fold(world.events)["S-1"]
        else:
            _happen(world, step, size)
        world.settle()
        _not_silent(world)
    assert fold(world.events)["S-1"] == world.one


def _happen(world: World, step: str, size: int) -> None:
    """Let people and channels do something."""
    state, paging = world.one.state, world.one.paging
    who = ("ana", "ben", "cho")[size % 3]
    bodies: dict[str, tuple[str, Body]] = {
        "note": ("note", Note(text="looking")),
        "raise": ("prioritised", Prioritised(priority="P1", reason="x")),
        "lower": ("prioritised", Prioritised(priority="P3", reason="x")),
        "hold": ("held", Held(reason="x" * (size % 2))),
    }
    if paging:
        bodies["ack"] = ("acked", Acked(by=who))
    if state == "NEW":
        bodies["close"] = ("state", State(action="reject", before=state, after="REJECTED"))
    if state == "REJECTED":
        bodies["reopen"] = ("state", State(action="reopen", before=state, after="NEW"))
    if step in bodies:
        world.put(*bodies[step], who)
    for page in paging.pages[-1 - size % 3 :] if paging and step == "fail" else ():
        world.put("delivered", Delivered(page=page.number, ok=False, why="x"), "ipwatchd")


def _not_silent(world: World) -> None:
    one, paging = world.one, world.one.paging
    if one.priority != "P1" or one.state == "REJECTED":
        return
    assert paging is not None
    due = wake(one, world.plan, world.now)
    if is_answered(one):
        # Somebody is at it: for two hours at most, or as long as it is on hold.
        assert due <= world.now + 2 * HOUR + MINUTE or one.on_hold
        return
    assert due <= world.now + 16 * MINUTE
    newest = [page for page in paging.pages if page.time >= paging.stepped]
    assert newest
    if all(page.state == "failed" for page in newest):
        assert paging.step == 2  # the catch-all itself; it is tried again within 15 minutes


@settings(max_examples=100, deadline=None)
@given(st.integers(48, 400 * 24), st.integers(0, 59))
def test_on_call_is_as_the_layers_say(hours: int, minutes: int) -> None:
    """08:00 to 20:00 in Manila ana or ben by weeks; 07:00 to 19:00 in Bogota cho; over, nobody."""
    start = dt.datetime(2026, 1, 5, 8, 0, tzinfo=MANILA).timestamp()
    now = start + hours * HOUR + minutes * MINUTE
    local = dt.datetime.fromtimestamp(now, MANILA)
    who = on_call(plan().schedules["duty"], now)
    if dt.date(2026, 12, 24) <= local.date() < dt.date(2026, 12, 26):
        assert who == "cho"
    elif 8 <= local.hour < 20:
        # A minute past midnight still belongs to the week before; cover begins with the hand-over.
        weeks = int((now - start) // (7 * 86400))
        assert who == ("ana", "ben")[weeks % 2]
    else:
        bogota = dt.datetime.fromtimestamp(now, ZoneInfo("America/Bogota"))
        assert who == ("cho" if 7 <= bogota.hour < 19 else "")


def test_a_gap_is_said_with_its_times() -> None:
    """Manila and Bogota cover the day between them; half an hour less of one is a gap each day."""
    assert not list(gaps(plan().schedules["duty"], NOON, 10 * 86400.0))
    short = parse_plan(PLAN.replace('until = "19:00"', 'until = "18:30"').encode(), "e.toml")
    (begin, end), *_ = gaps(short.schedules["duty"], NOON, 86400.0)
    assert dt.datetime.fromtimestamp(begin, MANILA).strftime("%H:%M") == "07:30"
    assert dt.datetime.fromtimestamp(end, MANILA).strftime("%H:%M") == "08:00"
    assert "nobody from Tue 2026-11-24 07:30 to Tue 2026-11-24 08:00" in next(warnings(short, NOON))


def test_a_gap_pages_the_catch_all() -> None:
    """Where nobody is on call the page goes to all."""
    short = parse_plan(PLAN.replace('until = "19:00"', 'until = "18:30"').encode(), "e.toml")
    gap = dt.datetime(2026, 11, 24, 7, 45, tzinfo=MANILA).timestamp()
    assert ("", "hook") in World("P1", gap, short).settle()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [('targets = ["schedule:duty"]', 'targets = ["schedule:night"]', r"e.toml:47: 'night' is no"),
     ('targets = ["person:ben"]', 'targets = ["ben"]', "is no target"),
     ('rotation = ["ana", "ben"]', 'rotation = ["eva"]', "'eva' is no person"),
     ('zone = "Asia/Manila"\nstart', 'zone = "Asia/Manilla"\nstart', "no time zone"),
     ("Por qué: {cause}", "Por qué: {why}", r"e.toml:\d+: {why} is not known"),
     ("{title}\\nPor", "{title.__class__}\\nPor", "is not known"),
     ("{title}\\nPor", "{title\\nPor", "is no text with"),
     ('every = "10m"', 'every = "10 minutes"', r"e.toml:43"),
     ('kind = "webhook"', 'kind = "pigeon"', r"e.toml:\d+"),
     ('url = "http://127.0.0.1:2526/page"', "", "needs url"),
     ("repeat = 1", "repeats = 1", "repeats"),
     ('targets = ["group:soc", "channel:hook"]', 'targets = ["schedule:duty"]', "may have a gap"),
     ('ack_timeout = "30m"', 'ack_timeout = "0s"', "under a second")],
)  # fmt: skip
def test_a_wrong_plan_is_refused_when_loaded(old: str, new: str, why: str) -> None:
    """The fault is named with its line, at the start and not when somebody should be paged."""
    assert old in PLAN
    with pytest.raises(ValueError, match=why):
        parse_plan(PLAN.replace(old, new, 1).encode(), "e.toml")


def test_the_example_is_a_plan_without_a_gap() -> None:
    """What is shipped to be copied loads, and warns of nothing."""
    path = shipped() / "escalation" / "escalation.toml"
    assert list(warnings(load_plan(str(path)), NOON)) == []


def test_a_p1_without_a_policy_has_the_catch_all() -> None:
    """A plan that matches nothing still pages a P1."""
    text = PLAN.partition("[[policy]]")[0]
    bare = parse_plan(text.encode(), "e.toml")
    found: list[Any] = World("P1", NOON, bare).go(HOUR)
    assert len(found) == 4 * 5
    assert World("P2", NOON, bare).go(HOUR) == []


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 600), st.integers(0, 59), st.sampled_from(["Asia/Manila", "Europe/Madrid"]))
def test_no_gap_is_too_short_to_be_said(minutes: int, after: int, zone: str) -> None:
    """Of a schedule of two layers that leave so many minutes open each day: all are found."""
    late = 8 * 60 + after + minutes
    text = f"""
[[layer]]
zone = "{zone}"
start = 2026-01-05
rotation = ["ana"]
cover = [{{ since = "{late // 60:02d}:{late % 60:02d}", until = "23:00" }}]
[[layer]]
zone = "{zone}"
start = 2026-01-05
rotation = ["ben"]
cover = [{{ since = "23:00", until = "08:{after:02d}" }}]
"""
    schedule = msgspec.toml.decode(text, type=Schedule)
    found = list(gaps(schedule, NOON, 7 * 24 * HOUR))
    spans = [end - begin for begin, end in found[1:-1]]
    assert len(spans) >= 5
    assert spans == [minutes * MINUTE] * len(spans)
