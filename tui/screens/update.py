"""The dialog that tells those concerned how an incident stands: first the words, then it goes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Input

from tui.screens.dialog import Dialog, Field, Sentence
from tui.screens.entry import field_row
from tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult
    from textual.binding import BindingType

__all__ = ["Update", "on_its_way"]

_SEND: Final = "send it"
_WAYS: Final = (_SEND, "phone", "mail", "post", "portal", "chat", "in person")
"""Sent from here, or told by somebody, which is written down."""


class _Asked(NamedTuple):
    """What the fields say."""

    audience: str
    language: str
    way: str
    to: str


class Update(Dialog[dict[str, Any]]):
    """Enter shows what would be said; Enter again sends it, or writes down that it was told."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "Next field"),
        Binding("pageup", "page(-1)", "Read up", show=False, priority=True),
        Binding("pagedown", "page(1)", "Read on", key_display="PgDn", priority=True),
    ]

    def __init__(self, incident: Mapping[str, Any], policy: Mapping[str, Any]) -> None:
        super().__init__()
        self.incident = incident
        self.audiences = tuple(str(name) for name in policy["audiences"])
        spoken = sorted({str(one["language"]) for one in policy["templates"]})
        self.languages = ("en", *(code for code in spoken if code != "en"))
        self._seen: _Asked | None = None
        """What was looked at: Enter does that, and nothing that was changed since."""

    def title_text(self) -> str:
        """Return what is going to happen."""
        return f"Tell how {clean(self.incident['id'])} stands"

    def content(self) -> ComposeResult:
        """Return the fields and room for the words."""
        language = str(self.incident.get("language") or "en")
        first = next(iter(self.audiences), "")
        yield from field_row(Field("Audience", first, id="audience", choices=self.audiences))
        yield from field_row(Field("Language", language, id="language", choices=self.languages))
        yield from field_row(Field("Way", _SEND, id="way", choices=_WAYS))
        yield from field_row(Field("To", id="to", placeholder="all of them on file", most=200))
        with VerticalScroll(id="words", can_focus=False):
            yield Sentence("Enter shows the words; nothing leaves by that.", "quiet", id="draft")
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Begin at whom to tell."""
        self.query_one("#audience", Input).focus()

    def _values(self) -> _Asked:
        return _Asked(*(self.query_one(f"#{name}", Input).value.strip() for name in _Asked._fields))

    def on_input_changed(self, event: Input.Changed) -> None:
        """What was looked at is no longer what would be said."""
        if self._seen is not None and self._seen != self._values():
            self._seen = None
            self.query_one("#draft", Sentence).say("Changed: Enter looks again.", "quiet")
        if event.input.id == "way":
            hint = "all of them on file" if event.value == _SEND else "who was told"
            self.query_one("#to", Input).placeholder = hint
        self.query_one("#trouble", Sentence).say("")

    def action_page(self, step: int) -> None:
        """Read on in words that are longer than the box."""
        box = self.query_one("#words")
        box.scroll_relative(y=step * max(box.content_size.height - 1, 1), animate=False)

    def on_input_submitted(self) -> None:
        """Show the words, or do what was looked at."""
        asked = self._values()
        if asked.way not in _WAYS:
            self.no(ValueError(f"{asked.way!r} is none of {', '.join(_WAYS)}"))
        elif asked.way != _SEND and not asked.to:
            self.no(ValueError("write who was told"))
        elif self._seen == asked:
            self.house.ask("change", partial(self._tell, asked), self.done, self.no)
        else:
            identity = str(self.incident["id"])
            work = partial(self.house.client.update, identity, asked.audience, asked.language)
            self.house.ask("preview", work, partial(self._looked, asked), self.no)

    def _tell(self, asked: _Asked) -> dict[str, Any]:
        """Send it, or write down that it was told; off the loop."""
        action, way = ("send", {}) if asked.way == _SEND else ("update", {"way": asked.way})
        return self.house.client.act(
            str(self.incident["id"]), action, audience=asked.audience, language=asked.language,
            to=asked.to, **way,
        )  # fmt: skip

    def _looked(self, asked: _Asked, draft: Mapping[str, Any]) -> None:
        if not self.is_mounted or asked != self._values():
            return
        self._seen = asked
        lines = [f"{draft['tlp']}, {draft['language']}", draft["subject"], ""]
        text = "\n".join(clean(line) for line in (*lines, *str(draft["text"]).splitlines()))
        self.query_one("#draft", Sentence).say(text, "info")
        self.query_one("#words").scroll_home(animate=False)
        does = "sends this" if asked.way == _SEND else f"writes down that {asked.to} was told this"
        self.query_one("#trouble", Sentence).say(f"Enter {clean(does)}.", "warn")

    def done(self, incident: dict[str, Any]) -> None:
        """Close with the incident as it stands."""
        if self.is_mounted:
            self.dismiss(incident)

    def no(self, error: Exception) -> None:
        """Say what was refused, as a marking that the audience may not read."""
        if self.is_mounted:
            self.query_one("#trouble", Sentence).say(clean(error), "bad")


def on_its_way(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Say where letters that were not there before go; who was told otherwise is in the log."""
    known = {one["number"] for one in before.get("letters", ())}
    ways = [
        f"{clean(one['to'])} by {clean(one['channel'])}"
        for one in after.get("letters", ()) if one["number"] not in known
    ]  # fmt: skip
    return f"on its way to {', '.join(ways)}" if ways else "it stands in the timeline"
