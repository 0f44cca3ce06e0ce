"""The app against a real server on a Unix socket: keys, dialogs, a daemon that goes and comes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
from textual import events
from textual.keys import _character_to_key

from tui.widgets.table import Table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    from tui.app import IpwatchApp

    MakeApp = Callable[[], IpwatchApp]
    Until = Callable[..., Awaitable[str]]


async def typed(pilot: Pilot[None], *words: str) -> None:
    """Type keys by name and whole texts; a text comes in one burst, as over a slow line."""
    for word in words:
        if word in {"enter", "tab", "backspace", "down"}:
            await pilot.press(word)
            continue
        for letter in word:
            pilot.app.post_message(events.Key(_character_to_key(letter), letter))


def burst(pilot: Pilot[None], text: str, key: str) -> None:
    """Type a text and a key that come in one read, as a paste does."""
    for letter in text:
        pilot.app.post_message(events.Key(_character_to_key(letter), letter))
    pilot.app.post_message(events.Key(key, None))


async def test_the_dashboard_shows_how_it_is(daemon: Any, make_app: MakeApp, until: Until) -> None:
    """Mode, rates, busiest addresses, incidents and health are there without a key pressed."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "10.20.1.31")
        await until(pilot, "Port scan: 213 ports")
        shown = await until(pilot, "peak 84.0 Mbit/s")
    for text in ("ENFORCE", "live 3d 04h", "12.4k pkt/s", "\u00d7 203.0.113.7", "uplink ok"):
        assert text in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


async def test_deny_from_the_dashboard(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """`d` on an address, a time, a reason, Enter: the right call, a sentence, the mark."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "198.51.100.23")
        await pilot.press("down", "down", "d")
        shown = await until(pilot, "touched 12 flows")
        assert "Deny 198.51.100.23" in shown
        burst(pilot, "noisy", "enter")
        await until(pilot, "denied 198.51.100.23 until 14:00")
        await until(pilot, "\u00d7 198.51.100.23")
    assert script.changes() == [
        (
            "POST",
            "lists/deny",
            {},
            {
                "network": "198.51.100.23",
                "reason": "noisy",
                "seconds": 3600.0,
                "ticket": "",
                "force": False,
                "service": "",
                "session": "",
            },
        )
    ]


async def test_how_long_is_chosen_or_written(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """Up and down go through usual times; what is no time is refused on the spot."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "10.20.1.31")
        await pilot.press("d")
        await until(pilot, "Deny 10.20.1.31")
        await pilot.press("x", "shift+tab", "down", "down")
        await until(pilot, "1d")
        await typed(pilot, *["backspace"] * 2, "soon", "enter")
        await until(pilot, "is no span of time")
        await typed(pilot, *["backspace"] * 4, "15m", "enter")
        await until(pilot, "denied 10.20.1.31 until 13:15")
    assert script.changes()[0][3]["seconds"] == 900.0


async def test_a_deny_without_a_reason_is_not_sent(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """The dialog asks for the reason itself; Escape leaves everything as it was."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "10.20.1.31")
        await pilot.press("d")
        await until(pilot, "Deny 10.20.1.31")
        await pilot.press("enter")
        await until(pilot, "write why")
        await pilot.press("escape")
        await until(pilot, "Deny 10.20.1.31", gone=True)
    assert script.changes() == []


async def test_a_refusal_is_said_and_can_be_overruled(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """The daemon's sentence stands in the dialog; ^o sends it again with force."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "10.20.1.31")
        await pilot.press("d")
        await until(pilot, "touched 12 flows")
        script.refuse["lists/deny"] = "10.20.1.31 is an agent's address: say force if you mean it"
        await typed(pilot, "test", "enter")
        shown = await until(pilot, "say force if you")
        assert "^o Do it anyway" in shown
        script.refuse.clear()
        await pilot.press("ctrl+o")
        await until(pilot, "denied 10.20.1.31")
    assert [call[3]["force"] for call in script.changes()] == [False, True]


async def test_release_and_undo(daemon: Any, script: Any, make_app: MakeApp, until: Until) -> None:
    """`u` takes a denied address off with a reason; ^z takes back what was just added."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        shown = await until(pilot, "203.0.113.7")
        assert "u Release" not in shown
        await typed(pilot, *["down"] * 5)
        await until(pilot, "u Release")
        await pilot.press("u")
        await until(pilot, "is denied by 203.0.113.7/32")
        await typed(pilot, "mistake", "enter")
        await until(pilot, "released 203.0.113.7")
        await pilot.press("home", "d")
        await until(pilot, "Deny 10.20.1.31")
        await typed(pilot, "x", "enter")
        await until(pilot, "\u00d7 10.20.1.31")
        await pilot.press("ctrl+z")
        await until(pilot, "released 10.20.1.31")
    methods = [(call[0], call[2].get("network")) for call in script.changes()]
    assert methods == [("DELETE", "203.0.113.7"), ("POST", None), ("DELETE", "10.20.1.31")]


async def test_only_an_address_can_be_denied(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """An incident about a person offers no deny, one about an address does."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "ana.cruz")
        await pilot.press("2")
        assert "d Deny" in await until(pilot, "Incidents: open, 4")
        await pilot.press("end")
        await until(pilot, "d Deny", gone=True)
        await pilot.press("d")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1


async def test_a_daemon_that_goes_and_comes_back(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """The banner says since when and why, the last data stay, and it recovers by itself."""
    app = make_app()
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "10.20.1.31")
        daemon.stop()
        shown = await until(pilot, "daemon unreachable since 13:00, retrying")
        assert "10.20.1.31" in shown
        assert "No such file" in shown
        top = app.screen.query_one("#top", Table)
        assert {s.style.color.name for s in top.render_line(2) if s.style and s.style.color} == {
            "#5a6672"
        }
        script.top = [msgspec.structs.replace(script.top[0], address="10.20.1.200")]
        daemon.start()
        await until(pilot, "10.20.1.200")
        await until(pilot, "daemon unreachable", gone=True)


async def test_no_daemon_at_the_start(daemon: Any, make_app: MakeApp, until: Until) -> None:
    """Started before the daemon it says so, claims nothing, and shows all once it is there."""
    daemon.stop()
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        shown = await until(pilot, "daemon unreachable since 13:00")
        assert "not known yet" in shown
        assert "no open incidents" not in shown
        await pilot.press("2", "3", "4", "1")
        daemon.start()
        await until(pilot, "10.20.1.31")


async def test_a_daemon_that_hangs_holds_nothing_up(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """While a call hangs keys work, and quitting does not wait for it."""
    app = make_app()
    async with app.run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "10.20.1.31")
        script.hang = True
        await pilot.press("4")
        await until(pilot, "incoming  agent")
        await pilot.press("1", "q")
    assert app.return_code == 0


async def test_an_incident_and_what_is_done_about_it(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """Enter opens it with its timeline; `t` takes it, a refusal is said, Escape goes back."""
    async with make_app().run_test(notifications=True, size=(100, 30)) as pilot:
        await pilot.press("2")
        await until(pilot, "Port scan: 213 ports")
        await pilot.press("enter")
        shown = await until(pilot, "seen 173 times")
        assert "t Take" in shown
        assert "x Close" not in shown
        await pilot.press("t")
        await until(pilot, "MNL-2025-0042 is now TRIAGE")
        await until(pilot, "c Confirm")
        script.refuse["incidents/MNL-2025-0042/reject"] = "rejecting needs a reason: why?"
        await pilot.press("e")
        await until(pilot, "Reject MNL-2025-0042")
        await pilot.press("enter")
        await until(pilot, "rejecting needs a reason: why?")
        await pilot.press("escape", "escape")
        await until(pilot, "Incidents: open, 4")
    assert [call[1] for call in script.changes()] == [
        "incidents/MNL-2025-0042/take",
        "incidents/MNL-2025-0042/reject",
    ]


async def test_the_page_of_an_address(daemon: Any, make_app: MakeApp, until: Until) -> None:
    """Enter on an address opens all that is known of it, the verdict of the lists first."""
    async with make_app().run_test(notifications=True, size=(100, 40)) as pilot:
        await until(pilot, "203.0.113.7")
        await typed(pilot, *["down"] * 5, "enter")
        shown = await until(pilot, "DENIED  203.0.113.7 is denied by")
        for text in ("Moscow", "73.4 MB", "sessions ─", "incidents ─", "u Release"):
            assert text in shown


async def test_lists_add_and_remove(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """`n` adds to the list that is shown, left and right change the list, `u` removes."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(pilot, "Deny list, 3 entries")
        await pilot.press("right")
        await until(pilot, "Allow list, no entries")
        await pilot.press("n")
        await until(pilot, "Allow an address")
        await typed(pilot, "192.0.2.9", "tab", "backspace", "forever", "tab", "ours", "enter")
        await until(pilot, "allowed 192.0.2.9 for good")
        await until(pilot, "Allow list, 1 entries")
        await pilot.press("u")
        await until(pilot, "Take 192.0.2.9 off the allow list")
        await typed(pilot, "done", "enter")
        await until(pilot, "Allow list, no entries")
    assert [(call[0], call[1]) for call in script.changes()] == [
        ("POST", "lists/allow"), ("DELETE", "lists/allow"),
    ]  # fmt: skip


async def test_records_pages_and_filter(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """Pages come as one scrolls, the filter goes to the daemon, its fault is said as one types."""
    script.records["incoming"] = [
        {"address": f"198.51.{i >> 8}.{i & 255}", "count": i, "last_seen": 1_763_729_000.0}
        for i in range(500)
    ]
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await pilot.press("4")
        await until(pilot, "incoming: 200+ at 13:00")
        await pilot.press("end")
        await until(pilot, "incoming: 400+")
        await pilot.press("end")
        await until(pilot, "incoming: 500 at")
        await pilot.press("slash")
        await typed(pilot, "countri:RU")
        await until(pilot, "did you mean country")
        await typed(pilot, *["backspace"] * 4, "y:RU", "enter")
        await until(pilot, "incoming matching country:RU: 200+")
        script.refuse["records/agent"] = "agent records have no port: leave port: out"
        await pilot.press("right")
        await until(pilot, "agent records have no port")
        await pilot.press("right")
        await until(pilot, "session matching country:RU: 1")
        await pilot.press("slash", "escape")
        await until(pilot, "session: 1")
    asked = [(call[1], call[2].get("filter"), call[2].get("offset")) for call in script.asked
             if call[1].startswith("records/")]  # fmt: skip
    assert asked == [
        ("records/incoming", None, "0"), ("records/incoming", None, "200"),
        ("records/incoming", None, "400"), ("records/incoming", "country:RU", "0"),
        ("records/agent", "country:RU", "0"), ("records/session", "country:RU", "0"),
        ("records/session", None, "0"),
    ]  # fmt: skip


async def test_what_is_audited_is_not_polled(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """Looks at records are noted by the daemon, so they are asked for once and on `r`."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await pilot.press("4")
        await until(pilot, "incoming: 2 at")
        ticks = sum(call[1] == "status" for call in script.asked)
        while sum(call[1] == "status" for call in script.asked) < ticks + 7:
            await pilot.pause(0.02)
        assert sum(call[1].startswith("records/") for call in script.asked) == 1
        await pilot.press("r")
        while sum(call[1].startswith("records/") for call in script.asked) < 2:
            await pilot.pause(0.02)


async def test_every_kind_of_record_is_shown(daemon: Any, make_app: MakeApp, until: Until) -> None:
    """Seven kinds, flows and events: each has its columns, and all fields are a key away."""
    seen = {
        "incoming": "ssh", "agent": "02:00:5e:10:00:1f", "session": "tls, sip, dns",
        "list": "scan of the gateway", "geo": "Example Hosting", "api": "api.example.com",
        "activity": "tls to example.com", "flows": "40004", "events": "crm.example.com",
    }  # fmt: skip
    async with make_app().run_test(notifications=True, size=(120, 24)) as pilot:
        await pilot.press("4")
        for kind, text in seen.items():
            await until(pilot, text)
            await until(pilot, f"─{kind}: ")
            await pilot.press("right")
        await pilot.press("left")
        await until(pilot, "crm.example.com")
        await pilot.press("down", "i")
        await until(pilot, "t13d1516h2_8daaf6152771_02713d6af862")


async def test_hostile_text_is_only_text(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """Markup, escape sequences and bidi controls of strangers are shown and do nothing."""
    evil = "[bold red]x[/] \x1b]0;owned\x07 \u202emoc.live [@click=app.quit]q[/]"
    script.incidents[0]["title"] = evil
    script.incidents[0]["owner"] = evil
    script.top = [msgspec.structs.replace(script.top[0], agent=evil, zone=evil)]
    script.status = msgspec.structs.replace(script.status, site=evil)
    script.entries["deny"][0]["reason"] = evil
    script.address["place"]["city"] = evil
    script.timeline[0]["body"]["title"] = evil
    script.refuse["lists/deny/preview"] = evil
    async with make_app().run_test(notifications=True, size=(160, 45)) as pilot:
        shown = await until(pilot, "[bold red]x[/] ␛]0;owned␇ <202E>moc.live [@click=app.quit]")
        assert shown.isprintable() or not set(shown) & {"\x1b", "\x07", "\u202e"}
        await pilot.press("d")
        await until(pilot, "no preview: [bold red]x[/]")
        await pilot.press("escape", "enter")
        await until(pilot, "city")
        await pilot.press("escape", "2", "enter")
        await until(pilot, "timeline")
        await pilot.press("d")
        await until(pilot, "Deny 203.0.113.7")
        await pilot.press("escape", "3")
        shown = await until(pilot, "Deny list")
        assert not set(shown) & {"\x1b", "\x07", "\u202e"}


async def test_filter_on_the_dashboard(daemon: Any, make_app: MakeApp, until: Until) -> None:
    """`/` narrows both lists as one types, and only the line's keys are offered; Escape ends it."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "198.51.100.23")
        await pilot.press("slash")
        await typed(pilot, "maria")
        shown = await until(pilot, "198.51.100.23", gone=True)
        assert "10.20.1.31" in shown
        assert "d Deny" not in shown
        await pilot.press("escape")
        await until(pilot, "198.51.100.23")


async def test_window_and_order(daemon: Any, script: Any, make_app: MakeApp, until: Until) -> None:
    """`w` looks farther back, `b` counts by something else; both are asked of the daemon."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "10.20.1.31")
        await pilot.press("w", "b")
        await until(pilot, "Top addresses by packets, last 6h")
        while ("6h", "packets") not in {
            (call[2].get("since"), call[2].get("by")) for call in script.asked
        }:
            await pilot.pause(0.02)


async def test_the_palette_offers_what_applies(
    daemon: Any, script: Any, make_app: MakeApp, until: Until
) -> None:
    """A mode that waits for its confirmation can be kept from the palette."""
    firewall = msgspec.structs.replace(script.status.firewall, confirm_by=script.now + 60)
    script.status = msgspec.structs.replace(script.status, firewall=firewall)
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "unless confirmed")
        await pilot.press("ctrl+p")
        await typed(pilot, "keep")
        await until(pilot, "Keep the firewall's new mode")
        await pilot.press("down", "enter")
        await until(pilot, "the firewall stays in mode enforce")
    assert script.changes()[0][:2] == ("POST", "firewall/confirm")


async def test_help_names_the_keys_and_the_filter(
    daemon: Any, make_app: MakeApp, until: Until
) -> None:
    """`?` says what the screen is for and which keys it has."""
    async with make_app().run_test(notifications=True, size=(100, 60)) as pilot:
        await until(pilot, "10.20.1.31")
        await pilot.press("question_mark")
        shown = await until(pilot, "filter of the records")
        for text in ("Deny the marked address for a time", "undo the last change", "country"):
            assert text in shown
        await pilot.press("escape")
        await until(pilot, "filter of the records", gone=True)


async def test_colours_change_and_nothing_else(
    daemon: Any, make_app: MakeApp, until: Until
) -> None:
    """Every theme shows the same text."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "2 checks ok")
        first = await until(pilot, "peak 84.0")
        for _ in range(3):
            await pilot.press("ctrl+t")
            await pilot.pause()
            assert await until(pilot, "peak 84.0") == first


async def test_a_narrow_and_a_tiny_terminal(daemon: Any, make_app: MakeApp, until: Until) -> None:
    """Resized to nearly nothing and back it goes on."""
    async with make_app().run_test(notifications=True, size=(80, 24)) as pilot:
        await until(pilot, "10.20.1.31")
        for size in ((40, 12), (12, 5), (200, 60), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await until(pilot, "10.20.1.31")


def test_textual_is_imported_when_it_is_opened() -> None:
    """Importing the package costs nothing: Textual comes with the app."""
    code = "import sys, tui; sys.exit('textual' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
