"""Dialogs that change the lists: put an address on one for a time, take it off."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Input, Label

from ipwatchd.control.messages import ListChange
from tui import quantity
from tui.fields import is_network, said
from tui.screens.dialog import Dialog, Field, Sentence
from tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult
    from textual.binding import BindingType

__all__ = ["AddEntry", "RemoveEntry", "effect", "field_row"]

_SPANS = ("15m", "1h", "8h", "1d", "7d", "30d", "forever")
_SINCE = "24h"
_NAMED = 6


def effect(preview: Mapping[str, Any]) -> str:
    """Say what an entry would have touched, from the daemon's preview."""
    words = []
    for key, name in (("flows", "flow"), ("addresses", "address"), ("sessions", "session")):
        if key in preview and not isinstance(preview[key], (list, dict)):
            value = int(quantity.number(preview[key]))
            many = {"address": "addresses"}.get(name, f"{name}s")
            words.append(f"{quantity.count(value)} {name if value == 1 else many}")
    if "bytes" in preview:
        words.append(quantity.size(preview["bytes"]))
    touched = ", ".join(words) or "nothing"
    if not any(quantity.number(preview.get(key)) for key in ("flows", "addresses", "bytes")):
        touched = "nothing"
    lines = [f"In the last {_SINCE} it would have touched {touched}."]
    for key in ("agents", "zones", "services"):
        if found := preview.get(key):
            names = [said(one.get("service") if isinstance(one, dict) else one) for one in found]
            lines.append(f"{key.capitalize()}: {', '.join(filter(None, names[:_NAMED]))}.")
    busiest = preview.get("busiest")
    if isinstance(busiest, list) and len(busiest) > 1:
        names = [said(row.get("address")) for row in busiest[:3] if isinstance(row, dict)]
        lines.append(f"Busiest of them: {', '.join(names)}.")
    lines += [f"! {said(flag)}" for flag in preview.get("flags", ())]
    lines += [said(preview[key]) for key in ("note", "warning") if preview.get(key)]
    return "\n".join(clean(line) for line in lines)


class AddEntry(Dialog[ListChange]):
    """Deny or allow an address for a time; Enter in any field does it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "force", "Do it anyway", tooltip="Overrule what the daemon refused"),
        Binding("tab", "app.focus_next", "Next field"),
    ]

    def __init__(self, name: str, network: str, reason: str = "") -> None:
        super().__init__()
        self.list_name = name
        self.network = network
        self.reason = reason
        self._refused = False

    def title_text(self) -> str:
        """Return what is going to happen."""
        verb = self.list_name.capitalize()
        return f"{verb} {clean(self.network)}" if self.network else f"{verb} an address"

    def content(self) -> ComposeResult:
        """Return the fields and the preview."""
        if not self.network:
            yield from field_row(
                Field("Address", id="network", placeholder="203.0.113.7 or a network")
            )
        yield from field_row(Field("For", "1h", id="span", choices=_SPANS))
        hint = "why: goes to the audit log"
        yield from field_row(Field("Reason", self.reason, id="reason", placeholder=hint))
        yield Sentence("looking at what it would touch …", "quiet", id="effect")
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Look at the effect; begin where something is to be typed."""
        self.query_one("#network" if not self.network else "#reason", Input).focus()
        self._look()

    def _network(self) -> str:
        return self.network or self.query_one("#network", Input).value.strip()

    def _look(self) -> None:
        network = self._network()
        if not is_network(network):
            self.query_one("#effect", Sentence).say("")
            return
        work = partial(self.house.client.preview, self.list_name, network, since=_SINCE)
        self.house.ask(
            "preview", work, partial(self._looked, network), partial(self._blind, network)
        )

    def _looked(self, network: str, preview: dict[str, Any]) -> None:
        if self.is_mounted and network == self._network():
            self.query_one("#effect", Sentence).say(effect(preview), "info")

    def _blind(self, network: str, error: Exception) -> None:
        if self.is_mounted and network == self._network():
            self.query_one("#effect", Sentence).say(f"no preview: {clean(error)}", "quiet")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Look again when the address changes; take the old complaint away."""
        if event.input.id == "network":
            self._look()
        self.query_one("#trouble", Sentence).say("")

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Overruling is there once the daemon refused."""
        return self._refused if action == "force" else True

    def on_input_submitted(self) -> None:
        """Send it."""
        self._send(force=False)

    def action_force(self) -> None:
        """Send it, overruling the daemon's refusal."""
        self._send(force=True)

    def _send(self, *, force: bool) -> None:
        network = self._network()
        reason = self.query_one("#reason", Input).value.strip()
        try:
            seconds = quantity.span(self.query_one("#span", Input).value)
        except ValueError as error:
            self._say(str(error), "#span")
            return
        if not is_network(network):
            self._say(
                "write an address, a network, a range, or country:RU, asn:64500, name:HOST, "
                "agent:WHO", "#network",
            )  # fmt: skip
            return
        if not reason:
            self._say("write why: the reason stands in the list and in the audit log", "#reason")
            return
        work = partial(
            self.house.client.add_entry, self.list_name, network, reason=reason, seconds=seconds,
            force=force,
        )  # fmt: skip
        self.house.ask("change", work, self._done, self._no)

    def _say(self, sentence: str, where: str) -> None:
        self.query_one("#trouble", Sentence).say(sentence, "bad")
        for field in self.query(where):
            field.focus()

    def _done(self, change: ListChange) -> None:
        if self.is_mounted:
            self.dismiss(change)

    def _no(self, error: Exception) -> None:
        if self.is_mounted:
            self._refused = True
            self.query_one("#trouble", Sentence).say(clean(error), "bad")
            self.refresh_bindings()


class RemoveEntry(Dialog[ListChange]):
    """Take an address off a list."""

    def __init__(self, name: str, network: str) -> None:
        super().__init__()
        self.list_name = name
        self.network = network

    def title_text(self) -> str:
        """Return what is going to happen."""
        return f"Take {clean(self.network)} off the {self.list_name} list"

    def content(self) -> ComposeResult:
        """Return why it is there, and the field."""
        yield Sentence("", "quiet", id="effect")
        yield from field_row(Field("Reason", id="reason", placeholder="why: goes to the audit log"))
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Look up why it is there."""
        self.query_one("#reason", Input).focus()
        if "/" not in self.network:
            work = partial(self.house.client.why, self.network)
            self.house.ask("why", work, self._why, lambda _error: None)

    def _why(self, why: dict[str, Any]) -> None:
        if self.is_mounted and why.get("text"):
            self.query_one("#effect", Sentence).say(clean(why["text"]), "quiet")

    def on_input_submitted(self) -> None:
        """Send it."""
        reason = self.query_one("#reason", Input).value.strip()
        if not reason:
            self.query_one("#trouble", Sentence).say("write why: it goes to the audit log", "bad")
            return
        work = partial(self.house.client.remove_entry, self.list_name, self.network, reason=reason)
        self.house.ask("change", work, self._done, self._no)

    def _done(self, change: ListChange) -> None:
        if self.is_mounted:
            self.dismiss(change)

    def _no(self, error: Exception) -> None:
        if self.is_mounted:
            self.query_one("#trouble", Sentence).say(clean(error), "bad")


def field_row(field: Field) -> ComposeResult:
    """Return a field with its name before it, on one line."""
    with Horizontal(classes="field"):
        yield Label(field.label, markup=False)
        yield field
