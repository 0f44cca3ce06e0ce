"""The screens of casework on real stores: a report led by its script, facts, steps, responses."""

from __future__ import annotations

import time
from datetime import UTC
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from textual import events
from textual.keys import _character_to_key

from ipwatchd.config import Config
from ipwatchd.control.client import Client
from ipwatchd.control.offline import StateTransport
from tui.app import IpwatchApp
from tui.casefile import casefile
from tui.columns import Context
from tui.screens.update import on_its_way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from textual.pilot import Pilot

    Until = Callable[..., Awaitable[str]]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Open a state folder of its own."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "effective.json").write_bytes(msgspec.json.encode(Config()))
    transport = StateTransport(folder)
    yield Client(transport)
    transport.close()


async def fill(pilot: Pilot[None], *answers: str) -> None:
    """Write an answer into each field, Enter after each."""
    for answer in answers:
        for letter in answer:
            pilot.app.post_message(events.Key(_character_to_key(letter), letter))
        await pilot.press("enter")


def app_on(client: Client) -> IpwatchApp:
    """Return the app on those stores."""
    return IpwatchApp(client, zone=UTC, tick=0.25)


async def test_a_report_led_by_its_script(client: Client, until: Until) -> None:
    """Key n asks who and what, then the questions of that kind, and opens the case."""
    async with app_on(client).run_test(notifications=True, size=(120, 44)) as pilot:
        await pilot.press("2")
        await until(pilot, "no incidents here")
        await pilot.press("n")
        await until(pilot, "What is it about? *")
        await fill(pilot, "account-sharing", "", "", "", "maria", "10.20.1.31")
        await until(pilot, "Whose account (login)? *")
        await pilot.press("ctrl+s")
        await until(pilot, "not answered: Whose account (login)?")
        await fill(pilot, "jun", "", "", "", "she told him her password")
        shown = await until(pilot, "kept; incident")
        assert "account-sharing" in shown
    page = client.incidents()
    (row,) = page.rows
    (report,) = client.incident(row["id"]).incident["reports"]
    assert row["subject"] == "10.20.1.31"
    assert report


async def test_a_kind_that_is_not_there_is_refused_in_the_form(
    client: Client, until: Until
) -> None:
    """A kind that no script has is said where it was typed, and nothing is sent."""
    async with app_on(client).run_test(size=(100, 40)) as pilot:
        await pilot.press("2")
        await until(pilot, "no incidents here")
        await pilot.press("n")
        await until(pilot, "What is it about? *")
        await fill(pilot, "gossip")
        await pilot.press("ctrl+s")
        await until(pilot, "'gossip' is no kind")
    assert not client.incidents().rows


async def test_facts_steps_and_responses(client: Client, until: Until) -> None:
    """Key f asks the facts and the priority follows; s ticks and signs; w denies and z undoes."""
    made = client.report("a call", subject="203.0.113.7")
    identity = made["id"]
    async with app_on(client).run_test(notifications=True, size=(120, 44)) as pilot:
        await pilot.press("2")
        await until(pilot, "203.0.113.7")
        await pilot.press("enter")
        await until(pilot, "timeline, the newest first")
        await pilot.press("f")
        await until(pilot, "Facts of")
        # Questions wrap once they are laid out: the first one must still be in sight.
        await until(pilot, "Did someone see information who may not? *")
        await pilot.press("down", "enter", "down", "enter", "down", "enter")
        await fill(pilot, "health,contact", "10-200")
        await pilot.press("ctrl+s")
        await until(pilot, "what is known")
        await pilot.press("w")
        await until(pilot, "Respond to")
        await pilot.press("enter")
        await until(pilot, "z takes it back")
        assert [entry["network"] for entry in client.entries("deny")] == ["203.0.113.7/32"]
        await pilot.press("z")
        await until(pilot, "taken back: denied")
        assert not client.entries("deny")
    facts = client.incident(identity).incident["facts"]
    assert facts["data"] == ["health", "contact"]
    assert facts["subjects"] == {"min": 10, "max": 200}


async def test_steps_are_ticked_and_signed(client: Client, until: Until) -> None:
    """Space ticks the marked step and takes the tick back; y signs the procedure."""
    made = client.report("gone", kind="lost-device", answers=LOST, subject="10.20.1.31")
    async with app_on(client).run_test(notifications=True, size=(120, 44)) as pilot:
        await pilot.press("2")
        await until(pilot, "10.20.1.31")
        await pilot.press("enter")
        await until(pilot, "s Steps")
        await pilot.press("s")
        await until(pilot, "nobody has signed it yet")
        await pilot.press("down", "space")
        await until(pilot, "[✓]")
        await pilot.press("y")
        await until(pilot, "read by")
        tasks = client.incident(made["id"]).incident["tasks"]
        assert [bool(task.get("done")) for task in tasks][:3] == [False, True, False]
        await pilot.press("space")
        await until(pilot, "[✓]", gone=True)
        await pilot.press("escape")
        await until(pilot, "was read by")


async def test_those_concerned_are_told_after_a_look_at_the_words(
    client: Client, until: Until
) -> None:
    """Key l shows the draft, then writes down who was told; a marking that is too strict refuses.

    A state folder sends nothing, and says so.
    """
    identity = client.report("a call", subject="203.0.113.7")["id"]
    async with app_on(client).run_test(notifications=True, size=(120, 44)) as pilot:
        await pilot.press("2")
        await until(pilot, "203.0.113.7")
        await pilot.press("enter")
        await until(pilot, "timeline, the newest first")
        await pilot.press("l")
        await until(pilot, "nothing leaves by that")
        await pilot.press("enter")
        await until(pilot, "Thank you for telling us")
        await until(pilot, "Enter sends this.")
        await pilot.press("enter")
        await until(pilot, "nothing can be sent from here")
        await pilot.press("tab", "tab", "down")
        await until(pilot, "Changed: Enter looks again.")
        await fill(pilot, "")
        await until(pilot, "write who was told")
        await pilot.press("tab")
        await fill(pilot, "maria")
        await until(pilot, "Enter writes down that maria was told this.")
        await pilot.press("enter")
        await until(pilot, "reporter, maria, TLP:GREEN, en, by phone")
        client.act(identity, "mark", tlp="TLP:RED")
        await pilot.press("l")
        await until(pilot, "nothing leaves by that")
        await pilot.press("enter")
        await until(pilot, "is marked TLP:RED, and the reporter")
    kinds = [event["kind"] for event in client.incident(identity).timeline]
    assert kinds.count("updated") == 1


def test_who_a_letter_goes_to_is_said() -> None:
    """Only what is new counts; who was told by telephone has no letter."""
    old = {"number": 1, "to": "a@b.example", "channel": "mail"}
    new = {"number": 2, "to": "p@acme.example", "channel": "mail"}
    said = on_its_way({"letters": [old]}, {"letters": [old, new]})
    assert said == "on its way to p@acme.example by mail"
    assert on_its_way({}, {"letters": []}) == "it stands in the timeline"


LOST = {"when": "yesterday", "where": "the bus", "what": "a laptop", "agent": "maria"}


def test_late_duties_are_told_from_those_that_are_due() -> None:
    """A duty past its time says late, one that was met says met, one to come how long there is."""
    now = time.time()
    incident: dict[str, Any] = {
        "obligations": [
            {"id": "a", "title": "notify the authority", "due": now - 10},
            {"id": "b", "title": "tell the client", "due": now + 7200},
            {"id": "c", "title": "tell the people", "due": now - 5, "done": now - 60},
        ]
    }
    lines = casefile(incident, 100, Context(now, UTC))
    text = ["".join(piece.text for piece in line) for line in lines]
    assert "late" in text[2]
    assert "pending" in text[3]
    assert "(in 2h)" in text[3]
    assert "met" in text[4]


def test_pages_say_how_they_stand() -> None:
    """A page that failed says why; without an acknowledgement that is said too."""
    paging: dict[str, Any] = {
        "pages": [
            {"number": 1, "time": 5.0, "person": "ana", "channel": "mail", "state": "failed",
             "why": "refused"},
            {"number": 2, "time": 6.0, "person": "ben", "channel": "hook"},
        ],
    }  # fmt: skip
    waiting = casefile({"paging": paging}, 100, Context(10.0, UTC))
    text = ["".join(piece.text for piece in line) for line in waiting]
    assert "failed" in text[2]
    assert "refused" in text[2]
    assert "on its way" in text[3]
    assert "nobody has acknowledged" in text[4]
    acked = casefile({"paging": {**paging, "acks": ["ana"]}}, 100, Context(10.0, UTC))
    assert "acknowledged by ana" in "".join(piece.text for piece in acked[-1])
