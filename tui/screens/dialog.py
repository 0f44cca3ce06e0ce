"""What all dialogs have: a titled box over the screen, a sentence, fields, Escape."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tui.house import app_of
from tui.text import Piece, wrap
from tui.widgets.keys import Keys
from tui.widgets.lines import Line, Lines

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from tui.house import House

__all__ = ["Dialog", "Field", "Sentence"]

T = TypeVar("T")


class Sentence(Lines):
    """Text in a dialog, wrapped, with a meaning; nothing where it is empty."""

    DEFAULT_CSS = "Sentence { height: auto; }"

    def __init__(self, text: str = "", meaning: str = "text", *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.text = text
        self.meaning = meaning

    def say(self, text: str, meaning: str = "text") -> None:
        """Say something else."""
        self.text, self.meaning = text, meaning
        self.redraw(layout=True)

    def build(self) -> list[Line]:
        """Return the text in lines."""
        if not self.text:
            return []
        parts = [line for part in self.text.split("\n") for line in wrap(part, max(self.cells, 10))]
        return [[Piece(line, self.meaning)] for line in parts]


class Field(Input):
    """An input of one line with its name before it; up and down go through its choices."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # Not a priority binding of the dialog: that would overtake letters of the same burst.
        Binding("enter", "submit", "Do it"),
        Binding("down", "choice(1)", "Next choice", show=False),
        Binding("up", "choice(-1)", "Previous choice", show=False),
    ]

    def __init__(
        self, label: str, value: str = "", *, choices: tuple[str, ...] = (), placeholder: str = "",
        id: str = "", most: int = 500,  # noqa: A002 - Textual's word
    ) -> None:  # fmt: skip
        super().__init__(
            value, id=id, compact=True, placeholder=placeholder, max_length=most,
            select_on_focus=bool(choices),
        )  # fmt: skip
        self.label = label
        self.choices = choices

    def action_choice(self, step: int) -> None:
        """Take the next choice."""
        if self.choices:
            now = self.choices.index(self.value) if self.value in self.choices else -step
            self.value = self.choices[(now + step) % len(self.choices)]


class Dialog(ModalScreen[T]):
    """A box; subclasses give its title and what is in it. Escape leaves without doing anything."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel")]
    TITLE_TEXT: ClassVar[str] = ""

    @property
    def house(self) -> House:
        """Return our app, typed."""
        return app_of(self)

    def title_text(self) -> str:
        """Return the box's title."""
        return self.TITLE_TEXT

    def content(self) -> ComposeResult:
        """Return what is in the box."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """Return the box and the keys."""
        from rich.text import Text

        box = Vertical(id="box")
        box.border_title = Text(self.title_text())
        with box:
            yield from self.content()
        yield Keys()

    def action_leave(self) -> None:
        """Leave without doing anything."""
        self.dismiss(None)
