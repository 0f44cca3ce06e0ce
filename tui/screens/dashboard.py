"""The dashboard: traffic, health, busiest addresses, newest incidents."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

import msgspec
from textual.binding import Binding
from textual.containers import Container

from tui.chart import WINDOWS
from tui.records import INCIDENTS, TOP, identify
from tui.screens.frame import Frame
from tui.screens.reading import HealthBox
from tui.text import clean
from tui.widgets.filter_line import FilterLine
from tui.widgets.health import Health
from tui.widgets.table import Table
from tui.widgets.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widgets import Input

    from ipwatchd.control.messages import Page, Throughput, TopRow

__all__ = ["Dashboard"]

_BY = ("bytes", "packets", "flows")


class Dashboard(Frame):
    """What an admin looks at first."""

    TAB = "dashboard"
    HELP = (
        "Traffic, health, the busiest addresses and the newest open incidents. Tab goes from one "
        "list to the other; Enter opens the marked address or incident. A cross marks what is "
        "denied."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "window", "Window", tooltip="Show 15 minutes, 1, 6 or 24 hours"),
        Binding("h", "health", "Health", tooltip="All of the health panel"),
        Binding("m", "app.mode", "Mode", tooltip="Change the firewall's mode, for a trial"),
        Binding("b", "by", "By", tooltip="Order the busiest by bytes, packets or flows"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.by = _BY[0]

    def content(self) -> ComposeResult:
        """Return the four panels."""
        with Container(id="upper"):
            yield Traffic(id="traffic")
            yield Health(id="health")
        with Container(id="lower"):
            yield Table(TOP, identify, id="top", empty="no traffic in this time")
            yield Table(INCIDENTS, identify, title="Newest incidents", id="newest",
                        empty="no open incidents")  # fmt: skip
        yield FilterLine("show only rows that contain …")

    def on_mount(self) -> None:
        """Begin with the busiest addresses."""
        self.query_one("#health").border_title = "Health"
        self.query_one("#top").focus()
        self._titles()

    def _titles(self) -> None:
        self.query_one("#top", Table).set_title(
            f"Top addresses by {self.by}, last {self.house.window}"
        )
        self.query_one(Traffic).refresh_title()

    def follow(self) -> None:
        """Draw what the model now says."""
        super().follow()
        self._titles()

    def poll(self) -> None:
        """Ask for traffic, busiest addresses and incidents."""
        app, window = self.house, self.house.window
        client = app.client
        limit = max(self.size.height * 2, 40)
        app.ask("throughput", partial(client.throughput, since=window), self._took_throughput)
        app.ask("top", partial(client.top, by=self.by, since=window, limit=limit), self._took_top)
        app.ask("newest", partial(client.incidents, limit=limit), self._took_incidents)

    def _took_throughput(self, buckets: Sequence[Throughput]) -> None:
        self.house.model.throughput = buckets
        if self.is_mounted:
            self.query_one(Traffic).redraw()
            self._titles()

    def _took_top(self, rows: Sequence[TopRow]) -> None:
        self.house.model.top = rows
        if self.is_mounted:
            self.query_one("#top", Table).set_rows([msgspec.structs.asdict(row) for row in rows])

    def _took_incidents(self, page: Page) -> None:
        if self.is_mounted:
            self.query_one("#newest", Table).set_rows(page.rows)

    def why_prefill(self) -> str:
        """Name the incident where one is marked."""
        row = self.marked_row()
        if row is not None and "title" in row:
            return clean(f"{row.get('title')} ({row.get('id', '')})")
        return ""

    def action_health(self) -> None:
        """Show all lines of the health panel."""
        self.app.push_screen(HealthBox())

    def action_window(self) -> None:
        """Show a longer time, after the longest the shortest."""
        names = list(WINDOWS)
        self.house.window = names[(names.index(self.house.window) + 1) % len(names)]
        self._titles()
        self.poll()

    def action_by(self) -> None:
        """Count the busiest by something else."""
        self.by = _BY[(_BY.index(self.by) + 1) % len(_BY)]
        self._titles()
        self.poll()

    def on_table_chosen(self, event: Table.Chosen) -> None:
        """Enter on a row."""
        self.house.open_row(event.row)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter the list that was looked at as one types."""
        for table in self.query(Table):
            table.set_needle(event.value)

    def on_input_submitted(self) -> None:
        """Keep the filter."""
        self.close_filter()
