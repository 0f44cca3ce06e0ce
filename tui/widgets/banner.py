"""The line that appears while the daemon does not answer."""

from __future__ import annotations

from tui import quantity
from tui.text import Piece, clean, elide, fit
from tui.widgets.lines import Line, Lines, app_of

__all__ = ["Banner"]


class Banner(Lines):
    """One line, there only while the daemon does not answer."""

    DEFAULT_CSS = """
    Banner { dock: top; height: 1; display: none; }
    Banner.-lost { display: block; }
    """
    GREYS = False

    def build(self, width: int, height: int) -> list[Line]:
        """Return since when, and why."""
        app = app_of(self)
        model = app.model
        since = quantity.clock(model.lost_since, app.zone)
        text = f" daemon unreachable since {since}, retrying: {clean(model.lost_why)}"
        return [[Piece(fit(elide(text, width), width), "badge-bad")]]

    def follow(self) -> None:
        """Come or go with the daemon."""
        self.set_class(app_of(self).model.stale, "-lost")
        self.redraw()
