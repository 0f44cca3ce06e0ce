"""Columns of a table: what a cell says, how wide it is, which go first where there is no room."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tui.text import Piece, clean, elide_middle, fit, width

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["Cells", "Column", "Context", "Row", "bar", "fit_cell", "layout", "sort_key"]

Row = Mapping[str, Any]
_SAMPLE: Final = 300
"""Rows looked at for the width of a column: a list of 100,000 must not be measured whole."""


class Context(NamedTuple):
    """What cells need beside their row: the daemon's time, the admin's zone, a full bar."""

    now: float
    zone: tzinfo | None
    scale: float = 0.0


@dataclass(frozen=True)
class Column:
    """One column. `rank` 0 is always shown, the greatest goes first on a narrow terminal.

    `order` is what rows are sorted by (None: this column does not sort); `down` sorts the greatest
    first. `share` makes it a bar: the row's part of the greatest among the rows. `enough` is the
    width that does where others need room (0: what the content needs).
    """

    key: str
    title: str
    show: Callable[[Row, Context], Piece]
    least: int = 4
    most: int = 24
    enough: int = 0
    rank: int = 1
    right: bool = False
    grow: bool = False
    middle: bool = False
    down: bool = False
    order: Callable[[Row], Any] | None = None
    share: Callable[[Row], float] | None = None


class Cells(NamedTuple):
    """A column that is shown, and how many cells it has."""

    column: Column
    width: int


def _natural(column: Column, rows: Sequence[Row], context: Context) -> int:
    if column.share is not None:
        return column.least
    widest = max((width(column.show(row, context).text) for row in rows[:_SAMPLE]), default=0)
    return min(max(widest, width(column.title) + bool(column.order), column.least), column.most)


def layout(
    columns: Sequence[Column], rows: Sequence[Row], available: int, context: Context, gap: int = 1
) -> tuple[Cells, ...]:
    """Return the columns that fit into `available` cells, with their widths.

    Columns that are only good to have (rank above 3) go while the others have not enough, the rest
    by rank until they fit at their least width. Then each gets what is enough, then what its
    content needs, in order of rank; what is left goes to those that grow.
    """
    natural = {id(column): _natural(column, rows, context) for column in columns}

    def enough(column: Column) -> int:
        needed = natural[id(column)]
        return min(needed, max(column.enough, column.least)) if column.enough else needed

    shown = list(columns)
    _drop(shown, enough, available, gap, above=3)
    _drop(shown, lambda column: column.least, available, gap, above=0)
    widths = [column.least for column in shown]
    left = available - sum(widths) - gap * (len(shown) - 1)
    order = sorted(range(len(shown)), key=lambda i: (shown[i].rank, i))
    for wanted in (enough, lambda column: natural[id(column)]):
        for index in order:
            more = min(max(wanted(shown[index]) - widths[index], 0), max(left, 0))
            widths[index] += more
            left -= more
    growing = [index for index, column in enumerate(shown) if column.grow]
    for place, index in enumerate(growing):
        part = max(left, 0) // (len(growing) - place)
        if shown[index].share is not None:
            part = min(part, shown[index].most - widths[index])
        widths[index] += part
        left -= part
    return tuple(Cells(c, max(w, 1)) for c, w in zip(shown, widths, strict=True))


def _drop(
    shown: list[Column], wanted: Callable[[Column], int], available: int, gap: int, *, above: int
) -> None:
    while sum(wanted(c) for c in shown) + gap * (len(shown) - 1) > available:
        last = max(range(len(shown)), key=lambda i: (shown[i].rank, i))
        if shown[last].rank <= above or len(shown) == 1:
            return
        del shown[last]


def bar(share: float, cells: int) -> str:
    """Return a thin bar of half cells; anything above nothing shows at least one half."""
    share = min(max(share, 0.0), 1.0)
    halves = max(round(share * cells * 2), 1 if share > 0 else 0)
    return "━" * (halves // 2) + "╸" * (halves % 2)


def fit_cell(cells: Cells, row: Row, context: Context) -> Piece:
    """Return a cell's text at exactly its width, cleaned, and its meaning."""
    column = cells.column
    if column.share is not None:
        part = column.share(row) / context.scale if context.scale > 0 else 0.0
        return Piece(fit(bar(part, cells.width), cells.width), "traffic")
    piece = column.show(row, context)
    text = elide_middle(piece.text, cells.width) if column.middle else piece.text
    return Piece(fit(text, cells.width, right=column.right), piece.meaning)


def sort_key(column: Column) -> Callable[[Row], tuple[int, Any]]:
    """Return a key that puts any values in an order: missing ones first, numbers before text."""
    order = column.order

    def key(row: Row) -> tuple[int, Any]:
        value = order(row) if order is not None else None
        if value is None or value == "":
            return (0, 0)
        if isinstance(value, (bool, int, float)):
            return (1, value)
        return (2, clean(value).casefold())

    return key
