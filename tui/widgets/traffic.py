"""The throughput graph: bits per second over the last minutes or hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui import chart, quantity
from tui.house import app_of
from tui.text import Piece, fit
from tui.widgets.lines import Line, Lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from ipwatchd.control.messages import Throughput

__all__ = ["Traffic", "traffic_lines"]

_GUTTER = 6


def traffic_lines(
    buckets: Sequence[Throughput], window: float, now: float, cells: int, rows: int,
    zone: tzinfo | None,
) -> list[Line]:  # fmt: skip
    """Return the graph with its scale at the left and the time of day below."""
    columns = max(cells - _GUTTER - 2, 1)
    height = max(rows - 1, 1)
    values = chart.resample(buckets, columns, now - window, now)
    top = chart.ceiling(max(values, default=0.0))
    lines: list[Line] = []
    for index, text in enumerate(chart.draw(values, height, top)):
        label = ""
        if index == 0:
            label = quantity.count(top)
        elif height >= 4 and index == height // 2 and height % 2 == 0:
            label = quantity.count(top / 2)
        lines.append([
            Piece(f"{fit(label, _GUTTER - 1, right=True)} ", "quiet"), Piece(text, "traffic")
        ])  # fmt: skip
    return [*lines, _times(now, window, columns, zone)]


def _times(now: float, window: float, columns: int, zone: tzinfo | None) -> Line:
    marks = 3 if columns < 90 else 5
    text = ""
    for mark in range(marks):
        label = quantity.clock(now - window * (1 - mark / (marks - 1)), zone)
        if mark == marks - 1:
            label = "now"
        place = round(columns * mark / (marks - 1))
        place -= (0, len(label) // 2, len(label))[(mark > 0) + (mark == marks - 1)]
        text = fit(text, max(place, 0)) + label
    return [Piece(f"{fit('0', _GUTTER - 1, right=True)} {text}", "quiet")]


class Traffic(Lines):
    """The graph in its panel; the title says what it shows and the highest point."""

    def build(self) -> list[Line]:
        """Return as many lines as there is room for."""
        app = app_of(self)
        window = float(chart.WINDOWS[app.window])
        return traffic_lines(
            app.model.throughput, window, app.now(), self.cells, self.rows, app.zone
        )

    def refresh_title(self) -> None:
        """Say the window and the peak in the rule above."""
        app = app_of(self)
        now = app.now()
        start = now - chart.WINDOWS[app.window]
        buckets = app.model.throughput
        peak = f", peak {quantity.bits(chart.peak(buckets, start, now))}" if buckets else ""
        self.border_title = f"Throughput, last {app.window}{peak}"
