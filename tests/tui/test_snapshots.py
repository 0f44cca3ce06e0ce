"""Whole screens as they look, against stored text (UPDATE_SNAPSHOTS=1 stores them anew)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ipwatchd.control.messages import Check, FirewallState, InterfaceState, UplinkState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    from tui.app import IpwatchApp

    Snapshot = Callable[[Pilot[None], str], Awaitable[None]]

SIZES = {"80x24": (80, 24), "160x45": (160, 45)}
SCREENS = {
    "dashboard": (["1"], "peak 84.0"),
    "incidents": (["2"], "Incidents: open, 4"),
    "incident": (["enter"], "seen 40 times"),
    "lists": (["3"], "Deny list, 3"),
    "records": (["4"], "incoming: 2"),
    "flows": (["left", "left"], "flows: 5"),
    "help": (["question_mark"], "Kind"),
    "address": (["escape", "1", "home", "down", "enter"], "DENIED"),
    "deny": (["escape", "d"], "touched 12 flows"),
}
"""What is pressed, from one screen to the next, and what is there once it has come."""


@pytest.mark.parametrize("size", SIZES)
async def test_screens(
    size: str, daemon: Any, make_app: Callable[[], IpwatchApp],
    until: Callable[..., Awaitable[str]], snapshot: Snapshot,
) -> None:  # fmt: skip
    """Every screen, narrow and wide, looks as it was last agreed."""
    async with make_app().run_test(size=SIZES[size]) as pilot:
        await until(pilot, "10.20.1.31")
        await until(pilot, "Port scan: 213")
        for name, (keys, text) in SCREENS.items():
            for key in keys:
                await pilot.press(key)
                if key == "2":
                    await until(pilot, "Incidents: open, 4")
            await until(pilot, text)
            await snapshot(pilot, f"{name}-{size}")


@pytest.mark.parametrize("size", SIZES)
async def test_much_is_wrong(
    size: str, daemon: Any, script: Any, make_app: Callable[[], IpwatchApp],
    until: Callable[..., Awaitable[str]], snapshot: Snapshot,
) -> None:  # fmt: skip
    """A bad day: faults first, what was shed by name, a mode that waits to be confirmed."""
    script.status = msgspec.structs.replace(
        script.status,
        interfaces=(
            InterfaceState(name="lan0", state="up", packets=81_000_000, drops=1204),
            InterfaceState(name="wan0", state="missing"),
        ),
        firewall=FirewallState(mode="observe", present=True, in_sync=False, deny=412,
                               packets=18_311, confirm_by=script.now + 240),
        uplink=UplinkState(url="https://centre.example", waiting=42,
                           last_success=script.now - 4000, error="connection refused"),
        health=(
            Check(name="disk", ok=False, note="1.2 GB free of which 2.0 are kept clear"),
            Check(name="history", ok=True, note="recording"),
        ),
        shed={"flow table": 1200, "events": 0},
    )  # fmt: skip
    async with make_app().run_test(notifications=True, size=SIZES[size]) as pilot:
        await until(pilot, "10.20.1.31")
        await until(pilot, "Port scan: 213")
        await until(pilot, "peak 84.0")
        await until(pilot, "\u00d7 disk")
        await snapshot(pilot, f"wrong-{size}")
        await pilot.press("h")
        await until(pilot, "memory 148 MB")
        await snapshot(pilot, f"health-{size}")
        await pilot.press("escape")


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_yet(
    size: str, daemon: Any, script: Any, make_app: Callable[[], IpwatchApp],
    until: Callable[..., Awaitable[str]], snapshot: Snapshot,
) -> None:  # fmt: skip
    """A fresh install: no traffic, no incidents, and it says so calmly."""
    script.throughput, script.top, script.incidents = [], [], []
    script.status = msgspec.structs.replace(script.status, incidents_open={})
    async with make_app().run_test(notifications=True, size=SIZES[size]) as pilot:
        await until(pilot, "no traffic in this time")
        await until(pilot, "no open incidents")
        await snapshot(pilot, f"empty-{size}")
