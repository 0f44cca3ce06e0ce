"""The admin's main dangerous acts: a list out of a file, a mode of the firewall on trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.tui.test_app import typed
from tui.screens.mode import meant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from textual.pilot import Pilot

    from tui.app import IpwatchApp

    MakeApp = Callable[[], IpwatchApp]
    Until = Callable[..., Awaitable[str]]
    Snapshot = Callable[[Pilot[None], str], Awaitable[None]]

SIZES = {"80x24": (80, 24), "120x40": (120, 40)}


async def test_a_file_is_looked_at_before_it_is_taken(
    daemon: Any, script: Any, make_app: MakeApp, until: Until, tmp_path: Path
) -> None:
    """The first Enter only looks, the second does; what is changed between is looked at anew."""
    file = tmp_path / "l.txt"
    file.write_text("203.0.113.7\n203.0.113.9\nnonsense\n")
    async with make_app().run_test(notifications=True, size=(100, 30)) as pilot:
        await until(pilot, "10.20.1.31")
        await pilot.press("3")
        await until(pilot, "Deny list, 3")
        await pilot.press("i")
        await until(pilot, "Import into the deny list")
        await typed(pilot, str(tmp_path / "none"), "enter")
        await until(pilot, "can't be read")
        await typed(pilot, *["backspace"] * 4, "l.txt", "enter")
        await until(pilot, "write why")
        await pilot.press("tab", "tab", "x", "enter")
        shown = await until(pilot, "Enter puts 2 entries on the deny list")
        assert "2 entries, 1 of them there already; 1 lines refused" in shown
        assert "line 3: 'nonsense'" in shown
        await pilot.press("y")
        await until(pilot, "Changed: Enter looks again")
        await pilot.press("enter")
        await until(pilot, "Enter puts 2 entries")
        await pilot.press("enter")
        await until(pilot, "denied 2 networks of l.txt")
    bodies = [body for _, path, _, body in script.changes() if path == "lists/deny/import"]
    assert [body["only_look"] for body in bodies] == [True, True, False]
    assert bodies[-1]["reason"] == "xy"
    assert bodies[-1]["text"] == file.read_text()


async def test_a_list_is_written_and_nothing_lost_by_it(
    daemon: Any, make_app: MakeApp, until: Until, tmp_path: Path
) -> None:
    """A file that is there is written over after another Enter alone."""
    file = tmp_path / "out.csv"
    file.write_text("precious")
    async with make_app().run_test(notifications=True, size=(100, 30)) as pilot:
        await until(pilot, "10.20.1.31")
        await pilot.press("3")
        await until(pilot, "Deny list, 3")
        await pilot.press("e")
        await until(pilot, "Export the deny list")
        await typed(pilot, *["backspace"] * 8, str(file), "enter")
        await until(pilot, "Enter again writes over it")
        assert file.read_text() == "precious"
        await pilot.press("enter")
        await until(pilot, "wrote the deny list to")
    assert file.read_text() == "network\n"


async def test_a_path_that_can_not_be_is_said(daemon: Any, make_app: MakeApp, until: Until) -> None:
    """A user who is none, a name that is too long, none at all: a sentence, and the app goes on."""
    async with make_app().run_test(notifications=True, size=(100, 30)) as pilot:
        await until(pilot, "10.20.1.31")
        await pilot.press("3")
        await until(pilot, "Deny list, 3")
        await pilot.press("e")
        await until(pilot, "Export the deny list")
        await pilot.press("ctrl+u")
        await typed(pilot, "~nobody-of-ours/x", "enter")
        await until(pilot, "there is no such user here")
        await pilot.press("ctrl+u")
        await typed(pilot, "n" * 300, "enter")
        await until(pilot, "File name too long")
        await pilot.press("ctrl+u")
        await typed(pilot, "/", "tab", "down")
        await until(pilot, "json")
        await pilot.press("escape", "i")
        await until(pilot, "Import into the deny list")
        await typed(pilot, "~nobody-of-ours/x", "enter")
        await until(pilot, "there is no such user here")


@pytest.mark.parametrize("size", SIZES)
async def test_a_mode_is_tried_and_kept(
    size: str, daemon: Any, script: Any, make_app: MakeApp, until: Until,
    snapshot: Snapshot,
) -> None:  # fmt: skip
    """What it would do is said first; the countdown stands until the mode is kept or taken back."""
    script.status = msgspec.structs.replace(
        script.status, firewall=msgspec.structs.replace(script.status.firewall, mode="observe")
    )
    async with make_app().run_test(notifications=True, size=SIZES[size]) as pilot:
        await until(pilot, "10.20.1.31")
        await until(pilot, "Port scan: 213")
        await until(pilot, "peak 84.0")
        await pilot.press("m")
        await until(pilot, "denied: 203.0.113.7")
        await snapshot(pilot, f"mode-{size}")
        await typed(pilot, "enter")
        await until(pilot, "write why")
        await typed(pilot, "trial", "enter")
        await until(pilot, "rolls back in 60 s")
        await snapshot(pilot, f"trial-{size}")
        await pilot.press("k")
        await until(pilot, "On trial", gone=True)
        await until(pilot, "the firewall stays in mode enforce")
    asked = [(path, body) for _, path, _, body in script.changes()]
    assert asked == [
        ("firewall/mode", {"mode": "enforce", "confirm_seconds": 60.0, "reason": "trial"}),
        ("firewall/confirm", {}),
    ]


async def test_a_trial_under_way_is_found_again(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """Another terminal, or this one after a break, decides over what is on trial."""
    script.status = msgspec.structs.replace(
        script.status,
        firewall=msgspec.structs.replace(script.status.firewall, confirm_by=script.now + 30),
    )
    async with make_app().run_test(notifications=True, size=(100, 30)) as pilot:
        await until(pilot, "10.20.1.31")
        await pilot.press("m")
        await until(pilot, "enforce is on trial: rolls back in 30 s")
        await pilot.press("b")
        await until(pilot, "On trial", gone=True)
    assert [path for _, path, _, _ in script.changes()] == ["firewall/rollback"]


def test_what_a_mode_means_follows_what_is_known(script: Any) -> None:
    """Each mode says its effect; enforce names who was active and would be stopped."""
    firewall = script.status.firewall
    assert "412 denied ranges get through again" in meant("observe", firewall, ())
    observing = msgspec.structs.replace(firewall, mode="observe")
    said = meant("enforce", observing, script.top)
    assert "18,311 packets would have been dropped" in said
    assert "denied: 203.0.113.7." in said
    calm = [row for row in script.top if not row.denied]
    assert "None of those active" in meant("enforce", observing, calm)
