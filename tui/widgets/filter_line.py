"""The filter line: `/` opens it, Enter keeps the filter, Escape takes it away."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.message import Message
from textual.widgets import Input

if TYPE_CHECKING:
    from textual.binding import BindingType

__all__ = ["FilterLine"]


class FilterLine(Input):
    """An input of one line, marked with a slash."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Apply"),
        Binding("escape", "leave", "Clear"),
        Binding("down", "keep", "To the list", show=False),
    ]
    MOST: ClassVar[int] = 500

    class Left(Message):
        """Escape: the filter is taken away."""

    class Kept(Message):
        """Down: to the list, the filter stays as it was last applied."""

    def __init__(self, placeholder: str, *, id: str = "filter") -> None:  # noqa: A002 - Textual's word
        super().__init__(
            placeholder=placeholder, id=id, compact=True, max_length=self.MOST,
            select_on_focus=False,
        )  # fmt: skip

    def action_leave(self) -> None:
        """Take the filter away and go back."""
        self.value = ""
        self.post_message(self.Left())

    def action_keep(self) -> None:
        """Go to the list."""
        self.post_message(self.Kept())
