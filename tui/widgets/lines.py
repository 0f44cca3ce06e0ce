"""Widgets that are some lines of pieces, drawn through Textual's Line API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tui.house import app_of
from tui.text import Piece
from tui.themes import style

if TYPE_CHECKING:
    from textual.geometry import Size

__all__ = ["Line", "Lines", "strip", "sum_width"]

Line = Sequence[Piece]


def sum_width(pieces: Iterable[Piece]) -> int:
    """Return the cells that pieces take."""
    return sum(cell_len(piece.text) for piece in pieces)


def strip(pieces: Line, theme: str, base: Style, cells: int, *, over: str = "") -> Strip:
    """Return pieces as one line of a screen; `over` is a meaning laid over the whole line."""
    laid = style(theme, over) if over else Style.null()
    # A reversed row whose pieces keep their colours is a row of coloured blocks.
    flat = bool(laid.reverse)
    segments = []
    for piece in pieces:
        look = base + style(theme, "text" if flat else piece.meaning or "text") + laid
        if piece.action:
            look += Style(meta={"@click": piece.action})
        segments.append(Segment(piece.text, look))
    return Strip(segments).adjust_cell_length(cells, base + laid)


class Lines(Widget):
    """A widget whose content is what `build` returns, built again when it is refreshed."""

    ALLOW_SELECT = False
    GREYS: ClassVar[bool] = True
    """Whether it goes grey while the daemon does not answer."""

    cells: int = 0
    rows: int = 0
    _built: list[Line] | None = None
    _built_for: tuple[int, int] = (0, 0)

    def build(self) -> list[Line]:
        """Return the lines for `cells` of width and, where it is not auto, `rows` of height."""
        raise NotImplementedError

    def lines(self) -> list[Line]:
        """Return the lines as they are now, built once between refreshes."""
        size = (self.size.width, self.size.height)
        if self._built is None or self._built_for != size:
            self.cells, self.rows = size
            self._built = self.build()
            self._built_for = size
        return self._built

    def redraw(self, *, layout: bool = False) -> None:
        """Build again and draw."""
        self._built = None
        self.refresh(layout=layout)

    def notify_style_update(self) -> None:
        """Draw again when the theme changed."""
        super().notify_style_update()
        self._built = None

    def get_content_height(self, _container: Size, _viewport: Size, width: int) -> int:
        """Return how many lines there are, for a height of auto."""
        self.cells, self.rows = width, 0
        return len(self.build())

    def render_line(self, y: int) -> Strip:
        """Return one line of the screen."""
        lines = self.lines()
        app = app_of(self)
        over = "stale" if self.GREYS and app.model.stale else ""
        line = lines[y] if y < len(lines) else ()
        if over:
            line = [Piece(piece.text, over, piece.action) for piece in line]
        return strip(line, app.theme, self.rich_style, self.size.width)
