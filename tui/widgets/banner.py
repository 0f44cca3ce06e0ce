"""The lines that appear while the daemon does not answer."""

from __future__ import annotations

from tui import quantity
from tui.house import app_of
from tui.text import Piece, clean, fit, wrap
from tui.widgets.lines import Line, Lines

__all__ = ["Banner"]


class Banner(Lines):
    """Three lines at most, there only while the daemon does not answer."""

    DEFAULT_CSS = """
    Banner { height: auto; display: none; }
    Banner.-lost { display: block; }
    """
    GREYS = False

    def build(self) -> list[Line]:
        """Return since when, and why."""
        app = app_of(self)
        model = app.model
        since = quantity.clock(model.lost_since, app.zone)
        text = f"daemon unreachable since {since}, retrying: {clean(model.lost_why)}"
        lines = wrap(text, self.cells - 2)[:3]
        return [[Piece(fit(f" {line}", self.cells), "badge-bad")] for line in lines]

    def follow(self) -> None:
        """Come or go with the daemon."""
        self.set_class(app_of(self).model.stale, "-lost")
        self.redraw(layout=True)
