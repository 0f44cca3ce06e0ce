"""What every screen has: header, banner, footer, and what can be done to the marked address."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.screen import Screen

from tui.house import app_of
from tui.records import address_of
from tui.widgets.banner import Banner
from tui.widgets.filter_line import FilterLine
from tui.widgets.header import Header
from tui.widgets.keys import Keys
from tui.widgets.lines import Lines
from tui.widgets.table import Table

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from tui.columns import Row
    from tui.house import House

__all__ = ["Frame"]


class Frame(Screen[None]):
    """A screen of the app; `TAB` names its place in the header, `HELP` is what ? says of it."""

    TAB: ClassVar[str] = ""
    HELP: ClassVar[str] = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide"), (180, "-broad")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-high")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "deny", "Deny", tooltip="Deny the marked address for a time"),
        Binding("a", "allow", "Allow", tooltip="Allow the marked address, whatever else denies it"),
        Binding("u", "release", "Release", tooltip="Take the marked address off its list"),
    ]

    @property
    def house(self) -> House:
        """Return our app, typed."""
        return app_of(self)

    def compose(self) -> ComposeResult:
        """Return header, banner, what the screen is, and the keys."""
        yield Header(self.TAB)
        yield Banner()
        yield from self.content()
        yield Keys()

    def content(self) -> ComposeResult:
        """Return what is between header and footer."""
        raise NotImplementedError

    def poll(self) -> None:
        """Ask for what is shown; called every few seconds and when the screen is looked at.

        What the daemon's audit log notes (records, pages) is asked for once, and by `reload`.
        """

    def reload(self) -> None:
        """Ask for what is shown now, because somebody wants it or something changed."""
        self.poll()

    def follow(self) -> None:
        """Draw what the model now says."""
        self.query_one(Banner).follow()
        for lines in self.query(Lines):
            lines.redraw()
        for table in self.query(Table):
            table.refresh()

    def on_screen_resume(self) -> None:
        """Show the newest at once."""
        self.follow()
        self.poll()

    def marked_table(self) -> Table | None:
        """Return the table whose row is meant: the focused one, else the first."""
        if isinstance(self.focused, Table):
            return self.focused
        return next(iter(self.query(Table)), None)

    def marked_row(self) -> Row | None:
        """Return the row that is meant."""
        table = self.marked_table()
        return table.marked if table is not None else None

    def target(self) -> str:
        """Return the address or network that is meant, or ""."""
        row = self.marked_row()
        return address_of(row) if row is not None else ""

    def why_prefill(self) -> str:
        """Return the reason to begin with in the dialog."""
        return ""

    def is_denied(self) -> bool:
        """Whether there may be an entry to take off."""
        row = self.marked_row()
        return bool(row is not None and row.get("denied"))

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Offer only what applies to the marked row."""
        if action in {"deny", "allow"}:
            return bool(self.target())
        if action == "release":
            return bool(self.target()) and self.is_denied()
        return True

    def action_deny(self) -> None:
        """Ask how long and why, then deny."""
        self.house.edit_list("deny", self.target(), self.why_prefill())

    def action_allow(self) -> None:
        """Ask how long and why, then allow."""
        self.house.edit_list("allow", self.target(), self.why_prefill())

    def action_release(self) -> None:
        """Take the marked address off the deny list."""
        self.house.remove_entry("deny", self.target())

    def on_table_marked(self) -> None:
        """Show the keys that apply to the row."""
        self.refresh_bindings()

    def on_descendant_focus(self) -> None:
        """Show the keys that apply there, and the cursor."""
        for table in self.query(Table):
            table.refresh()
        self.refresh_bindings()

    def open_filter(self) -> None:
        """Open the filter line, where the screen has one."""
        for line in self.query(FilterLine):
            line.add_class("-open")
            line.focus()

    def close_filter(self) -> None:
        """Go back to the list; an empty line goes away."""
        for line in self.query(FilterLine):
            line.set_class(bool(line.value), "-open")
        table = next(iter(self.query(Table)), None)
        if table is not None:
            table.focus()

    def on_filter_line_left(self) -> None:
        """Escape in the filter line."""
        self.close_filter()

    def on_filter_line_kept(self) -> None:
        """Down in the filter line."""
        self.close_filter()
