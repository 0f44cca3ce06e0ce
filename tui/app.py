"""The app: asks the daemon, keeps what it said, shows it, changes the lists."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input

from ipwatchd.control.client import RefusedError, UnreachableError
from ipwatchd.control.messages import Applied
from tui import quantity
from tui.calls import Answer, Calls
from tui.columns import Context
from tui.model import Model
from tui.records import address_of
from tui.screens.address import AddressPage
from tui.screens.dashboard import Dashboard
from tui.screens.entry import AddEntry, RemoveEntry
from tui.screens.frame import Frame
from tui.screens.incident import ACTIONS, IncidentPage
from tui.screens.incidents import Incidents
from tui.screens.lists import Lists
from tui.screens.mode import ChangeMode, OnTrial
from tui.screens.page import Page
from tui.screens.reading import Fields, Help
from tui.screens.records import Records
from tui.text import clean
from tui.themes import THEMES, choose, no_color
from tui.widgets.header import TABS
from tui.widgets.keys import key_name
from tui.widgets.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import tzinfo

    from textual.binding import ActiveBinding, BindingType
    from textual.screen import Screen

    from ipwatchd.control.client import Client
    from ipwatchd.control.messages import ListChange, Status
    from tui.columns import Row

__all__ = ["IpwatchApp"]

_POLL_EVERY = 3
"""Status is asked for at each tick, what the screen shows at each third."""
_UNDO = 20
"""Changes that can be undone, the newest first."""


class Answered(Message):
    """A call came back."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class IpwatchApp(App[None]):
    """`clock` gives epoch seconds, `zone` the admin's time zone (None: the system's)."""

    TITLE = "ipwatchd"
    CSS_PATH = "app.tcss"
    MODES: ClassVar[dict[str, Any]] = {
        "dashboard": Dashboard, "incidents": Incidents, "lists": Lists, "records": Records,
    }  # fmt: skip
    DEFAULT_MODE = "dashboard"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"go('{name}')", title, show=False) for name, key, title in TABS),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("r", "reload", "Refresh"),
        Binding("ctrl+z", "undo", "Undo", show=False),
        Binding("ctrl+t", "theme", "Colours", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self, client: Client, *, clock: Callable[[], float] = time.time,
        zone: tzinfo | None = None, tick: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(ansi_color=True if no_color() else None)
        self.client = client
        self.model = Model()
        self.zone = zone
        self.window = "1h"
        self._clock = clock
        self._tick = tick
        self._ticks = 0
        self._calls = Calls(self._deliver)
        self._done: list[tuple[str, str]] = []
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = choose(os.environ, self.console.color_system)

    def _deliver(self, answer: Answer) -> None:
        """Hand an answer to the loop; called from the threads of the calls."""
        self.post_message(Answered(answer))

    def here(self) -> float:
        """Return this machine's time."""
        return self._clock()

    def now(self) -> float:
        """Return the daemon's time."""
        return self.model.now(self._clock())

    def on_mount(self) -> None:
        """Begin to ask."""
        self.set_interval(self._tick, self._ask_status)
        self._ask_status()

    def on_unmount(self) -> None:
        """Ask nothing more; a call that hangs is left behind."""
        self._calls.close()

    def ask(
        self, kind: str, work: Callable[[], Any], then: Callable[[Any], None],
        otherwise: Callable[[Exception], None] | None = None,
    ) -> None:  # fmt: skip
        """Call the daemon off the loop; `then` or `otherwise` is done on the loop."""
        self._calls.ask(kind, work, then, otherwise)

    def on_answered(self, message: Answered) -> None:
        """Note whether the daemon answers, and hand on what it said; not while it shuts down."""
        if not self.is_running:
            return
        answer = message.answer
        error = answer.error
        if isinstance(error, UnreachableError):
            self.model.lost(str(error), self.here())
            self._follow()
        elif error is None or isinstance(error, RefusedError):
            if self.model.found():
                self._poll()
            if error is None:
                answer.then(answer.value)
                return
        else:
            raise error
        if answer.otherwise is not None:
            answer.otherwise(error)
        elif isinstance(error, RefusedError):
            self.tell(str(error), wrong=True)

    def _ask_status(self) -> None:
        if self._calls.busy("status"):
            return
        self.ask("status", self.client.status, self._took_status)
        self._ticks += 1
        if self._ticks % _POLL_EVERY == 0 and not self.model.stale:
            self._poll()

    def _took_status(self, status: Status) -> None:
        self.model.take_status(status, self.here())
        self._follow()

    def _frames(self) -> list[Frame]:
        """Return the screens that can be seen: the topmost, and the one below a dialog."""
        frames = []
        for screen in reversed(self.screen_stack):
            if isinstance(screen, Frame):
                frames.append(screen)
            if not isinstance(screen, ModalScreen):
                break
        return frames

    def _poll(self) -> None:
        for frame in self._frames():
            if frame.is_mounted:
                frame.poll()

    def _reload(self) -> None:
        for frame in self._frames():
            if frame.is_mounted:
                frame.reload()

    def _follow(self) -> None:
        for frame in self._frames():
            if frame.is_mounted:
                frame.follow()

    def tell(self, sentence: str, *, wrong: bool = False) -> None:
        """Say a sentence in a corner for a while; it may hold anything, so it is never markup."""
        self.notify(
            clean(sentence), severity="error" if wrong else "information",
            timeout=12 if wrong else 6, markup=False,
        )  # fmt: skip

    def screen_keys(self, screen: Screen[Any]) -> dict[str, ActiveBinding]:
        """Return the keys that do something now: in a field of a screen, only the field's."""
        bindings = screen.active_bindings
        if isinstance(screen.focused, Input) and not isinstance(screen, ModalScreen):
            return {k: b for k, b in bindings.items() if b.node is screen.focused}
        if isinstance(screen, ModalScreen):
            return {k: b for k, b in bindings.items() if b.node is not self}
        return bindings

    def open_row(self, row: Row) -> None:
        """Open the page of a row: an incident's, else its address's."""
        if "priority" in row and row.get("id"):
            self.push_screen(IncidentPage(str(row["id"])))
        else:
            self.open_address(address_of(row))

    def open_address(self, address: str) -> None:
        """Open the page of an address; a network of many has none."""
        address = address.removesuffix("/32").removesuffix("/128")
        if "/" in address:
            self.tell(f"{address} holds many addresses: look for src:{address} in the records")
        elif address:
            self.push_screen(AddressPage(address))

    def show_fields(self, kind: str, row: Row) -> None:
        """Show all fields of a row."""
        self.push_screen(Fields(kind, row, Context(self.now(), self.zone)))

    def edit_list(self, name: str, network: str, reason: str = "") -> None:
        """Open the dialog that puts an address on a list."""
        network = network.removesuffix("/32").removesuffix("/128")
        self.push_screen(AddEntry(name, network, reason), partial(self._changed, name, True))

    def remove_entry(self, name: str, network: str) -> None:
        """Open the dialog that takes an address off a list."""
        network = network.removesuffix("/32").removesuffix("/128")
        self.push_screen(RemoveEntry(name, network), partial(self._changed, name, False))

    def _changed(self, name: str, added: bool, change: ListChange | None) -> None:
        if change is None:
            return
        network = str(change.entry.get("network", ""))
        network = network.removesuffix("/32").removesuffix("/128")
        if added:
            self._done = [(name, network), *self._done[: _UNDO - 1]]
        self.tell(self._said(name, network, added, change))
        self._reload()

    def _said(self, name: str, network: str, added: bool, change: ListChange) -> str:
        mode = self.model.status.firewall.mode if self.model.status is not None else ""
        watched = " (observe mode: counted, not dropped)" if mode == "observe" else ""
        if not added:
            return f"released {network}, no longer on the {name} list"
        verb = "denied" if name == "deny" else "allowed"
        until = quantity.until(change.entry.get("expires"), self.now(), self.zone)
        return f"{verb} {network} {until}{watched if name == 'deny' else ''}; ^z undoes"

    def action_undo(self) -> None:
        """Take back the last entry put on a list here."""
        if not self._done:
            self.tell("nothing was put on a list here that could be undone")
            return
        name, network = self._done[0]
        work = partial(self.client.remove_entry, name, network, reason="undone by who added it")
        self.ask("change", work, partial(self._undone, name, network))

    def _undone(self, name: str, network: str, change: ListChange) -> None:
        if (name, network) in self._done:
            self._done.remove((name, network))
        self._changed(name, False, change)

    def action_go(self, mode: str) -> None:
        """Show another screen."""
        if isinstance(self.screen, ModalScreen):
            return
        while len(self.screen_stack) > 1 and isinstance(self.screen, Page):
            self.pop_screen()
        self.switch_mode(mode)

    def action_leave_page(self) -> None:
        """Leave a page for the screen below."""
        if len(self.screen_stack) > 1:
            self.pop_screen()

    def action_filter(self) -> None:
        """Open the filter line."""
        if isinstance(self.screen, Frame):
            self.screen.open_filter()

    def action_reload(self) -> None:
        """Ask for everything at once."""
        self._ask_status()
        self._reload()

    def action_mode(self) -> None:
        """Change the firewall's mode, or decide over one that is on trial."""
        status = self.model.status
        if status is None:
            return
        firewall = status.firewall
        if firewall.confirm_by > self.now():
            self._try(Applied(mode=firewall.mode, confirm_by=firewall.confirm_by))
        else:
            self.push_screen(ChangeMode(firewall), self._try)

    def _try(self, applied: Applied | None) -> None:
        if applied is None:
            return
        self._ask_status()
        if applied.confirm_by > self.now():
            self.push_screen(OnTrial(applied), self._decided)
        else:
            self._switched(applied)

    def _decided(self, applied: Applied | None) -> None:
        if applied is not None:
            self._switched(applied)
        self._ask_status()

    def action_theme(self) -> None:
        """Change the colours."""
        names = [theme.name for theme in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self._follow()

    def action_help(self) -> None:
        """Say what the screen is for and which keys apply."""
        screen = self.screen
        if isinstance(screen, Frame):
            self.push_screen(Help(screen.HELP, self.screen_keys(screen)))

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Filter only where there is a list."""
        if action == "filter":
            return bool(isinstance(self.screen, Frame) and self.screen.query(Table))
        return True

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Return for the palette what applies now: the screen's keys, and what has no key."""
        done: set[str] = set()
        for key, active in screen.active_bindings.items():
            binding = active.binding
            if active.enabled and binding.action not in done and len(binding.description) > 2:
                done.add(binding.action)
                run = partial(self.run_action, binding.action, active.node)
                title = binding.tooltip or binding.description
                yield SystemCommand(title, f"key {key_name(key)}", run, discover=binding.show)
        if isinstance(screen, IncidentPage):
            for action in (*ACTIONS, "classify", "response"):
                yield SystemCommand(
                    f"{action.capitalize()} the incident", "the daemon says where it can't be",
                    partial(screen.action_act, action),
                )  # fmt: skip
        yield from self._firewall_commands()

    def _firewall_commands(self) -> Iterable[SystemCommand]:
        status = self.model.status
        if status is None or status.firewall.confirm_by <= self.now():
            return
        until = quantity.until(status.firewall.confirm_by, self.now(), self.zone)
        yield SystemCommand(
            "Keep the firewall's new mode", f"it rolls back by itself, waits {until}",
            partial(self.ask, "change", self.client.firewall_confirm, self._switched),
        )  # fmt: skip
        yield SystemCommand(
            "Roll the firewall's mode back", "at once",
            partial(self.ask, "change", self.client.firewall_rollback, self._switched),
        )  # fmt: skip

    def _switched(self, applied: Applied) -> None:
        self.tell(applied.note or f"the firewall is in mode {applied.mode}")
        self._ask_status()
