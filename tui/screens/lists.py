"""The lists: deny and allow entries; add, remove."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding

from tui.records import ENTRIES, identify
from tui.screens.files import ExportList, ImportList
from tui.screens.frame import Frame
from tui.widgets.filter_line import FilterLine
from tui.widgets.table import Table

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widgets import Input

__all__ = ["Lists"]

_MOST = 5000
"""Entries shown: a feed of a million is no list to page through."""
_COST = 20
"""A list that took a second to come is asked for again after as many seconds, not every two."""


class Lists(Frame):
    """The entries of one list; left and right change to the other."""

    TAB = "lists"
    HELP = (
        "What may never pass (deny) and what always may (allow). n adds an entry, u takes the "
        "marked one off, left and right change between the lists. An allow entry wins over a deny. "
        "i takes a file in after a look at it, e writes one, m changes the firewall's mode."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New", tooltip="Add an address or network to this list"),
        Binding("u,delete", "release", "Remove", tooltip="Take the marked entry off this list"),
        Binding("right,left", "other", "Deny/allow", key_display="←→"),
        Binding("i", "import", "Import", tooltip="Take entries in from a file, after a look"),
        Binding("e", "export", "Export", tooltip="Write this list to a file"),
        Binding("m", "app.mode", "Mode", tooltip="Change the firewall's mode, for a trial"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.name_shown = "deny"
        self._not_before = 0.0

    def content(self) -> ComposeResult:
        """Return the one table."""
        yield Table(ENTRIES, identify, id="rows", empty="no entries: n adds one")
        yield FilterLine("show only entries that contain …")

    def on_mount(self) -> None:
        """Begin in the list."""
        self.query_one(Table).focus()
        self._title()

    def _title(self) -> None:
        table = self.query_one(Table)
        many = len(table.rows)
        number = f"{many:,} entries" if many else "no entries"
        if many >= _MOST:
            number = f"the first {many:,} entries (feeds come last; `deny list` has all)"
        table.set_title(f"{self.name_shown.capitalize()} list, {number}")

    def poll(self) -> None:
        """Ask for the list, seldom where it is long."""
        if self.house.here() >= self._not_before:
            self._ask(fresh=False)

    def reload(self) -> None:
        """Ask for the list at once."""
        self._ask(fresh=False)

    def _ask(self, *, fresh: bool) -> None:
        name, asked = self.name_shown, self.house.here()
        self.house.ask(
            "entries",
            partial(self.house.client.entries, name, limit=_MOST),
            partial(self._took, name, asked, fresh),
        )

    def _took(self, name: str, asked: float, fresh: bool, rows: list[dict[str, Any]]) -> None:
        if not self.is_mounted or name != self.name_shown:
            return
        self.query_one(Table).set_rows(rows, fresh=fresh)
        self._title()
        here = self.house.here()
        self._not_before = here + (here - asked) * _COST

    def is_denied(self) -> bool:
        """Every row here is an entry."""
        return True

    def action_new(self) -> None:
        """Ask for an address or network, how long and why."""
        self.house.edit_list(self.name_shown, "")

    def action_release(self) -> None:
        """Take the marked entry off."""
        row = self.marked_row()
        if row is not None:
            self.house.remove_entry(self.name_shown, str(row.get("network", "")))

    def action_import(self) -> None:
        """Take a file in."""
        self.house.push_screen(ImportList(self.name_shown), self._told)

    def action_export(self) -> None:
        """Write a file."""
        self.house.push_screen(ExportList(self.name_shown), self._told)

    def _told(self, sentence: str | None) -> None:
        if sentence:
            self.house.tell(sentence)
            self._ask(fresh=False)

    def action_other(self) -> None:
        """Show the other list."""
        self.name_shown = "allow" if self.name_shown == "deny" else "deny"
        self.query_one(Table).forget()
        self._title()
        self._ask(fresh=True)

    def on_table_chosen(self, event: Table.Chosen) -> None:
        """Enter on a row."""
        self.house.open_row(event.row)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as one types."""
        self.query_one(Table).set_needle(event.value)

    def on_input_submitted(self) -> None:
        """Keep the filter."""
        self.close_filter()
