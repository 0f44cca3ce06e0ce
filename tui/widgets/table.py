"""The one table of all lists: only the rows on the screen are ever drawn.

Textual's DataTable takes half a minute for 100,000 rows; here a row is formatted when its line is
on the screen. Rows come in pages (`More` asks for the next); when they come again the cursor
stays on the row it was on, and that row stays where it was on the screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView

from tui.columns import Cells, Column, Context, Row, fit_cell, layout, sort_key
from tui.house import app_of
from tui.text import Piece, clean, fit
from tui.widgets.lines import strip

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from rich.text import Text
    from textual import events
    from textual.binding import BindingType
    from textual.strip import Strip

__all__ = ["Table"]

_NEAR: Final = 30
"""Rows before the last at which the next page is asked for."""


class Table(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under columns, a cursor, a sort order and a filter over what is loaded."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "choose", "Open"),
        Binding("s", "sort", "Sort", show=False),
        Binding("S", "turn", "Turn the order", show=False),
    ]

    class Marked(Message):
        """The cursor is on another row."""

        def __init__(self, table: Table) -> None:
            super().__init__()
            self.table = table

    class Chosen(Message):
        """Enter or a second click on a row."""

        def __init__(self, table: Table, row: Row) -> None:
            super().__init__()
            self.table = table
            self.row = row

    class More(Message):
        """The cursor is near the last row that is loaded."""

        def __init__(self, table: Table) -> None:
            super().__init__()
            self.table = table

    def __init__(
        self, columns: Sequence[Column], identify: Callable[[Row], Hashable], *, title: str = "",
        empty: str = "nothing yet", id: str | None = None,  # noqa: A002 - Textual's word
    ) -> None:  # fmt: skip
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.empty = empty
        self.more = False
        self.loaded = False
        self.cursor = 0
        self.needle = ""
        self.sort: tuple[str, bool] | None = None
        self._identify = identify
        self._title = title
        self._rows: list[Row] = []
        self._shown: list[Row] = []
        self._cells: tuple[Cells, ...] = ()
        self._laid_for: tuple[int, int] = (-1, 0)
        self._scale = 0.0
        self._asked_at = -1

    @property
    def rows(self) -> Sequence[Row]:
        """All rows that are loaded."""
        return self._rows

    @property
    def shown(self) -> Sequence[Row]:
        """The rows that the filter lets through, in order."""
        return self._shown

    @property
    def marked(self) -> Row | None:
        """The row under the cursor."""
        return self._shown[self.cursor] if self.cursor < len(self._shown) else None

    def on_mount(self) -> None:
        """Set the title; it may hold anything, so it is never markup."""
        self.set_title(self._title)

    def set_title(self, title: str | Text) -> None:
        """Name the table in its top rule."""
        from rich.text import Text

        text = Text(clean(title)) if isinstance(title, str) else title
        self.border_title = text

    def set_rows(
        self, rows: Sequence[Row], *, columns: Sequence[Column] | None = None, more: bool = False,
        fresh: bool = False,
    ) -> None:  # fmt: skip
        """Show these rows. `fresh`: they answer another question, so start at the first."""
        if columns is not None:
            self.columns = tuple(columns)
        key = None if fresh or self.marked is None else self._identify(self.marked)
        self._rows = list(rows)
        self.loaded = True
        self.more = more
        self._asked_at = -1
        self._arrange(key, fresh=fresh)

    def forget(self, columns: Sequence[Column] | None = None) -> None:
        """Show nothing until rows come: the old ones answer another question."""
        self.set_rows([], columns=columns, fresh=True)
        self.loaded = False

    def add_rows(self, rows: Sequence[Row], *, more: bool) -> None:
        """Put the next page below."""
        self.set_rows([*self._rows, *rows], more=more)

    def set_needle(self, needle: str) -> None:
        """Show only rows that contain this text in any value."""
        key = self._identify(self.marked) if self.marked is not None else None
        self.needle = needle.casefold().strip()
        self._arrange(key, fresh=False)

    def _arrange(self, key: Hashable, *, fresh: bool) -> None:
        before = self.cursor - self.scroll_offset.y
        rows = self._rows
        if self.needle:
            rows = [row for row in rows if self._holds(row)]
        if self.sort is not None:
            rows = self._sorted(rows, *self.sort)
        self._shown = rows if rows is not self._rows else list(rows)
        self.cursor = self._find(key, fresh=fresh)
        self._scale = self._greatest()
        self._laid_for = (-1, 0)
        self.virtual_size = Size(self.scrollable_content_region.width, len(rows) + 1)
        top = 0 if fresh else self.cursor - before
        self.scroll_to(y=max(top, 0), animate=False, force=True)
        self._keep_in_view()
        self.refresh()
        self.post_message(self.Marked(self))

    def _holds(self, row: Row) -> bool:
        return any(self.needle in clean(value).casefold() for value in row.values())

    def _sorted(self, rows: Sequence[Row], name: str, turned: bool) -> list[Row]:
        column = next((one for one in self.columns if one.key == name), None)
        if column is None:
            return list(rows)
        return sorted(rows, key=sort_key(column), reverse=column.down != turned)

    def _find(self, key: Hashable, *, fresh: bool) -> int:
        if fresh or not self._shown:
            return 0
        if key is not None:
            near = self.cursor
            if near < len(self._shown) and self._identify(self._shown[near]) == key:
                return near
            for index, row in enumerate(self._shown):
                if self._identify(row) == key:
                    return index
        return min(self.cursor, len(self._shown) - 1)

    def _greatest(self) -> float:
        shares = [column.share for column in self.columns if column.share is not None]
        return max((share(row) for share in shares for row in self._shown), default=0.0)

    def _cell_context(self) -> Context:
        app = app_of(self)
        return Context(app.now(), app.zone, self._scale)

    def _laid(self) -> tuple[Cells, ...]:
        cells = self.scrollable_content_region.width
        if self._laid_for != (cells, len(self._shown)):
            top = self.scroll_offset.y
            sample = self._shown[:100] + self._shown[max(top, 100) : max(top, 100) + 100]
            self._cells = layout(self.columns, sample, cells - 2, self._cell_context())
            self._laid_for = (cells, len(self._shown))
        return self._cells

    def render_line(self, y: int) -> Strip:
        """Return one line: the heads of the columns, a row, or what is said of no rows."""
        app = app_of(self)
        cells = self.scrollable_content_region.width
        index = y - 1 + self.scroll_offset.y
        over = ""
        if y == 0:
            line = self._heads()
        elif index < len(self._shown):
            line = self._row(self._shown[index])
            if index == self.cursor:
                over = "cursor" if self.has_focus else "marked"
        else:
            line = [Piece(f" {self._nothing()}", "quiet")] if y == 1 and not self._shown else []
        if app.model.stale:
            line = [Piece(piece.text, "stale") for piece in line]
        return strip(line, app.theme, self.rich_style, cells, over=over)

    def _nothing(self) -> str:
        if not self.loaded:
            return "not known yet"
        return f"nothing here contains “{clean(self.needle)}”" if self.needle else self.empty

    def _heads(self) -> list[Piece]:
        pieces = [Piece(" ")]
        name, turned = self.sort or ("", False)
        for cells in self._laid():
            column = cells.column
            title = column.title
            meaning = "quiet"
            if column.key == name:
                title += "▾" if column.down != turned else "▴"
                meaning = "accent"
            pieces += [Piece(fit(title, cells.width, right=column.right), meaning), Piece(" ")]
        return pieces

    def _row(self, row: Row) -> list[Piece]:
        context = self._cell_context()
        pieces = [Piece(" ")]
        for cells in self._laid():
            pieces += [fit_cell(cells, row, context), Piece(" ")]
        return pieces

    def on_resize(self) -> None:
        """Keep the cursor on the screen when the window changes."""
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._shown) + 1)
        self._laid_for = (-1, 0)
        self._keep_in_view()

    def _visible(self) -> int:
        return max(self.scrollable_content_region.height - 1, 1)

    def _keep_in_view(self) -> None:
        top, rows = self.scroll_offset.y, self._visible()
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + rows:
            self.scroll_to(y=self.cursor - rows + 1, animate=False, force=True)

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, as near as there is one."""
        index = min(max(index, 0), max(len(self._shown) - 1, 0))
        if index != self.cursor:
            self.cursor = index
            self._keep_in_view()
            self.refresh()
            self.post_message(self.Marked(self))
        if self.more and self._asked_at != len(self._rows) and index >= len(self._shown) - _NEAR:
            self._asked_at = len(self._rows)
            self.post_message(self.More(self))

    def action_move(self, rows: int) -> None:
        """Move the cursor by rows."""
        self.move_to(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by what fits on the screen."""
        self.move_to(self.cursor + pages * self._visible())

    def action_edge(self, last: int) -> None:
        """Move the cursor to the first or the last row."""
        self.move_to(len(self._shown) - 1 if last else 0)

    def action_choose(self) -> None:
        """Open what the cursor is on."""
        if self.marked is not None:
            self.post_message(self.Chosen(self, self.marked))

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Offer to open only what is there."""
        return self.marked is not None if action == "choose" else True

    def action_sort(self) -> None:
        """Sort by the next column; after the last, as the rows came."""
        keys = [cells.column.key for cells in self._laid() if cells.column.order is not None]
        names = ["", *keys]
        now = self.sort[0] if self.sort and self.sort[0] in names else ""
        name = names[(names.index(now) + 1) % len(names)]
        self._order((name, False) if name else None)

    def action_turn(self) -> None:
        """Turn the order round."""
        if self.sort is not None:
            self._order((self.sort[0], not self.sort[1]))

    def _order(self, sort: tuple[str, bool] | None) -> None:
        key = self._identify(self.marked) if self.marked is not None else None
        self.sort = sort
        self._arrange(key, fresh=False)

    def on_click(self, event: events.Click) -> None:
        """Mark the row that is clicked, open it at the second click; sort by a head."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            self._click_head(offset.x)
            return
        index = offset.y - 1 + self.scroll_offset.y
        if index < len(self._shown):
            self.move_to(index)
            if event.chain > 1:
                self.action_choose()

    def _click_head(self, x: int) -> None:
        left = 1
        for cells in self._laid():
            if left <= x <= left + cells.width and cells.column.order is not None:
                same = self.sort is not None and self.sort[0] == cells.column.key
                self._order((cells.column.key, bool(same and self.sort and not self.sort[1])))
                return
            left += cells.width + 1
