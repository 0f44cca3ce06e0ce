"""The records browser: the seven kinds, flows and events, under the filter language."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding

from ipwatchd.control.client import UnreachableError
from ipwatchd.records.filter import FilterError, parse
from tui import quantity
from tui.records import KINDS, columns_for, identify
from tui.screens.frame import Frame
from tui.text import CROSS, Piece, clean
from tui.widgets.filter_line import FilterLine
from tui.widgets.lines import Line, Lines
from tui.widgets.table import Table

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widgets import Input

    from ipwatchd.control.messages import Page

__all__ = ["Records"]

_PAGE: Final = 200
_MOST: Final = 100_000
"""Rows held at once: beyond this a filter says more than scrolling."""
_NAMES: Final = tuple(KINDS)


class KindLine(Lines):
    """The kinds, the shown one lit; a click changes to another."""

    DEFAULT_CSS = "KindLine { height: 1; }"
    shown = _NAMES[0]

    def build(self) -> list[Line]:
        """Return the one line."""
        pieces = [Piece(" ")]
        for name in _NAMES:
            meaning = "accent cursor" if name == self.shown else "quiet"
            pieces += [Piece(f" {name} ", meaning, f"screen.kind('{name}')")]
            if name == "activity":
                pieces.append(Piece("│", "faint"))
        return [pieces]


class Trouble(Lines):
    """The daemon's sentence on a filter that it refuses."""

    DEFAULT_CSS = "Trouble { height: 1; display: none; } Trouble.-there { display: block; }"
    sentence = ""

    def say(self, sentence: str) -> None:
        """Show a sentence, or with "" nothing."""
        self.sentence = sentence
        self.set_class(bool(sentence), "-there")
        self.redraw()

    def build(self) -> list[Line]:
        """Return the one line."""
        return [[Piece(f" {CROSS} {clean(self.sentence)}", "bad")]]


class Records(Frame):
    """Rows of one kind; the filter goes to the daemon."""

    TAB = "records"
    HELP = (
        "What is recorded of every address: seven kinds of record, flows and events. Left and "
        "right change the kind, / is the filter: src:10.20.0.0/16 country:RU port:3389 agent:maria "
        "since:24h !list:trusted. Enter opens the address, i shows all fields of the row."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "fields", "Fields", tooltip="All fields of the marked row"),
        Binding("right", "step(1)", "Kind", key_display="←→"),
        Binding("left", "step(-1)", "Kind", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.kind_shown = _NAMES[0]
        self.filter_text = ""
        self._at = 0.0
        self._asked = False

    def content(self) -> ComposeResult:
        """Return the kinds, the table and the filter line."""
        yield KindLine()
        yield Trouble()
        yield Table((), identify, id="rows", empty="no records match")
        yield FilterLine(
            "src:10.20.0.0/16 country:RU port:3389 agent:maria since:24h !list:trusted"
        )

    def on_mount(self) -> None:
        """Begin in the list."""
        self.query_one(Table).focus()
        self._title()

    def _title(self) -> None:
        table = self.query_one(Table)
        said = f" matching {self.filter_text}" if self.filter_text else ""
        at = f" at {quantity.clock(self._at, self.house.zone)}" if self._at else ""
        number = f"{len(table.rows)}{'+' if table.more else ''}"
        table.set_title(f"{self.kind_shown}{said}: {number}{at}")

    def poll(self) -> None:
        """Ask once: each look at records is noted in the audit log."""
        if not self._asked:
            self._ask(0, fresh=False)

    def reload(self) -> None:
        """Ask for the first page again."""
        self._ask(0, fresh=False)

    def _ask(self, offset: int, *, fresh: bool) -> None:
        self._asked = True
        kind, words, client = self.kind_shown, self.filter_text, self.house.client
        if kind in {"flows", "events"}:
            call = client.flows if kind == "flows" else client.events
            work = partial(call, words, limit=offset + _PAGE)
        else:
            work = partial(client.records, kind, words, limit=_PAGE, offset=offset)
        then = partial(self._took, (kind, words), offset, fresh)
        self.house.ask("records", work, then, partial(self._refused, (kind, words)))

    def _took(self, asked: tuple[str, str], offset: int, fresh: bool, page: Page) -> None:
        if not self.is_mounted or asked != (self.kind_shown, self.filter_text):
            return
        self.query_one(Trouble).say("")
        self._at = self.house.now()
        table = self.query_one(Table)
        whole = self.kind_shown in {"flows", "events"}
        rows = [*table.rows, *page.rows] if offset and not whole else list(page.rows)
        if offset and not whole and offset != len(table.rows):
            return
        more = page.more and len(rows) < _MOST
        table.set_rows(rows, columns=columns_for(self.kind_shown, rows), more=more, fresh=fresh)
        self._title()

    def _refused(self, asked: tuple[str, str], error: Exception) -> None:
        if isinstance(error, UnreachableError):
            self._asked = False
        elif self.is_mounted and asked == (self.kind_shown, self.filter_text):
            self.query_one(Trouble).say(str(error))

    def on_table_more(self, event: Table.More) -> None:
        """Ask for the next page."""
        self._ask(len(event.table.rows), fresh=False)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Offer what the marked row has."""
        if action == "fields":
            return self.marked_row() is not None
        return super().check_action(action, _parameters)

    def action_fields(self) -> None:
        """Show all fields of the marked row."""
        row = self.marked_row()
        if row is not None:
            self.house.show_fields(self.kind_shown, row)

    def action_step(self, step: int) -> None:
        """Show the next kind."""
        self.action_kind(_NAMES[(_NAMES.index(self.kind_shown) + step) % len(_NAMES)])

    def action_kind(self, name: str) -> None:
        """Show another kind under the same filter."""
        self.kind_shown = name
        line = self.query_one(KindLine)
        line.shown = name
        line.redraw()
        table = self.query_one(Table)
        table.sort = None
        table.forget(KINDS[name])
        self._at = 0.0
        self._title()
        self._ask(0, fresh=True)

    def on_table_chosen(self, event: Table.Chosen) -> None:
        """Enter on a row."""
        if self.target():
            self.house.open_address(self.target())
        else:
            self.house.show_fields(self.kind_shown, event.row)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what is wrong with the filter while it is written."""
        try:
            query = parse(event.value, self.house.now())
        except FilterError as error:
            self.query_one(Trouble).say(str(error))
        else:
            sums = "sums (by: every: count:) are for ipwatchctl flows and top, not this list"
            self.query_one(Trouble).say(sums if query.shape() else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Ask with this filter."""
        self._filter(event.value)

    def on_filter_line_left(self) -> None:
        """Escape takes the filter away."""
        self._filter("")

    def _filter(self, words: str) -> None:
        self.filter_text = words.strip()
        self.close_filter()
        self._title()
        self._ask(0, fresh=True)
