"""The dialog that does something about an incident and says why."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from textual.widgets import Input

from tui.screens.dialog import Dialog, Field, Sentence
from tui.screens.entry import field_row
from tui.text import clean

if TYPE_CHECKING:
    from textual.app import ComposeResult

__all__ = ["Act"]

_ASKS = {
    "classify": ("Class", "scanner: why (an RSIT type, a colon, why)"),
    "close": ("Resolution", "what was done"),
    "resolve": ("Resolution", "what was done"),
    "note": ("Note", "what is to be kept in the timeline"),
    "response": ("Response", "what was done against it"),
}


class Act(Dialog[dict[str, Any]]):
    """One line of text and Enter; what the daemon refuses is said here."""

    def __init__(self, identity: str, action: str, title: str) -> None:
        super().__init__()
        self.identity = identity
        self.act = action
        self.about = title

    def title_text(self) -> str:
        """Return what is going to happen."""
        return f"{self.act.capitalize()} {clean(self.identity)}"

    def content(self) -> ComposeResult:
        """Return what it is about and the field."""
        label, hint = _ASKS.get(self.act, ("Reason", "why: stands in the timeline"))
        yield Sentence(self.about, "quiet")
        yield from field_row(Field(label, id="reason", placeholder=hint, most=5000))
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Begin in the field."""
        self.query_one("#reason", Input).focus()

    def on_input_submitted(self) -> None:
        """Send it."""
        reason = self.query_one("#reason", Input).value.strip()
        work = partial(self.house.client.act, self.identity, self.act, reason=reason)
        self.house.ask("change", work, self._done, self._no)

    def _done(self, incident: dict[str, Any]) -> None:
        if self.is_mounted:
            self.dismiss(incident)

    def _no(self, error: Exception) -> None:
        if self.is_mounted:
            self.query_one("#trouble", Sentence).say(clean(error), "bad")
