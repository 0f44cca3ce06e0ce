"""Dialogs that change the firewall's mode: what would come of it, and the time to keep it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.binding import Binding
from textual.widgets import Input

from ipwatchd.control.messages import Applied
from tui import quantity
from tui.screens.dialog import Dialog, Field, Sentence
from tui.screens.entry import field_row
from tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from ipwatchd.control.messages import FirewallState, TopRow

__all__ = ["ChangeMode", "OnTrial", "meant"]

_MODES: Final = ("off", "observe", "enforce")
_SPANS: Final = ("60s", "2m", "10m", "never")
_EFFECTS: Final = {
    "off": "No rules: nothing is dropped and nothing counted.",
    "observe": "What the lists deny is counted and logged, and passes.",
    "enforce": "What the lists deny is dropped, and its open connections end.",
}
_BUSY: Final = 500
"""Addresses of the last day that are looked at."""
_SHOWN: Final = 3


def meant(mode: str, firewall: FirewallState, busiest: Sequence[TopRow]) -> str:
    """Say what a mode would do here, from what was counted and who was active."""
    lines = [_EFFECTS.get(mode, "")]
    if mode == "enforce":
        lines.append(f"The lists hold {firewall.deny:,} denied and {firewall.allow:,} allowed.")
        if firewall.mode == "observe":
            lines.append(f"{firewall.packets:,} packets would have been dropped so far.")
        denied = [one for one in busiest if one.denied]
        named = ", ".join(one.address for one in denied[:_SHOWN])
        if denied:
            more = f" and {len(denied) - _SHOWN} more" if len(denied) > _SHOWN else ""
            lines.append(f"Active in the last day and denied: {named}{more}.")
        elif busiest:
            lines.append("None of those active in the last day is denied.")
    elif firewall.mode == "enforce":
        lines.append(f"{firewall.deny:,} denied ranges get through again at once.")
    return "\n".join(lines)


class ChangeMode(Dialog[Applied]):
    """Choose a mode; it rolls back by itself unless it is kept in time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next field"),
    ]
    TITLE_TEXT = "Change the firewall's mode"

    def __init__(self, firewall: FirewallState) -> None:
        super().__init__()
        self.firewall = firewall
        self._busiest: Sequence[TopRow] = ()

    def content(self) -> ComposeResult:
        """Return the fields and what would come of it."""
        yield Sentence(f"It is in mode {self.firewall.mode}.", "quiet", id="now")
        other = "observe" if self.firewall.mode == "enforce" else "enforce"
        yield from field_row(Field("Mode", other, id="mode", choices=_MODES))
        yield from field_row(Field("Back after", "60s", id="span", choices=_SPANS))
        yield from field_row(Field("Reason", id="reason", placeholder="why: goes to the audit log"))
        yield Sentence(id="effect")
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Begin at the mode; look at who would be met."""
        self.query_one("#mode", Input).focus()
        self._say_effect()
        work = partial(self.house.client.top, by="flows", since="24h", limit=_BUSY)
        self.house.ask("preview", work, self._looked, lambda _error: None)

    def _looked(self, rows: Sequence[TopRow]) -> None:
        if self.is_mounted:
            self._busiest = rows
            self._say_effect()

    def _say_effect(self) -> None:
        mode = self.query_one("#mode", Input).value.strip()
        self.query_one("#effect", Sentence).say(meant(mode, self.firewall, self._busiest), "info")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what another mode would do."""
        if event.input.id == "mode":
            self._say_effect()
        self.query_one("#trouble", Sentence).say("")

    def on_input_submitted(self) -> None:
        """Switch."""
        mode = self.query_one("#mode", Input).value.strip()
        reason = self.query_one("#reason", Input).value.strip()
        span = self.query_one("#span", Input).value.strip()
        try:
            seconds = 0.0 if span == "never" else quantity.span(span)
        except ValueError as error:
            self._say(str(error))
            return
        if mode not in _MODES:
            self._say(f"{mode!r} is none of {', '.join(_MODES)}")
        elif not reason:
            self._say("write why: it goes to the audit log")
            self.query_one("#reason", Input).focus()
        else:
            work = partial(
                self.house.client.firewall_mode, mode, confirm_seconds=seconds, reason=reason
            )
            self.house.ask("change", work, self._done, lambda error: self._say(str(error)))

    def _say(self, sentence: str) -> None:
        if self.is_mounted:
            self.query_one("#trouble", Sentence).say(clean(sentence), "bad")

    def _done(self, applied: Applied) -> None:
        if self.is_mounted:
            self.dismiss(applied)


class OnTrial(Dialog[Applied]):
    """Counts down to the roll-back: keep the mode, take it back, or leave it to run out."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "keep", "Keep it"),
        Binding("b", "back", "Back now"),
        Binding("escape", "leave", "Leave it running"),
    ]
    TITLE_TEXT = "On trial"

    def __init__(self, applied: Applied) -> None:
        super().__init__()
        self.applied = applied

    def content(self) -> ComposeResult:
        """Return what is counted down."""
        yield Sentence(id="left")
        yield Sentence(
            "Open another session to this machine now: who can still log in has not locked "
            "anybody out. Then press k. Else it rolls back, also if this terminal dies.",
            "quiet",
        )
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Count."""
        self._count()
        self.set_interval(0.5, self._count)

    def _count(self) -> None:
        left = self.applied.confirm_by - self.house.now()
        words = f"{self.applied.mode} is on trial: rolls back in {max(left, 0):.0f} s"
        if left <= 0:
            self.dismiss(None)
            return
        self.query_one("#left", Sentence).say(words, "warn")

    def action_keep(self) -> None:
        """Keep the mode."""
        self._ask(self.house.client.firewall_confirm)

    def action_back(self) -> None:
        """Take the mode back at once."""
        self._ask(self.house.client.firewall_rollback)

    def _ask(self, work: Any) -> None:
        self.house.ask("change", work, self._done, self._no)

    def _done(self, applied: Applied) -> None:
        if self.is_mounted:
            self.dismiss(applied)

    def _no(self, error: Exception) -> None:
        if self.is_mounted:
            self.query_one("#trouble", Sentence).say(clean(error), "bad")
