"""The dialog that carries out one of the responses that fit an incident."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from textual.widgets import Input

from ipwatchd.records.duration import duration_text
from tui import quantity
from tui.screens.dialog import Dialog, Field, Sentence
from tui.screens.entry import field_row
from tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

__all__ = ["Respond"]

_SPANS = ("15m", "1h", "4h", "8h", "1d", "7d", "30d")


class Respond(Dialog[dict[str, Any]]):
    """Which, for how long, why; what each is for is said below."""

    def __init__(self, identity: str, offers: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self.identity = identity
        self.offers = {f"{one['kind']} {one['subject']}": one for one in offers}

    def title_text(self) -> str:
        """Return what is going to happen."""
        return f"Respond to {clean(self.identity)}"

    def content(self) -> ComposeResult:
        """Return the fields."""
        names = tuple(clean(name) for name in self.offers)
        if not names:
            yield Sentence("Nothing fits now: what could be done was done, or it is over.", "quiet")
            return
        yield from field_row(Field("Response", names[0], id="which", choices=names))
        yield from field_row(Field("For", "1h", id="span", choices=_SPANS))
        yield from field_row(Field("Reason", id="reason", placeholder="why: stands in the log"))
        yield Sentence("", "quiet", id="effect")
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Begin with the strongest."""
        for field in self.query("#which"):
            field.focus()
            self._explain()

    def _offer(self) -> dict[str, Any] | None:
        wanted = self.query_one("#which", Input).value
        return next((one for name, one in self.offers.items() if clean(name) == wanted), None)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what the chosen response is for; take the old complaint away."""
        if event.input.id == "which":
            self._explain()
        self.query_one("#trouble", Sentence).say("")

    def _explain(self) -> None:
        offer = self._offer()
        text = f"Because {offer['why']}." if offer else "↑ ↓ choose one of those that fit."
        self.query_one("#effect", Sentence).say(clean(text), "quiet")
        if offer and offer["seconds"]:
            self.query_one("#span", Input).value = duration_text(offer["seconds"])

    def on_input_submitted(self) -> None:
        """Carry it out."""
        offer = self._offer()
        try:
            seconds = quantity.span(self.query_one("#span", Input).value)
        except ValueError as error:
            self.no(error)
            return
        if offer is None:
            self.no(ValueError("choose one of the responses with ↑ ↓"))
            return
        work = partial(
            self.house.client.act, self.identity, "respond", kind=offer["kind"],
            subject=offer["subject"], seconds=seconds if offer["seconds"] else 0.0,
            reason=self.query_one("#reason", Input).value.strip(),
        )  # fmt: skip
        self.house.ask("change", work, self.done, self.no)

    def done(self, incident: dict[str, Any]) -> None:
        """Close with the incident as it stands."""
        if self.is_mounted:
            self.dismiss(incident)

    def no(self, error: Exception) -> None:
        """Say what the daemon refused."""
        if self.is_mounted:
            self.query_one("#trouble", Sentence).say(clean(error), "bad")
