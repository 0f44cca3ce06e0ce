"""A form: questions, each over its field; what is required is held until it is answered."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll

from tui.screens.dialog import Dialog, Field, Sentence
from tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widgets import Input

__all__ = ["Ask", "Form", "in_language"]

_MOST = 5000
"""Characters of one answer."""


class Ask(NamedTuple):
    """One question. `several`: more than one choice may be named, with commas."""

    id: str
    text: str
    required: bool = False
    choices: tuple[str, ...] = ()
    several: bool = False
    value: str = ""


def in_language(texts: dict[str, str], language: str) -> str:
    """Return a text of a data file in a language, in English where it has no other."""
    return texts.get(language) or texts.get("en") or next(iter(texts.values()), "")


class Answer(Field):
    """The field of one question."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "submit", "Next")]

    def __init__(self, ask: Ask) -> None:
        one_of = () if ask.several else ask.choices
        hint = "↑ ↓ choose" if one_of else "some of them, with commas" if ask.several else "…"
        super().__init__(
            ask.text, ask.value, id=f"ask-{ask.id}", most=_MOST, placeholder=hint, choices=one_of
        )


class Form(Dialog[dict[str, Any]]):
    """Questions one under the other; Enter goes on to the next, ctrl+s sends them all.

    `send` takes the answers, calls the daemon and says by `done` or `no` what it said.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send", "Send", priority=True),
        Binding("tab", "app.focus_next", "Next field"),
    ]
    AUTO_FOCUS = ""
    """None by itself: it would scroll to where a field was before the questions were laid out."""

    def asks(self) -> Sequence[Ask]:
        """Return the questions."""
        raise NotImplementedError

    def about(self) -> str:
        """Return the sentence above the questions."""
        return ""

    def send(self, answers: dict[str, str]) -> None:
        """Send what was answered; ends in `done` or `no`."""
        raise NotImplementedError

    def content(self) -> ComposeResult:
        """Return the questions in a box that scrolls."""
        with VerticalScroll(id="questions", can_focus=False):
            yield Sentence(clean(self.about()), "quiet")
            for ask in self.asks():
                with Vertical(classes="ask"):
                    yield Sentence(_asked(ask), "strong" if ask.required else "text")
                    yield Answer(ask)
        yield Sentence(id="trouble")

    def on_mount(self) -> None:
        """Begin in the first field that is empty."""
        fields = list(self.query(Answer))
        empty = next((one for one in fields if not one.value), fields[0] if fields else None)
        if empty is not None:
            empty.focus(scroll_visible=False)
        # Questions wrap once their width is known: what was in sight moves then.
        self.watch(self.query_one("#questions"), "virtual_size", self.on_descendant_focus)

    def on_descendant_focus(self) -> None:
        """Keep the question in sight, not its field alone."""
        if isinstance(self.focused, Answer) and self.focused.parent is not None:
            show = partial(self.query_one("#questions").scroll_to_widget, animate=False)
            self.call_after_refresh(show, cast("Vertical", self.focused.parent))

    def on_input_changed(self) -> None:
        """Take the old complaint away."""
        self.query_one("#trouble", Sentence).say("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go on to the next question; after the last, send."""
        fields: list[Input] = list(self.query(Answer))
        if fields and event.input is fields[-1]:
            self.action_send()
        else:
            self.app.action_focus_next()

    def action_send(self) -> None:
        """Send it, unless an answer that must be there is not."""
        answers = {}
        for ask in self.asks():
            field = self.query_one(f"#ask-{ask.id}", Answer)
            value = field.value.strip()
            if ask.required and not value:
                self.query_one("#trouble", Sentence).say(f"not answered: {clean(ask.text)}", "bad")
                field.focus()
                return
            if value:
                answers[ask.id] = value
        self.send(answers)

    def done(self, result: dict[str, Any]) -> None:
        """Close with what the daemon returned."""
        if self.is_mounted:
            self.dismiss(result)

    def no(self, error: Exception) -> None:
        """Say what the daemon refused."""
        if self.is_mounted:
            self.query_one("#trouble", Sentence).say(clean(error), "bad")


def _asked(ask: Ask) -> str:
    text = clean(ask.text) + (" *" if ask.required else "")
    return f"{text}  [{', '.join(ask.choices)}]" if ask.choices else text
