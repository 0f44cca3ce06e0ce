"""A page that is read: lines that scroll, of an address or an incident."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.containers import VerticalScroll

from tui.columns import Context
from tui.screens.frame import Frame
from tui.text import CROSS, Piece, clean
from tui.widgets.lines import Line, Lines

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

__all__ = ["Page"]


class Sheet(Lines):
    """The lines of a page."""

    DEFAULT_CSS = "Sheet { height: auto; }"

    def build(self) -> list[Line]:
        """Return what the page says."""
        page = self.screen
        return page.written(max(self.cells, 20)) if isinstance(page, Page) else []


class Page(Frame):
    """A screen on top of another; Escape goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "app.leave_page", "Back"),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.trouble = ""

    def content(self) -> ComposeResult:
        """Return the sheet in a box that scrolls."""
        with VerticalScroll(id="paper"):
            yield Sheet()

    def on_mount(self) -> None:
        """Begin at the top, where the arrows scroll."""
        self.query_one("#paper").focus()
        self.set_page_title()

    def set_page_title(self) -> None:
        """Name the page in its top rule."""
        from rich.text import Text

        self.query_one("#paper").border_title = Text(self.page_title())

    def page_title(self) -> str:
        """Return what the page is about."""
        raise NotImplementedError

    def written(self, cells: int) -> list[Line]:
        """Return the page's lines for a width."""
        raise NotImplementedError

    def rewrite(self) -> None:
        """Write the page again from what is known now."""
        self.set_page_title()
        self.query_one(Sheet).redraw(layout=True)
        self.refresh_bindings()

    def failed(self, error: Exception) -> None:
        """Say on the page why there is nothing new."""
        if self.is_mounted:
            self.trouble = str(error)
            self.rewrite()

    def context(self) -> Context:
        """Return what cells need."""
        return Context(self.house.now(), self.house.zone)

    def waiting(self) -> list[Line]:
        """Return what is said before the first answer."""
        if self.trouble:
            return [[Piece(f" {CROSS} {clean(self.trouble)}", "bad")]]
        return [[Piece(" asking …", "quiet")]]
