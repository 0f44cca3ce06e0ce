"""Boxes to read: help for the screen below, all fields of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.containers import VerticalScroll

from tui.document import document, heading
from tui.screens.dialog import Dialog
from tui.text import Piece, clean, elide, fit, wrap
from tui.widgets.health import health_lines
from tui.widgets.keys import key_name
from tui.widgets.lines import Line, Lines

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import ActiveBinding, BindingType

    from tui.columns import Context, Row

__all__ = ["Fields", "HealthBox", "Help"]

_ALL = 10_000
_ALWAYS = (
    ("1 2 3 4", "dashboard, incidents, lists, records"),
    ("↑ ↓ j k", "move; PgUp PgDn Home End farther"),
    ("s  S", "sort by the next column; turn the order"),
    ("^p", "everything that can be done here, by name"),
    ("^z", "undo the last change made to a list"),
    ("^t", "dark, light, or the terminal's own colours"),
)


class _Text(Lines):
    DEFAULT_CSS = "_Text { height: auto; }"

    def build(self) -> list[Line]:
        screen = self.screen
        return (
            screen.written(max(self.cells, 20))
            if isinstance(screen, (Help, Fields, HealthBox))
            else []
        )


class Help(Dialog[None]):
    """What the screen is for, the keys that apply, the filter language."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,q,escape,enter", "leave", "Close", key_display="esc")
    ]
    TITLE_TEXT = "Help"

    def __init__(self, about: str, bindings: dict[str, ActiveBinding]) -> None:
        super().__init__()
        self.about = about
        self.keys = bindings

    def content(self) -> ComposeResult:
        """Return the text in a box that scrolls."""
        with VerticalScroll():
            yield _Text()

    def written(self, cells: int) -> list[Line]:
        """Return the help."""
        lines: list[Line] = [[Piece(part)] for part in wrap(self.about, cells)]
        lines += [[], heading("keys", cells)]
        done: set[str] = set()
        for active in self.keys.values():
            binding = active.binding
            if not binding.show or not active.enabled or binding.action in done:
                continue
            done.add(binding.action)
            name = binding.key_display or key_name(binding.key)
            what = binding.tooltip or binding.description
            lines.append([Piece(fit(f" {name}", 10), "key"), Piece(what)])
        for name, what in _ALWAYS:
            lines.append([Piece(fit(f" {name}", 10), "key"), Piece(what)])
        return [*lines, *_filter_help(cells)]


def _filter_help(cells: int) -> list[Line]:
    from ipwatchd.records.filter import help_text

    lines: list[Line] = [[], list(heading("filter of the records", cells))]
    text = help_text().splitlines()
    return [*lines, *([Piece(elide(clean(line), cells), "quiet")] for line in text)]


class Fields(Dialog[None]):
    """All fields of one row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i,q,escape,enter", "leave", "Close", key_display="esc")
    ]

    def __init__(self, kind: str, row: Row, context: Context) -> None:
        super().__init__()
        self.kind = kind
        self.row = row
        self.context = context

    def title_text(self) -> str:
        """Return the kind."""
        return clean(self.kind)

    def content(self) -> ComposeResult:
        """Return the fields in a box that scrolls."""
        with VerticalScroll():
            yield _Text()

    def written(self, cells: int) -> list[Line]:
        """Return one line a field."""
        return list(document(self.row, cells, self.context))


class HealthBox(Dialog[None]):
    """The whole of the health panel, which a low terminal shows the head of."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h,q,escape,enter", "leave", "Close", key_display="esc")
    ]
    TITLE_TEXT = "Health"

    def content(self) -> ComposeResult:
        """Return the lines in a box that scrolls."""
        with VerticalScroll():
            yield _Text()

    def written(self, cells: int) -> list[Line]:
        """Return every line there is."""
        app = self.house
        return health_lines(app.model, app.now(), cells, _ALL, app.zone)
