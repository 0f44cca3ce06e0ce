"""The incidents: open ones, or all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding

from tui.records import INCIDENTS, identify
from tui.screens.frame import Frame
from tui.screens.intake import begin
from tui.text import clean
from tui.widgets.filter_line import FilterLine
from tui.widgets.table import Table

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widgets import Input

    from ipwatchd.control.messages import Page

__all__ = ["Incidents"]

_STATES = ("open", "all", "NEW", "TRIAGE", "CONFIRMED", "CONTAINED", "RESOLVED", "REVIEW", "CLOSED")
_PAGE = 200


class Incidents(Frame):
    """A list of incidents, the newest first."""

    TAB = "incidents"
    HELP = (
        "Incidents, the newest first. Enter opens one, with its timeline and what can be done; "
        "d denies its subject. Left and right choose open ones, all, or those of one state. "
        "n takes in what somebody tells you, led by the questions of its kind."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,left_square_bracket", "state(1)", "State", key_display="←→"),
        Binding("left,right_square_bracket", "state(-1)", "State", show=False),
        Binding("n", "report", "New report", tooltip="Take in what a person tells you"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.state = _STATES[0]

    def content(self) -> ComposeResult:
        """Return the one table."""
        yield Table(INCIDENTS, identify, id="rows", empty="no incidents here")
        yield FilterLine("show only incidents that contain …")

    def on_mount(self) -> None:
        """Begin in the list."""
        self.query_one(Table).focus()
        self._title()

    def _title(self) -> None:
        table = self.query_one(Table)
        more = "+" if table.more else ""
        table.set_title(f"Incidents: {self.state.lower()}, {len(table.rows)}{more}")

    def poll(self) -> None:
        """Ask for the first page, unless further ones are being read."""
        tables = self.query(Table)
        if not tables or len(tables.first().rows) <= _PAGE:
            self._ask(0, fresh=False)

    def _ask(self, offset: int, *, fresh: bool) -> None:
        state = self.state
        self.house.ask(
            "incidents",
            partial(self.house.client.incidents, state=state, limit=_PAGE, offset=offset),
            partial(self._took, state, offset, fresh),
        )

    def _took(self, state: str, offset: int, fresh: bool, page: Page) -> None:
        if not self.is_mounted or state != self.state:
            return
        table = self.query_one(Table)
        if offset and offset == len(table.rows):
            table.add_rows(page.rows, more=page.more)
        elif not offset:
            table.set_rows(page.rows, more=page.more, fresh=fresh)
        self._title()

    def reload(self) -> None:
        """Ask for the first page again."""
        self._ask(0, fresh=False)

    def on_table_more(self, event: Table.More) -> None:
        """Ask for the next page."""
        self._ask(len(event.table.rows), fresh=False)

    def why_prefill(self) -> str:
        """Name the incident."""
        row = self.marked_row() or {}
        return clean(f"{row.get('title', '')} ({row.get('id', '')})")

    def action_state(self, step: int) -> None:
        """Show incidents of the next state."""
        self.state = _STATES[(_STATES.index(self.state) + step) % len(_STATES)]
        self.query_one(Table).forget()
        self._title()
        self._ask(0, fresh=True)

    def action_report(self) -> None:
        """Take a report in."""
        begin(self)

    def on_table_chosen(self, event: Table.Chosen) -> None:
        """Enter on a row."""
        self.house.open_row(event.row)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as one types."""
        self.query_one(Table).set_needle(event.value)

    def on_input_submitted(self) -> None:
        """Keep the filter."""
        self.close_filter()
